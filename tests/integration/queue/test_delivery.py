"""The queue on a real server: leases, crashes at every step, wiped Redis, duplicates."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis.asyncio import Redis

from shared.ids import new_id
from shared.message.envelope import Lane
from shared.queue.delivery import Item, Lease, Place, Queue
from shared.queue.keys import GROUP
from shared.queue.renewing import RenewingLeases

BOTH = pytest.mark.parametrize("lane", list(Lane))


def items(count: int, lane: Lane = Lane.DELIVERY) -> list[Item]:
    return [Item(new_id(), lane, f"reference-{number}") for number in range(count)]


def entries(leases: list[Lease]) -> list[str]:
    return [lease.item.entry for lease in leases]


@pytest.fixture
async def queue(redis: Redis) -> Queue:
    queue = Queue(redis, "one")
    await queue.setup()
    return queue


@pytest.fixture
def other(redis: Redis) -> Queue:
    """A consumer that takes over whatever isn't renewed within a millisecond."""
    return Queue(redis, "two", lease_ms=1)


@BOTH
async def test_an_item_is_read_once_and_finished(queue: Queue, lane: Lane) -> None:
    work = items(3, lane)
    assert await queue.enqueue(work) == 3
    leases = await queue.read(lane, 10, 0)
    assert [(lease.item, lease.deliveries) for lease in leases] == [(item, 1) for item in work]
    assert await queue.read(lane, 10, 0) == []
    assert len(await queue.known([(item.entry, lane) for item in work])) == 3
    await queue.finish(leases)
    await queue.finish(leases)
    assert await queue.known([(item.entry, lane) for item in work]) == set()
    stats = (await queue.stats())[lane]
    assert (stats.depth, stats.leased, stats.delayed, stats.oldest_age) == (0, 0, 0, 0.0)


async def test_enqueue_is_idempotent_by_entry_and_lane(queue: Queue) -> None:
    entry = new_id()
    both = [Item(entry, lane, "r") for lane in Lane]
    assert await queue.enqueue(both + both) == 2
    assert await queue.enqueue(both) == 0
    leases = [lease for lane in Lane for lease in await queue.read(lane, 10, 0)]
    assert [lease.item for lease in leases] == both
    assert await queue.enqueue(both) == 0, "leased entries are known"
    await queue.delay(leases, [time.time() + 60] * 2)
    assert await queue.enqueue(both) == 0, "delayed entries are known"


async def test_many_items_are_cut_into_calls(queue: Queue) -> None:
    work = items(1_203)
    assert await queue.enqueue(work) == 1_203
    leases = await queue.read(Lane.DELIVERY, 2_000, 0)
    assert [lease.item for lease in leases] == work
    assert await queue.renew(leases) == leases
    await queue.delay(leases, [1.0] * len(leases))
    assert await queue.promote(2.0, 5_000) == 1_203
    again = await queue.read(Lane.DELIVERY, 2_000, 0)
    await queue.finish(again)
    assert await queue.known([(item.entry, item.lane) for item in work]) == set()


async def test_a_blocked_reader_gets_what_comes(queue: Queue) -> None:
    reader = asyncio.create_task(queue.read(Lane.RELAY, 10, 3_000))
    await asyncio.sleep(0.02)
    work = items(1, Lane.RELAY)
    await queue.enqueue(work)
    assert entries(await asyncio.wait_for(reader, 2)) == entries_of(work)


def entries_of(work: list[Item]) -> list[str]:
    return [item.entry for item in work]


async def test_a_vanished_consumers_work_is_reclaimed_and_counted(queue: Queue, other: Queue) -> None:
    work = items(2)
    await queue.enqueue(work)
    lost = await queue.read(Lane.DELIVERY, 10, 0)
    await asyncio.sleep(0.01)
    taken = await other.reclaim(Lane.DELIVERY, 10)
    assert [(lease.item, lease.deliveries) for lease in taken] == [(item, 2) for item in work]
    assert await queue.renew(lost) == [], "a stolen lease stays stolen"
    assert await other.renew(taken) == taken
    await asyncio.sleep(0.01)
    again = await Queue(other.redis, "three", lease_ms=1).reclaim(Lane.DELIVERY, 10)
    assert [lease.deliveries for lease in again] == [3, 3], "redelivered twice: the worker isolates it"


async def test_renewed_leases_are_not_reclaimed(queue: Queue, redis: Redis) -> None:
    await queue.enqueue(items(1))
    leases = await queue.read(Lane.DELIVERY, 1, 0)
    rival = Queue(redis, "rival", lease_ms=150)
    for _ in range(6):
        await asyncio.sleep(0.05)
        assert await queue.renew(leases) == leases
        assert await rival.reclaim(Lane.DELIVERY, 10) == []


