"""The queue against a model: whatever workers do, vanish or do late, nothing unfinished is lost."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from shared.ids import new_id
from shared.message.envelope import Lane
from shared.queue.connection import connect
from shared.queue.delivery import Item, Lease, Queue
from shared.queue.keys import GROUP

LANE = Lane.DELIVERY
ITEMS = [Item(new_id(number), LANE, f"r{number}") for number in range(6)]
STREAM = "pb:delivery:stream"

small = st.integers(0, 5)
operations = st.one_of(
    st.tuples(st.just("enqueue"), small),
    st.tuples(st.sampled_from(["read", "reclaim"]), small, st.integers(1, 3)),
    st.tuples(st.sampled_from(["finish", "delay", "release", "renew", "vanish"]), small),
    st.tuples(st.sampled_from(["late_finish", "late_delay", "late_release", "late_renew"]), small),
    st.tuples(st.sampled_from(["promote", "wipe_and_sweep"])),
)


@dataclass
class Worker:
    """A consumer and what it believes to hold."""

    queue: Queue
    leases: list[Lease] = field(default_factory=list)


class Model:
    """Entries whose work isn't done, as SQL would know them, beside the real queue."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.workers = [self._worker(number) for number in range(3)]
        self.late: list[tuple[Queue, Lease]] = []
        self.unfinished: set[Item] = set()
        self.now = 100.0

    async def enqueue(self, number: int) -> None:
        queue, item = self.workers[0].queue, ITEMS[number]
        # one that was finished late, after a sweep had enqueued it again, is known and not unfinished
        known = await queue.known([(item.entry, LANE)])
        assert known or item not in self.unfinished
        assert await queue.enqueue([item]) == (not known)
        self.unfinished.add(item)

    async def read(self, number: int, count: int) -> None:
        worker = self.workers[number % 3]
        self._got(worker, await worker.queue.read(LANE, count, 0))

    async def reclaim(self, number: int, count: int) -> None:
        worker = self.workers[number % 3]
        self._got(worker, await worker.queue.reclaim(LANE, count))

    async def finish(self, number: int) -> None:
        worker, leases = self._all_of(number)
        self.unfinished -= {lease.item for lease in leases}
        await worker.queue.finish(leases)

    async def delay(self, number: int) -> None:
        worker, leases = self._all_of(number)
        await worker.queue.delay(leases, [self.now + 10] * len(leases))

    async def release(self, number: int) -> None:
        worker, leases = self._all_of(number)
        await worker.queue.release(leases)

    async def renew(self, number: int) -> None:
        worker = self.workers[number % 3]
        kept = await worker.queue.renew(worker.leases)
        assert set(worker.leases) <= set(kept)

    async def vanish(self, number: int) -> None:
        """A worker dies: its leases' time passes, and it may yet come back for a moment."""
        worker = self.workers[number % 3]
        self.late += [(worker.queue, lease) for lease in worker.leases]
        for lease in worker.leases:
            await self.redis.xclaim(
                STREAM, GROUP, worker.queue.consumer, 0, [lease.token], idle=120_000, retrycount=lease.deliveries
            )
        self.workers[number % 3] = self._worker(number % 3)

    async def late_finish(self, number: int) -> None:
        if late := self._late(number):
            self.unfinished.discard(late[1].item)
            await late[0].finish([late[1]])
            self._forget(late[1])

    async def late_delay(self, number: int) -> None:
        if (late := self._late(number)) and late[1].item in self.unfinished:
            await late[0].delay([late[1]], [self.now + 10])
            self._forget(late[1])

    async def late_release(self, number: int) -> None:
        if late := self._late(number):
            await late[0].release([late[1]])

    async def late_renew(self, number: int) -> None:
        if late := self._late(number):
            kept = await late[0].renew([late[1]])
            if any(lease.token == late[1].token for worker in self.workers for lease in worker.leases):
                assert kept == []

    async def promote(self) -> None:
        self.now += 20
        await self.workers[0].queue.promote(self.now, 100)

    async def wipe_and_sweep(self) -> None:
        """Redis loses everything; workers go on with what they hold; the sweep enqueues the unfinished."""
        await self.redis.flushall()
        self.late += [(worker.queue, lease) for worker in self.workers for lease in worker.leases]
        for worker in self.workers:
            worker.leases = []
        await self.workers[0].queue.setup()
        await self.workers[0].queue.enqueue(sorted(self.unfinished, key=lambda item: item.entry))

    async def check(self) -> None:
        """All that is unfinished is known, and a single new worker gets all of it."""
        queue = self._worker(9).queue
        known = await queue.known([(item.entry, LANE) for item in ITEMS])
        assert {(item.entry, LANE) for item in self.unfinished} <= known
        for worker in self.workers:
            await worker.queue.release(worker.leases)
        got: set[Item] = set()
        for _ in range(4):
            self.now += 20
            await queue.promote(self.now, 100)
            while leases := await queue.read(LANE, 100, 0) + await self._reclaim_late(queue):
                got |= {lease.item for lease in leases}
                await queue.finish(leases)
        assert self.unfinished <= got
        assert await queue.known([(item.entry, LANE) for item in ITEMS]) == set()
        stats = (await queue.stats())[LANE]
        assert (stats.depth, stats.leased, stats.delayed) == (0, 0, 0)

    async def _reclaim_late(self, queue: Queue) -> list[Lease]:
        queue.lease_ms = 0
        return [lease for _ in range(3) for lease in await queue.reclaim(LANE, 100)]

    def _got(self, worker: Worker, leases: list[Lease]) -> None:
        held = {lease.token for other in self.workers for lease in other.leases}
        assert not held & {lease.token for lease in leases}, "a live lease was handed out twice"
        worker.leases += leases

    def _all_of(self, number: int) -> tuple[Worker, list[Lease]]:
        worker = self.workers[number % 3]
        leases, worker.leases = worker.leases, []
        return worker, leases

    def _late(self, number: int) -> tuple[Queue, Lease] | None:
        return self.late[number % len(self.late)] if self.late else None

    def _forget(self, gone: Lease) -> None:
        """Whoever else holds the same lease has lost it now."""
        for worker in self.workers:
            worker.leases = [lease for lease in worker.leases if lease.token != gone.token]

    def _worker(self, number: int) -> Worker:
        return Worker(Queue(self.redis, f"worker-{number}-{new_id()}", lease_ms=60_000))


async def _play(url: str, steps: list[tuple[object, ...]]) -> None:
    redis = connect(url)
    try:
        await redis.flushall()
        model = Model(redis)
        await model.workers[0].queue.setup()
        for name, *arguments in steps:
            await getattr(model, str(name))(*arguments)
        await model.check()
    finally:
        await redis.aclose()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(operations, min_size=5, max_size=60))
def test_the_queue_follows_the_model(redis_url: str, steps: list[tuple[object, ...]]) -> None:
    asyncio.run(_play(redis_url, steps))
