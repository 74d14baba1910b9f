"""The relay's scheduler: slots per site over all replicas, crashes, pauses."""

from __future__ import annotations

import asyncio
import time

import pytest
from redis.asyncio import Redis

from shared.ids import new_id
from shared.message.envelope import Lane
from shared.queue.delivery import Item, Place, Queue
from shared.queue.renewing import RenewingSite
from shared.queue.sites import Part, SiteItem, SiteLease, SiteLeaseLost, Sites, site_id

MX = "mx1.example.org,mx2.example.org"


def make(redis: Redis, slots: int = 2, **options: int) -> Sites:
    return Sites(redis, lambda _: slots, **{"spread_ms": 0, **options})


@pytest.fixture
async def queue(redis: Redis) -> Queue:
    queue = Queue(redis, "relay")
    await queue.setup()
    return queue


@pytest.fixture
def sites(redis: Redis) -> Sites:
    return make(redis)


async def assign(sites: Sites, *domains: str, site: str = MX) -> str:
    entry = new_id()
    item = Item(entry, Lane.RELAY, f"reference of {entry}: with colons:1:2")
    assert await sites.assign(item, [Part(domain, site) for domain in domains]) == len(domains)
    return entry


async def acquire(sites: Sites) -> SiteLease:
    lease = await sites.acquire()
    assert lease is not None
    return lease


def keys(items: list[SiteItem]) -> list[tuple[str, str]]:
    return [(item.entry, item.domain) for item in items]


async def is_known(queue: Queue, entry: str) -> bool:
    return await queue.known([(entry, Lane.RELAY)]) != set()


async def test_an_entry_moves_from_the_stream_to_its_sites(queue: Queue, sites: Sites) -> None:
    entry = new_id()
    await queue.enqueue([Item(entry, Lane.RELAY, "ref")])
    (lease,) = await queue.read(Lane.RELAY, 1, 0)
    parts = [Part("a.example", MX), Part("b.example", MX), Part("c.example", "other.example")]
    assert await sites.assign(lease, parts) == 3
    assert (await queue.stats())[Lane.RELAY].leased == 0
    assert await queue.places(entry, Lane.RELAY) == {Place.SITES}
    assert await queue.enqueue([Item(entry, Lane.RELAY, "ref")]) == 0
    first, second = await acquire(sites), await acquire(sites)
    assert {first.site, second.site} == {MX, "other.example"}
    for one in (first, second):
        items = await sites.take(one, 10)
        assert {item.reference for item in items} == {"ref"}
        assert await is_known(queue, entry)
        await sites.finish(one, items)
        await sites.release(one)
    assert not await is_known(queue, entry)
    assert await sites.acquire() is None


async def test_nothing_is_left_of_a_site_that_is_done(redis: Redis, sites: Sites) -> None:
    await assign(sites, "a.example")
    lease = await acquire(sites)
    await sites.finish(lease, await sites.take(lease, 1))
    await sites.release(lease)
    assert set(await redis.keys("pb:site:*")) <= {"pb:site:generation", "pb:site:wake"}
    assert await sites.stats() == []


async def test_concurrency_per_site_holds_over_all_replicas(redis: Redis) -> None:
    one, two = make(redis, 3), make(redis, 3)
    for _ in range(10):
        await assign(one, "a.example")
    leases = [lease for _ in range(4) for sites in (one, two) if (lease := await sites.acquire())]
    assert len(leases) == 3
    await two.release(leases[0])
    assert await one.acquire() is not None
    assert await one.acquire() is None


async def test_sites_take_turns(redis: Redis) -> None:
    sites = make(redis, 10)
    for site in ("a", "b", "c"):
        for _ in range(5):
            await assign(sites, "x.example", site=site)
        await asyncio.sleep(0.002)
    got = []
    for _ in range(6):
        got.append((await acquire(sites)).site)
        await asyncio.sleep(0.002)
    assert got == ["a", "b", "c", "a", "b", "c"]


async def test_a_second_connection_waits_a_moment(redis: Redis) -> None:
    sites = make(redis, 2, spread_ms=80)
    await assign(sites, "a.example")
    await assign(sites, "a.example")
    await acquire(sites)
    assert await sites.acquire() is None
    await asyncio.sleep(0.09)
    assert await sites.acquire() is not None


async def test_oldest_first_and_no_item_twice(sites: Sites) -> None:
    order = []
    for _ in range(4):
        order.append(await assign(sites, "a.example"))
        await asyncio.sleep(0.002)
    one, two = await acquire(sites), await acquire(sites)
    first, second = await sites.take(one, 3), await sites.take(two, 3)
    assert [item.entry for item in first] == order[:3]
    assert [item.entry for item in second] == order[3:]
    assert await sites.take(one, 3) == []


