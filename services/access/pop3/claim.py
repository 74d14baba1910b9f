"""The exclusive session of an account's maildrop, on any replica (RFC 1939 §4, RFC 2449 §8.1).

A client that stays connected keeps others out for SILENCE after its last command, then for CLAIM_TIME: one that has
gone away without a word for no longer. The claims of a process that died end by CLAIM_TIME.
Without Redis nobody is kept out; a message that two sessions delete is deleted once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from redis.exceptions import RedisError

from shared.errors import TemporaryFailure
from shared.queue.lease import NamedLease

CLAIM_TIME = 60.0  # seconds
RENEWAL = CLAIM_TIME / 3  # seconds between two renewals
SILENCE = 600.0  # seconds that a client may be silent before another is let in (RFC 1939 §3: at least 10 minutes)

Run = Callable[[Coroutine[Any, Any, None]], None]
"""Has something done that nobody waits for."""


class Claim:
    """One session's claim."""

    __slots__ = ("_clock", "_heard", "_lease", "_renew_at", "_timer")

    def __init__(self, lease: NamedLease, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease = lease
        self._clock = clock
        self._heard = 0.0  # when the client's last command came
        self._renew_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def hold(self, *, surely: bool = False) -> bool:
        """Take or renew it, `surely` even if that was done a moment ago; False when another session has it."""
        self._heard = now = self._clock()
        if not surely and now < self._renew_at:
            return True
        try:
            held = await self._lease.acquire()
        except (RedisError, TemporaryFailure, OSError):
            held = True
        self._renew_at = now + RENEWAL
        return held

    def attend(self, run: Run) -> None:
        """Renew it while the client is silent, until it is given up."""
        self._timer = asyncio.get_running_loop().call_later(RENEWAL, self._renew, run)

    async def give_up(self) -> None:
        """Let the next session in."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            await self._lease.release()
        except (RedisError, TemporaryFailure, OSError):
            return  # it expires

    def _renew(self, run: Run) -> None:
        self.attend(run)
        if self._clock() - self._heard < SILENCE:
            run(self._extend())

    async def _extend(self) -> None:
        try:
            await self._lease.renew()
        except (RedisError, TemporaryFailure, OSError):
            return  # the next command takes it again
