"""The outbox: batches, Redis away, the bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.ids import new_id
from shared.message.envelope import Lane
from shared.queue import outbox as module
from shared.queue.delivery import Item, Queue
from shared.queue.outbox import Outbox


@asynccontextmanager
async def running(outbox: Outbox) -> AsyncIterator[Outbox]:
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def queue(redis: Redis) -> Queue:
    queue = Queue(redis, "writer")
    await queue.setup()
    return queue


def item() -> Item:
    return Item(new_id(), Lane.DELIVERY, "reference")


class Flaky(Queue):
    """A queue whose Redis is away for the first calls, or forgets to answer after doing its work."""

    failures = 0
    answers_lost = 0
    calls = 0

    async def enqueue(self, items: Sequence[Item]) -> int:
        self.calls += 1
        if self.calls <= self.failures:
            raise RedisConnectionError("away")
        added = await super().enqueue(items)
        if self.calls <= self.failures + self.answers_lost:
            raise RedisConnectionError("the answer was lost")
        return added


async def test_items_arrive_in_order_and_in_few_calls(redis: Redis, queue: Queue) -> None:
    flaky = Flaky(redis, "writer")
    async with running(Outbox(flaky)) as outbox:
        items = [item() for _ in range(700)]
        for one in items:
            outbox.put(one)
        assert await outbox.drain(5)
        assert flaky.calls == 2 and len(outbox) == 0
    assert [lease.item for lease in await queue.read(Lane.DELIVERY, 1_000, 0)] == items


async def test_redis_away_and_answers_lost(redis: Redis, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_FIRST", 0.001)
    flaky = Flaky(redis, "writer")
    flaky.failures, flaky.answers_lost = 3, 2
    async with running(Outbox(flaky)) as outbox:
        items = [item() for _ in range(10)]
        for one in items:
            outbox.put(one)
        assert not await outbox.drain(0)
        assert await outbox.drain(5)
    assert flaky.calls == 6
    assert [lease.item for lease in await queue.read(Lane.DELIVERY, 100, 0)] == items, "each once"


async def test_beyond_the_bound_the_oldest_are_left_to_the_sweep(redis: Redis, queue: Queue) -> None:
    outbox = Outbox(queue, limit=5)
    before = module.DROPPED._value.get()
    items = [item() for _ in range(8)]
    for one in items:
        outbox.put(one)
    assert (len(outbox), outbox.dropped, module.DROPPED._value.get() - before) == (5, 3, 3)
    async with running(outbox):
        assert await outbox.drain(5)
    assert [lease.item for lease in await queue.read(Lane.DELIVERY, 100, 0)] == items[3:]


async def test_dropping_while_a_batch_is_on_its_way(redis: Redis, queue: Queue) -> None:
    class Slow(Queue):
        async def enqueue(self, items: Sequence[Item]) -> int:
            added = await super().enqueue(items)
            await asyncio.sleep(0.05)
            return added

    items = [item() for _ in range(12)]
    async with running(Outbox(Slow(redis, "writer"), limit=5)) as outbox:
        for one in items[:5]:
            outbox.put(one)
        await asyncio.sleep(0.02)
        for one in items[5:8]:
            outbox.put(one)
        assert outbox.dropped == 3
        assert await outbox.drain(5)
    assert [lease.item for lease in await queue.read(Lane.DELIVERY, 100, 0)] == items[:8]


async def test_what_comes_during_a_call_gathers_as_well(redis: Redis, queue: Queue) -> None:
    class Steady(Flaky):
        """Something new comes whenever a call ends."""

        async def enqueue(self, items: Sequence[Item]) -> int:
            added = await super().enqueue(items)
            outbox.put(item())
            return added

    steady = Steady(redis, "writer")
    outbox = Outbox(steady)
    clock = asyncio.get_running_loop().time
    async with running(outbox):
        begin = clock()
        outbox.put(item())
        await asyncio.sleep(20 * module.GATHER)
        assert 2 <= steady.calls <= 2 + (clock() - begin) / module.GATHER
