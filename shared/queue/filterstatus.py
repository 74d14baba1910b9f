"""What the MDA's workers say of their Python filters, in Redis for as long as they live."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any, Protocol

import orjson
import structlog
from redis.asyncio import Redis

from shared.queue.keys import PREFIX
from shared.queue.upkeep import AWAY

KEYS = f"{PREFIX}filters:"
INTERVAL = 2.0  # seconds between two reports
TTL = 20  # seconds that a report is believed
MAX_WORKERS = 1_000  # whose reports are read

log = structlog.get_logger(__name__)


class Folder(Protocol):
    """Who knows the filters."""

    async def filters(self) -> Any: ...

    def views(self) -> list[dict[str, Any]]: ...


async def keep_telling(redis: Redis, folder: Folder) -> None:
    """Report on filters until cancelled; a changed file is loaded even when no mail comes."""
    worker = f"{socket.gethostname()}:{os.getpid()}"
    told = False
    while True:
        await folder.filters()
        views = folder.views()
        try:
            if views or told:  # where there are no filters Redis isn't bothered
                await redis.set(KEYS + worker, orjson.dumps(views), ex=TTL)
            told = bool(views)
        except AWAY as error:
            log.info("filters not reported", error=str(error))
        await asyncio.sleep(INTERVAL)


async def reports(redis: Redis) -> dict[str, list[dict[str, Any]]]:
    """Return each worker's report; RedisError, OSError."""
    found: dict[str, list[dict[str, Any]]] = {}
    async for key in redis.scan_iter(match=KEYS + "*", count=1000):
        value = await redis.get(key)
        if value is not None:
            name = key.decode() if isinstance(key, bytes) else str(key)
            found[name.removeprefix(KEYS)] = orjson.loads(value)
        if len(found) >= MAX_WORKERS:
            break
    return found
