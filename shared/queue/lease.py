"""A named lease for what only one process should do: compaction, the sweep.

It spares double work and is nothing to rely on: its owner may stall past the time and not know.
What it guards must be safe when done twice at once.
"""

from __future__ import annotations

import secrets

from redis.asyncio import Redis

from shared.queue.keys import PREFIX
from shared.queue.scripts import Script


class NamedLease:
    """One process's claim to a name, for `ttl` seconds at a time."""

    def __init__(self, redis: Redis, name: str, *, ttl: float, prefix: str = PREFIX) -> None:
        self._redis = redis
        self._key = f"{prefix}lease:{name}"
        self._owner = secrets.token_hex(16)
        self._ttl_ms = int(ttl * 1000)
        self._touch = Script(redis, "lease")

    async def acquire(self) -> bool:
        """Take the lease if it is free, or renew it if it is ours; say whether we have it."""
        if await self._redis.set(self._key, self._owner, nx=True, px=self._ttl_ms):
            return True
        return await self.renew()

    async def renew(self) -> bool:
        """Renew the lease; False if it isn't ours any more."""
        return bool(await self._touch([self._key], [self._owner, self._ttl_ms]))

    async def release(self) -> bool:
        """Give the lease up; False if it wasn't ours any more."""
        return bool(await self._touch([self._key], [self._owner, 0]))
