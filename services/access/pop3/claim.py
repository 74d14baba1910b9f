"""The exclusive session of an account's maildrop, on any replica (RFC 1939 §4, RFC 2449 §8.1).

A claim outlives its client's last command by CLAIM_TIME: an abandoned client keeps nobody out for longer.
Without Redis nobody is kept out; a message that two sessions delete is deleted once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from redis.exceptions import RedisError

from shared.errors import TemporaryFailure
from shared.queue.lease import NamedLease

CLAIM_TIME = 60.0  # seconds
RENEWAL = CLAIM_TIME / 3  # seconds between two renewals of a busy session


class Claim:
    """One session's claim."""

    __slots__ = ("_clock", "_lease", "_renew_at")

    def __init__(self, lease: NamedLease, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease = lease
        self._clock = clock
        self._renew_at = 0.0

    async def hold(self, *, surely: bool = False) -> bool:
        """Take or renew it, `surely` even if that was done a moment ago; False when another session has it."""
        now = self._clock()
        if not surely and now < self._renew_at:
            return True
        try:
            held = await self._lease.acquire()
        except (RedisError, TemporaryFailure, OSError):
            held = True
        self._renew_at = now + RENEWAL
        return held

    async def give_up(self) -> None:
        """Let the next session in."""
        try:
            await self._lease.release()
        except (RedisError, TemporaryFailure, OSError):
            return  # it expires
