"""References on their way from a journal writer to the queue; nobody waits for it before a 250."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

import structlog
from prometheus_client import Counter
from redis.exceptions import RedisError

from shared.queue.delivery import Item, Queue

OUTBOX_LIMIT = 100_000  # items kept while Redis is away (about 30 MB); the sweep finds what is dropped
BATCH = 500  # items in one call
GATHER = 0.01  # seconds after a call in which items gather for the next: a call costs as much as three messages
BACKOFF_FIRST = 0.05  # seconds
BACKOFF_MOST = 5.0

DROPPED = Counter("packetboat_outbox_dropped", "References left to the sweep as Redis was away too long")

log = structlog.get_logger(__name__)


class Outbox:
    """A bounded list that a task empties into the queue, in order, for as long as it takes."""

    def __init__(self, queue: Queue, *, limit: int = OUTBOX_LIMIT) -> None:
        self._queue = queue
        self._limit = limit
        self._items: deque[Item] = deque()
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        """Add an item whose record is durable; beyond the limit the oldest is left to the sweep."""
        if len(self._items) >= self._limit:
            self._items.popleft()
            self.dropped += 1
            DROPPED.inc()
        self._items.append(item)
        self._empty.clear()
        self._filled.set()

    async def run(self) -> None:
        """Push until cancelled."""
        pause = BACKOFF_FIRST
        while True:
            await self._filled.wait()
            try:
                await self._push()
                pause = BACKOFF_FIRST
                if len(self._items) < BATCH:
                    await asyncio.sleep(GATHER)
            except (RedisError, OSError) as error:
                log.warning("queue away", error=str(error), waiting=len(self._items), pause=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, BACKOFF_MOST)

    async def drain(self, timeout: float) -> bool:
        """Wait until everything is pushed; False if that took longer than `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        return self._empty.is_set()

    async def _push(self) -> None:
        """Push the oldest batch; its items leave the list only when Redis has them."""
        batch = [self._items[i] for i in range(min(BATCH, len(self._items)))]
        dropped = self.dropped
        await self._queue.enqueue(batch)
        for _ in range(len(batch) - (self.dropped - dropped)):
            self._items.popleft()
        if not self._items:
            self._filled.clear()
            self._empty.set()
