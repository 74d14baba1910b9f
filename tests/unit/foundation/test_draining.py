"""How sessions are ended when a worker drains."""

from __future__ import annotations

import asyncio

from shared.draining import end_sessions


class Caller:
    """A session that says goodbye after a while, or only when it is cut off."""

    def __init__(self, sessions: set[Caller], said: list[str], needs: float | None) -> None:
        self._sessions = sessions
        self._said = said
        self._needs = needs
        sessions.add(self)

    def wind_down(self) -> None:
        if self._needs is not None:
            asyncio.get_running_loop().call_later(self._needs, self._end, "finished")

    def cut_off(self) -> None:
        self._end("cut off")

    def _end(self, how: str) -> None:
        self._said.append(how)
        self._sessions.discard(self)


async def test_who_finishes_in_time_isnt_cut_off() -> None:
    sessions: set[Caller] = set()
    said: list[str] = []
    for needs in (0.0, 0.01):
        Caller(sessions, said, needs)
    async with asyncio.timeout(5):
        await end_sessions(sessions, 60, 60)
    assert said == ["finished", "finished"]


async def test_who_takes_too_long_is_cut_off() -> None:
    sessions: set[Caller] = set()
    said: list[str] = []
    Caller(sessions, said, 0.0)
    Caller(sessions, said, None)
    async with asyncio.timeout(5):
        await end_sessions(sessions, 0.05, 60)
    assert said == ["finished", "cut off"]
