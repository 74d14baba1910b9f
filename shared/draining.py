"""How a worker that drains ends its sessions: each may finish what is under way, for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Protocol

POLL = 0.02  # seconds between two looks at whether all have ended


class Session(Protocol):
    """A client's connection, as the worker sees it."""

    def wind_down(self) -> None:
        """End now, or after what is under way."""

    def cut_off(self) -> None:
        """End now, whatever is under way."""


async def end_sessions(sessions: Collection[Session], patience: float, last: float) -> None:
    """Let all end within `patience` seconds, cut off the others and wait `last` seconds for them to be gone.

    A session that has ended leaves `sessions` by itself.
    """
    for session in list(sessions):
        session.wind_down()
    await _until_empty(sessions, patience)
    for session in list(sessions):
        session.cut_off()
    await _until_empty(sessions, last)


async def _until_empty(sessions: Collection[Session], patience: float) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while sessions and loop.time() < deadline:
        await asyncio.sleep(POLL)
