"""What every worker does beside its work: promoting, sweeping, noticing that Redis was wiped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic, time

import structlog
from redis.exceptions import RedisError

from shared.errors import TemporaryFailure
from shared.queue.delivery import Queue
from shared.queue.lease import NamedLease
from shared.queue.recovery import Sweep

PROMOTE_INTERVAL = 1.0  # seconds
PROMOTE_LIMIT = 1_000  # entries of a lane in one call
PRUNE_INTERVAL = 600.0
SWEEP_INTERVAL = 30.0
EPOCH_INTERVAL = 2.0

AWAY = (RedisError, OSError, TemporaryFailure)  # Redis, the volume or SQL: wait, it never counts

log = structlog.get_logger(__name__)


async def keep_promoting(queue: Queue) -> None:
    """Move what is due to the streams, until cancelled; any number of processes may."""

    async def promote() -> None:
        while await queue.promote(time(), PROMOTE_LIMIT) >= PROMOTE_LIMIT:
            pass

    await _repeat(promote, PROMOTE_INTERVAL)


async def keep_pruning(queue: Queue) -> None:
    """Forget the consumers of processes long gone, until cancelled."""

    async def prune() -> None:
        await queue.prune()

    await _repeat(prune, PRUNE_INTERVAL)


async def watch_epoch(queue: Queue, changed: Callable[[], None], *, interval: float = EPOCH_INTERVAL) -> None:
    """Call `changed` whenever Redis was wiped or failed over, until cancelled.

    A journal's writer seals its segment then, so that the sweep can read what Redis has forgotten.
    """
    last = ""

    async def look() -> None:
        nonlocal last
        epoch = await queue.epoch()
        if last and epoch != last:
            log.warning("redis was wiped or failed over", epoch=epoch)
            changed()
        last = epoch

    await _repeat(look, interval)


class Sweeper:
    """Sweeps now and then in one process of all, and fully one lease's time after Redis was wiped.

    The epoch that was last swept fully is kept in Redis itself: a wiped one doesn't have it.
    """

    def __init__(self, queue: Queue, sweep: Sweep, *, interval: float = SWEEP_INTERVAL) -> None:
        self._queue = queue
        self._sweep = sweep
        self._interval = interval
        self._swept_key = f"{queue.prefix}swept"
        self._lease = NamedLease(queue.redis, "sweep", ttl=max(interval * 3, 10.0), prefix=queue.prefix)
        self._noticed: tuple[str, float] = ("", 0.0)

    async def run(self) -> None:
        """Sweep until cancelled."""
        try:
            await _repeat(self._turn, self._interval)
        finally:
            try:
                await self._lease.release()
            except AWAY as error:
                log.info("sweep lease left to expire", error=str(error))

    async def _turn(self) -> None:
        if not await self._lease.acquire():
            return
        epoch = await self._queue.epoch()
        if await self._queue.redis.get(self._swept_key) == epoch:
            await self._report(full=False)
            return
        await self._sweep.hasten()
        if await self._lease_time_passed(epoch):
            await self._report(full=True)
            await self._queue.redis.set(self._swept_key, epoch)

    async def _lease_time_passed(self, epoch: str) -> bool:
        """Wait for workers that hold work whose leases Redis forgot: they finish or notice."""
        if self._noticed[0] != epoch:
            self._noticed = (epoch, monotonic())
        left = self._noticed[1] + self._queue.lease_ms / 1000 - monotonic()
        if 0 < left < self._interval:
            await asyncio.sleep(left)
            return True
        return left <= 0

    async def _report(self, *, full: bool) -> None:
        report = await self._sweep.run(full=full, open_age=self._queue.lease_ms / 1000 if full else None)
        if report.enqueued or report.taken_over or report.damaged or full:
            log.info("swept", full=full, report=report)


async def _repeat(work: Callable[[], Awaitable[None]], interval: float) -> None:
    while True:
        try:
            await work()
        except AWAY as error:
            log.warning("upkeep paused", error=str(error))
        await asyncio.sleep(interval)
