"""Leases that are renewed while work goes on, and what was lost meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from types import TracebackType

import structlog
from redis.exceptions import RedisError

from shared.queue.delivery import Lease, Queue
from shared.queue.sites import SiteLease, Sites

RENEWALS = 4  # in one lease's time, so that two may fail

log = structlog.get_logger(__name__)


class RenewingLeases:
    """`async with RenewingLeases(queue, leases) as held:` renews until the block is left.

    A lease that couldn't be renewed before its time was over counts as lost, since another worker
    may have it; the worker asks `held.owns(lease)` before each step that others would see.
    """

    def __init__(self, queue: Queue, leases: Iterable[Lease] = ()) -> None:
        self._queue = queue
        self._seconds = queue.lease_ms / 1000
        self._until: dict[Lease, float] = {}
        self._lost: set[Lease] = set()
        self._task: asyncio.Task[None] | None = None
        self._first = list(leases)

    async def __aenter__(self) -> RenewingLeases:
        self.add(self._first)
        self._task = asyncio.create_task(self._run(), name="renew-leases")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _end(self._task)

    def add(self, leases: Iterable[Lease]) -> None:
        """Renew further leases, read a moment ago."""
        until = asyncio.get_running_loop().time() + self._seconds
        self._until.update(dict.fromkeys(leases, until))

    def remove(self, leases: Iterable[Lease]) -> None:
        """Stop renewing: the work is finished, delayed or released."""
        for lease in leases:
            self._until.pop(lease, None)
            self._lost.discard(lease)

    def owns(self, lease: Lease) -> bool:
        """Say whether a lease is surely still ours."""
        return self._until.get(lease, 0.0) > asyncio.get_running_loop().time()

    @property
    def lost(self) -> frozenset[Lease]:
        """The leases that another worker has, or may have."""
        now = asyncio.get_running_loop().time()
        return frozenset(self._lost | {lease for lease, until in self._until.items() if until <= now})

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds / RENEWALS)
            try:
                await self._renew(list(self._until))
            except (RedisError, OSError) as error:
                log.warning("leases not renewed", error=str(error), leases=len(self._until))

    async def _renew(self, leases: Sequence[Lease]) -> None:
        asked = asyncio.get_running_loop().time()
        kept = set(await self._queue.renew(leases)) if leases else set()
        for lease in leases:
            if lease in kept and lease in self._until:
                self._until[lease] = asked + self._seconds
            elif self._until.pop(lease, None) is not None:
                self._lost.add(lease)


class RenewingSite:
    """`async with RenewingSite(sites, lease) as slot:` renews a site's slot until the block is left.

    The worker asks `slot.owned` before each MAIL.
    """

    def __init__(self, sites: Sites, lease: SiteLease) -> None:
        self._sites = sites
        self._lease = lease
        self._seconds = sites.lease_ms / 1000
        self._until = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> RenewingSite:
        self._until = asyncio.get_running_loop().time() + self._seconds
        self._task = asyncio.create_task(self._run(), name="renew-site")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await _end(self._task)

    @property
    def owned(self) -> bool:
        """Whether the slot is surely still ours."""
        return self._until > asyncio.get_running_loop().time()

    async def _run(self) -> None:
        while self.owned:
            await asyncio.sleep(self._seconds / RENEWALS)
            asked = asyncio.get_running_loop().time()
            try:
                kept = await self._sites.renew(self._lease)
            except (RedisError, OSError) as error:
                log.warning("site lease not renewed", error=str(error), site=self._lease.site)
                continue
            self._until = asked + self._seconds if kept else 0.0


async def _end(task: asyncio.Task[None] | None) -> None:
    """Stop a renewing task; what made it fail is logged, as the leases run out without it."""
    if task is None:
        return
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and (failure := task.exception()):
        log.error("renewing failed", exc_info=failure)