async def test_reclaim_gets_past_leases_that_are_alive(queue: Queue, redis: Redis) -> None:
    """XAUTOCLAIM looks at some ten times `count` of the oldest; the cursor goes on from there."""
    await queue.enqueue(items(60))
    alive = await queue.read(Lane.DELIVERY, 50, 0)
    await queue.read(Lane.DELIVERY, 10, 0)
    await asyncio.sleep(0.1)
    await queue.renew(alive)
    rival = Queue(redis, "rival", lease_ms=90)
    got = [lease for _ in range(20) for lease in await rival.reclaim(Lane.DELIVERY, 1)]
    assert len(got) == 10
    assert not set(entries(got)) & set(entries(alive))


async def test_a_late_workers_finish_spares_what_was_enqueued_again(queue: Queue, other: Queue) -> None:
    work = items(1)
    await queue.enqueue(work)
    late = await queue.read(Lane.DELIVERY, 1, 0)
    await asyncio.sleep(0.01)
    await other.finish(await other.reclaim(Lane.DELIVERY, 1))
    await queue.enqueue(work)
    await queue.finish(late)
    assert entries(await queue.read(Lane.DELIVERY, 1, 0)) == entries_of(work)


@BOTH
async def test_delayed_work_comes_back_when_due(queue: Queue, lane: Lane) -> None:
    work = items(3, lane)
    await queue.enqueue(work)
    leases = await queue.read(lane, 10, 0)
    await queue.delay(leases, [100.0, 200.0, 300.5])
    assert (await queue.stats())[lane].delayed == 3
    assert await queue.places(work[0].entry, lane) == {Place.DELAYED}
    assert await queue.promote(99.9, 10) == 0
    assert await queue.promote(200.0, 1) == 1, "limited"
    assert await queue.promote(200.0, 10) == 1
    assert [lease.item for lease in await queue.read(lane, 10, 0)] == work[:2]
    assert await queue.promote(301.0, 10) == 1
    assert [lease.deliveries for lease in await queue.read(lane, 10, 0)] == [1]


async def test_the_earlier_of_two_delays_counts(queue: Queue) -> None:
    work = items(1)
    await queue.delay(work, [500.0])
    await queue.delay(work, [100.0])
    await queue.delay(work, [900.0])
    assert await queue.promote(100.0, 10) == 1


async def test_delaying_an_item_leaves_a_known_one_alone(queue: Queue) -> None:
    work = items(1)
    await queue.enqueue(work)
    await queue.delay(work, [100.0])
    assert (await queue.stats())[Lane.DELIVERY].delayed == 0


async def test_what_is_delayed_while_in_the_stream_waits_for_it(queue: Queue) -> None:
    """A worker that reads recipients before one is due mustn't swallow that one's time."""
    work = items(1)
    await queue.enqueue(work)
    (lease,) = await queue.read(Lane.DELIVERY, 1, 0)
    stale = Lease(lease.item, "1-1", 1)
    await queue.delay([stale], [100.0])
    assert await queue.promote(100.0, 10) == 0
    await queue.finish([lease])
    assert await queue.promote(100.5, 10) == 0
    assert await queue.promote(101.0, 10) == 1
    assert entries(await queue.read(Lane.DELIVERY, 1, 0)) == entries_of(work)


async def test_a_crash_between_pending_and_delay_redelivers(queue: Queue, other: Queue) -> None:
    await queue.enqueue(items(1))
    await queue.read(Lane.DELIVERY, 1, 0)  # … writes its pending row and dies
    await asyncio.sleep(0.01)
    taken = await other.reclaim(Lane.DELIVERY, 1)
    await other.delay(taken, [100.0])
    assert await other.promote(100.0, 1) == 1


async def test_released_work_is_read_at_once_and_uncounted(queue: Queue, other: Queue) -> None:
    work = items(2)
    await queue.enqueue(work)
    await queue.read(Lane.DELIVERY, 10, 0)
    await asyncio.sleep(0.01)
    leases = await other.reclaim(Lane.DELIVERY, 10)
    assert [lease.deliveries for lease in leases] == [2, 2]
    await other.release(leases)
    again = await queue.read(Lane.DELIVERY, 10, 0)
    assert [(lease.item, lease.deliveries) for lease in again] == [(item, 2) for item in work]
    await other.release(leases)
    assert await queue.renew(again) == again, "releasing a lost lease does nothing"
    await asyncio.sleep(0.01)
    assert [lease.deliveries for lease in await other.reclaim(Lane.DELIVERY, 10)] == [3, 3]


