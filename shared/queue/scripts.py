"""The Lua scripts beside this file; each runs at the server as one indivisible step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis

SCRIPT_CHUNK = 500  # rows in one call: Lua's unpack takes no more than some thousand values


class Script:
    """One script, loaded when the server doesn't have it (a restarted or wiped server forgets them)."""

    def __init__(self, redis: Redis, *names: str) -> None:
        self._script = redis.register_script("\n".join(_text(name) for name in names))

    async def __call__(self, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        """Run it and return the reply."""
        return await self._script(keys=list(keys), args=list(args))


@cache
def _text(name: str) -> str:
    return files("shared.queue").joinpath("lua", f"{name}.lua").read_text()