async def test_assigning_again_adds_nothing(queue: Queue, sites: Sites) -> None:
    entry = await assign(sites, "a.example")
    again = Item(entry, Lane.RELAY, "ref")
    assert await sites.assign(again, [Part("a.example", "elsewhere"), Part("b.example", MX)]) == 1
    lease = await acquire(sites)
    assert sorted(keys(await sites.take(lease, 10))) == [(entry, "a.example"), (entry, "b.example")]
    await sites.assign(again, [Part("a.example", MX)])
    assert await queue.places(entry, Lane.RELAY) == {Place.SITES, Place.DELAYED}, "it is in a worker's hand"


async def test_a_vanished_workers_items_go_back_in_order_and_counted(redis: Redis) -> None:
    sites = make(redis, 1, lease_ms=30)
    first = await assign(sites, "a.example")
    await asyncio.sleep(0.002)
    second = await assign(sites, "a.example")
    dead = await acquire(sites)
    (held,) = await sites.take(dead, 1)
    assert (held.entry, held.deliveries) == (first, 1)
    assert await sites.acquire() is None
    await asyncio.sleep(0.04)
    lease = await acquire(sites)
    items = await sites.take(lease, 10)
    assert [(item.entry, item.deliveries) for item in items] == [(first, 2), (second, 1)]
    assert not await sites.renew(dead)
    with pytest.raises(SiteLeaseLost):
        await sites.take(dead, 1)
    await sites.release(dead)
    assert await sites.renew(lease), "a late release spares the new owner"


async def test_a_late_workers_outcome_still_counts(redis: Redis, queue: Queue) -> None:
    sites = make(redis, 1, lease_ms=20)
    entry = await assign(sites, "a.example")
    dead = await acquire(sites)
    held = await sites.take(dead, 1)
    await asyncio.sleep(0.03)
    assert await sites.reclaim() == 1
    await sites.finish(dead, held)  # its outcome was on record before
    assert await sites.acquire() is None
    assert not await is_known(queue, entry)


async def test_a_late_finish_spares_what_was_assigned_again(redis: Redis, queue: Queue) -> None:
    sites = make(redis, 1, lease_ms=20)
    entry = await assign(sites, "a.example")
    dead = await acquire(sites)
    held = await sites.take(dead, 1)
    await asyncio.sleep(0.03)
    lease = await acquire(sites)
    await sites.finish(lease, await sites.take(lease, 1))
    assert await sites.assign(Item(entry, Lane.RELAY, "ref"), [Part("a.example", MX)]) == 1
    await sites.finish(dead, held)
    assert await is_known(queue, entry)
    assert keys(await sites.take(lease, 1)) == [(entry, "a.example")]


async def test_a_renewed_lease_outlasts_its_time(redis: Redis) -> None:
    sites = make(redis, 1, lease_ms=60)
    await assign(sites, "a.example")
    await assign(sites, "a.example")
    lease = await acquire(sites)
    for _ in range(4):
        await asyncio.sleep(0.03)
        assert await sites.renew(lease)
        assert await sites.acquire() is None


async def test_release_and_put_back_do_not_count(sites: Sites) -> None:
    entry = await assign(sites, "a.example", "b.example")
    lease = await acquire(sites)
    items = await sites.take(lease, 2)
    await sites.put_back(lease, items[:1])
    again = await sites.take(lease, 2)
    assert keys(again) == keys(items[:1])
    assert again[0].deliveries == 1
    await sites.release(lease)
    items = await sites.take(await acquire(sites), 5)
    assert sorted(keys(items)) == [(entry, "a.example"), (entry, "b.example")]
    assert {item.deliveries for item in items} == {1}


async def test_a_delayed_part_brings_its_entry_back(queue: Queue, sites: Sites) -> None:
    entry = await assign(sites, "a.example", "b.example")
    lease = await acquire(sites)
    one, two = await sites.take(lease, 2)
    await sites.delay(lease, [one], [200.0])
    assert await queue.places(entry, Lane.RELAY) == {Place.SITES, Place.DELAYED}
    await sites.delay(lease, [two], [100.0])
    assert await queue.places(entry, Lane.RELAY) == {Place.DELAYED}
    assert await queue.promote(100.0, 10) == 1
    (back,) = await queue.read(Lane.RELAY, 1, 0)
    assert back.item.reference == one.reference
    assert await sites.assign(back, [Part("b.example", MX)], due=200.0) == 1
    assert await queue.places(entry, Lane.RELAY) == {Place.SITES, Place.DELAYED}


async def test_an_entry_with_nothing_to_do_now_is_only_delayed(queue: Queue, sites: Sites) -> None:
    item = Item(new_id(), Lane.RELAY, "ref")
    await queue.enqueue([item])
    (lease,) = await queue.read(Lane.RELAY, 1, 0)
    await sites.assign(lease, [], due=100.0)
    assert await queue.places(item.entry, Lane.RELAY) == {Place.DELAYED}