async def test_the_operator_retries_and_drops(queue: Queue) -> None:
    first, second = items(2, Lane.RELAY)
    assert not await queue.retry_now(first.entry, Lane.RELAY)
    await queue.delay([first], [time.time() + 3_600])
    assert await queue.retry_now(first.entry, Lane.RELAY)
    assert await queue.promote(time.time(), 10) == 1
    await queue.enqueue([second])
    leases = await queue.read(Lane.RELAY, 10, 0)
    assert await queue.places(first.entry, Lane.RELAY) == {Place.LEASED}
    assert await queue.drop(first.entry, Lane.RELAY)
    assert await queue.drop(second.entry, Lane.RELAY)
    assert not await queue.drop(second.entry, Lane.RELAY)
    assert await queue.renew(leases) == []
    assert await queue.known([(item.entry, Lane.RELAY) for item in (first, second)]) == set()


async def test_a_wiped_redis_is_set_up_again_by_whoever_notices(queue: Queue, redis: Redis) -> None:
    work = items(3)
    await queue.enqueue(work)
    leases = await queue.read(Lane.DELIVERY, 2, 0)
    before = await queue.epoch()
    await redis.flushall()
    assert await queue.renew(leases) == []
    await queue.finish(leases[:1])
    await queue.release(leases[:1])
    assert await queue.reclaim(Lane.DELIVERY, 10) == []
    await queue.delay(leases[1:], [100.0])
    await redis.flushall()
    assert await queue.read(Lane.DELIVERY, 10, 10) == []
    assert await queue.epoch() != before
    assert await queue.enqueue(work) == 3
    assert entries(await queue.read(Lane.DELIVERY, 10, 0)) == entries_of(work)


async def test_a_wipe_under_a_blocked_reader(queue: Queue, redis: Redis) -> None:
    reader = asyncio.create_task(queue.read(Lane.DELIVERY, 10, 2_000))
    await asyncio.sleep(0.05)
    await redis.flushall()
    assert await asyncio.wait_for(reader, 3) == []
    await queue.enqueue(items(1))
    assert len(await queue.read(Lane.DELIVERY, 10, 100)) == 1


async def test_entries_enqueued_before_the_groups_exist_are_read(redis: Redis) -> None:
    early = Queue(redis, "early")
    work = items(2)
    await early.enqueue(work)
    await early.setup()
    assert entries(await early.read(Lane.DELIVERY, 10, 0)) == entries_of(work)


async def test_the_epoch_stays_while_nothing_happens(queue: Queue) -> None:
    assert await queue.epoch() == await queue.epoch()


async def test_stats(queue: Queue) -> None:
    await queue.enqueue(items(5))
    await queue.read(Lane.DELIVERY, 2, 0)
    await queue.delay(items(1), [time.time() + 60])
    await asyncio.sleep(0.03)
    stats = (await queue.stats())[Lane.DELIVERY]
    assert (stats.depth, stats.leased, stats.delayed) == (3, 2, 1)
    assert 0.02 < stats.oldest_age < 5


async def test_prune_forgets_only_idle_consumers_that_own_nothing(
    queue: Queue, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue.enqueue(items(1))
    await queue.read(Lane.DELIVERY, 1, 0)
    await Queue(redis, "idle").read(Lane.DELIVERY, 1, 0)
    monkeypatch.setattr("shared.queue.delivery.CONSUMER_IDLE_MS", -1)
    assert await queue.prune() == 1
    consumers = await redis.xinfo_consumers("pb:delivery:stream", GROUP)
    assert [consumer["name"] for consumer in consumers] == ["one"]


async def test_renewing_leases_outlast_long_work_and_tell_what_was_lost(redis: Redis) -> None:
    queue = Queue(redis, "worker", lease_ms=200)
    await queue.setup()
    await queue.enqueue(items(2))
    kept, stolen = await queue.read(Lane.DELIVERY, 2, 0)
    rival = Queue(redis, "rival", lease_ms=200)
    async with RenewingLeases(queue, [kept, stolen]) as held:
        await asyncio.sleep(0.5)
        assert held.owns(kept) and held.owns(stolen)
        assert await rival.reclaim(Lane.DELIVERY, 10) == []
        await redis.xclaim("pb:delivery:stream", GROUP, "rival", 0, [stolen.token])
        await asyncio.sleep(0.12)
        assert held.lost == {stolen}
        assert held.owns(kept) and not held.owns(stolen)
        held.remove([stolen, kept])
        assert held.lost == frozenset() and not held.owns(kept)


async def test_leases_count_as_lost_when_redis_is_away(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue(redis, "worker", lease_ms=120)
    await queue.setup()
    await queue.enqueue(items(1))
    leases = await queue.read(Lane.DELIVERY, 1, 0)

    async def away(_: object) -> list[Lease]:
        raise ConnectionResetError

    async with RenewingLeases(queue, leases) as held:
        monkeypatch.setattr(queue, "renew", away)
        assert held.owns(leases[0])
        await asyncio.sleep(0.2)
        assert held.lost == set(leases)