async def test_many_parts_are_assigned_in_calls_and_the_token_goes_last(queue: Queue, sites: Sites) -> None:
    item = Item(new_id(), Lane.RELAY, "ref")
    await queue.enqueue([item])
    (lease,) = await queue.read(Lane.RELAY, 1, 0)
    parts = [Part(f"d{number}.example", f"mx{number % 7}") for number in range(1_100)]
    assert await sites.assign(lease, parts) == 1_100
    assert await queue.places(item.entry, Lane.RELAY) == {Place.SITES}
    assert sum(site.depth for site in await sites.stats()) == 1_100
    assert await queue.drop(item.entry, Lane.RELAY)
    assert await sites.stats() == []


async def test_a_site_that_backs_off_is_left_alone_until_then(redis: Redis, sites: Sites) -> None:
    await assign(sites, "a.example")
    lease = await acquire(sites)
    until = time.time() + 0.15
    await sites.back_off(MX, until)
    assert await sites.take(lease, 1) == []
    await sites.release(lease)
    assert await sites.acquire() is None
    (stats,) = await sites.stats()
    assert abs(stats.paused_until - until) < 0.002
    await asyncio.sleep(0.16)
    lease = await acquire(sites)
    assert len(await sites.take(lease, 1)) == 1


async def test_a_back_off_outlives_an_empty_queue(redis: Redis, sites: Sites) -> None:
    await assign(sites, "a.example")
    lease = await acquire(sites)
    items = await sites.take(lease, 1)
    await sites.back_off(MX, time.time() + 0.1)
    await sites.delay(lease, items, [time.time() + 60])
    await sites.release(lease)
    await assign(sites, "b.example")
    assert await sites.acquire() is None
    await asyncio.sleep(0.11)
    assert await sites.acquire() is not None


async def test_a_forgotten_back_off_leaves_no_key(redis: Redis, sites: Sites) -> None:
    await sites.back_off(MX, time.time() + 0.05)
    await asyncio.sleep(0.08)
    assert await redis.exists(f"pb:site:{site_id(MX)}:meta") == 0


async def test_the_operator_pauses_and_resumes(sites: Sites) -> None:
    await sites.pause(MX)
    await assign(sites, "a.example")
    assert await sites.acquire() is None
    (stats,) = await sites.stats()
    assert (stats.site, stats.stopped, stats.depth) == (MX, True, 1)
    await sites.resume(MX)
    assert await sites.acquire() is not None


async def test_dropping_an_entry_in_hand(queue: Queue, sites: Sites) -> None:
    entry = await assign(sites, "a.example")
    lease = await acquire(sites)
    await sites.take(lease, 1)
    assert await queue.drop(entry, Lane.RELAY)
    await sites.release(lease)
    assert await sites.acquire() is None
    assert not await is_known(queue, entry)


async def test_a_wiped_redis_ends_all_leases(redis: Redis, sites: Sites) -> None:
    await assign(sites, "a.example")
    lease = await acquire(sites)
    items = await sites.take(lease, 1)
    await redis.flushall()
    assert not await sites.renew(lease)
    await sites.finish(lease, items)
    await sites.release(lease)
    with pytest.raises(SiteLeaseLost):
        await sites.take(lease, 1)
    assert await sites.acquire() is None


async def test_waiting_ends_when_a_site_gets_work(sites: Sites) -> None:
    waiting = asyncio.create_task(sites.wait(3))
    await asyncio.sleep(0.02)
    await assign(sites, "a.example")
    await asyncio.wait_for(waiting, 1)
    assert await sites.acquire() is not None


async def test_site_names_are_not_key_names(redis: Redis, sites: Sites) -> None:
    nasty = "mx\n*:[?]:held:\N{SNOWMAN} pb:site:ready"
    await assign(sites, "a.example", site=nasty)
    assert (await acquire(sites)).site == nasty
    assert all(nasty not in key for key in await redis.keys("*"))


async def test_stats_per_site(sites: Sites) -> None:
    before = time.time() - 0.01
    await assign(sites, "a.example")
    await assign(sites, "b.example")
    await acquire(sites)
    (stats,) = await sites.stats()
    assert (stats.site, stats.depth, stats.slots, stats.limit, stats.stopped) == (MX, 2, 1, 2, False)
    assert before <= stats.oldest <= time.time()


async def test_a_renewing_slot_outlasts_long_work_and_knows_when_it_is_lost(redis: Redis) -> None:
    sites = make(redis, 1, lease_ms=150)
    await assign(sites, "a.example")
    await assign(sites, "a.example")
    lease = await acquire(sites)
    async with RenewingSite(sites, lease) as slot:
        await asyncio.sleep(0.4)
        assert slot.owned
        assert await sites.acquire() is None
        await sites.release(lease)
        await asyncio.sleep(0.1)
        assert not slot.owned
