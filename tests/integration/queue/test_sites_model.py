"""The site scheduler against a model: never more slots than allowed, no item lost, none given twice."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from shared.ids import new_id
from shared.message.envelope import Lane
from shared.queue.connection import connect
from shared.queue.delivery import Item, Queue
from shared.queue.sites import Part, SiteItem, SiteLease, SiteLeaseLost, Sites, site_id

LIMITS = {"site-a": 1, "site-b": 2, "site-c": 3}
ENTRIES = [new_id(n) for n in range(6)]
DOMAINS = {"a1.example": "site-a", "b1.example": "site-b", "b2.example": "site-b", "c1.example": "site-c"}

small = st.integers(0, 5)
operations = st.one_of(
    st.tuples(st.just("assign"), small, st.sets(st.sampled_from(sorted(DOMAINS)), min_size=1)),
    st.tuples(st.just("acquire")),
    st.tuples(st.sampled_from(["take", "finish", "delay", "put_back", "late_finish"]), small, st.integers(1, 3)),
    st.tuples(st.sampled_from(["release", "die", "renew", "drop", "back_off", "resume"]), small),
)


@dataclass
class Worker:
    """A lease that somebody holds, or held before it died."""

    lease: SiteLease
    items: list[SiteItem] = field(default_factory=list)


class Model:
    """What should be true, beside the real thing."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.queue = Queue(redis, "model")
        self.sites = Sites(redis, LIMITS.__getitem__, spread_ms=0)
        self.alive: list[Worker] = []
        self.dead: list[Worker] = []
        self.unfinished: set[tuple[str, str]] = set()
        self.delayed: set[str] = set()
        self.paused: set[str] = set()

    async def assign(self, number: int, domains: set[str]) -> None:
        entry = ENTRIES[number]
        parts = [Part(domain, DOMAINS[domain]) for domain in sorted(domains)]
        added = await self.sites.assign(Item(entry, Lane.RELAY, "r"), parts)
        wanted = {(entry, domain) for domain in domains}
        assert added == len(wanted - self.unfinished)
        if any(_key(item) in wanted for worker in self.alive for item in worker.items):
            self.delayed.add(entry)
        self.unfinished |= wanted

    async def acquire(self) -> None:
        lease = await self.sites.acquire()
        if lease is None:
            return
        assert lease.site not in self.paused
        self.alive.append(Worker(lease))
        used = sum(worker.lease.site == lease.site for worker in self.alive)
        assert used <= LIMITS[lease.site]

    async def take(self, number: int, count: int) -> None:
        if worker := self._worker(number):
            items = await self.sites.take(worker.lease, count)
            assert not items or worker.lease.site not in self.paused
            held = {_key(item) for other in self.alive for item in other.items}
            taken = {_key(item) for item in items}
            assert len(taken) == len(items) and not taken & held
            assert taken <= self.unfinished
            worker.items += items

    async def finish(self, number: int, count: int) -> None:
        if worker := self._worker(number):
            items = _pop(worker, count)
            await self.sites.finish(worker.lease, items)
            self.unfinished -= {_key(item) for item in items}

    async def delay(self, number: int, count: int) -> None:
        if worker := self._worker(number):
            items = _pop(worker, count)
            await self.sites.delay(worker.lease, items, [9e9] * len(items))
            self.unfinished -= {_key(item) for item in items}
            self.delayed |= {item.entry for item in items}

    async def put_back(self, number: int, count: int) -> None:
        if worker := self._worker(number):
            await self.sites.put_back(worker.lease, _pop(worker, count))

    async def release(self, number: int) -> None:
        if worker := self._worker(number):
            self.alive.remove(worker)
            await self.sites.release(worker.lease)

    async def renew(self, number: int) -> None:
        if worker := self._worker(number):
            assert await self.sites.renew(worker.lease)

    async def die(self, number: int) -> None:
        """A worker vanishes and its lease's time passes."""
        if worker := self._worker(number):
            self.alive.remove(worker)
            self.dead.append(worker)
            sid, token = site_id(worker.lease.site), worker.lease.token
            await self.redis.zadd("pb:site:leases", {f"{sid}:{token}": 1})
            await self.redis.zadd(f"pb:site:{sid}:slots", {token: 1})
            await self.sites.reclaim()
            try:
                await self.sites.take(worker.lease, 1)
            except SiteLeaseLost:
                return
            raise AssertionError("a dead lease still gives work")

    async def late_finish(self, number: int, count: int) -> None:
        """A worker that was thought dead says what it has done; what was assigned anew meanwhile stays."""
        if self.dead:
            worker = self.dead[number % len(self.dead)]
            items = _pop(worker, count)
            current = await self._generations(items)
            await self.sites.finish(worker.lease, items)
            same = {_key(i) for i, now in zip(items, current, strict=True) if now == i.generation}
            self.unfinished -= same
            for other in self.alive:
                other.items = [item for item in other.items if _key(item) not in same]

    async def drop(self, number: int) -> None:
        entry = ENTRIES[number]
        await self.queue.drop(entry, Lane.RELAY)
        self.delayed.discard(entry)
        self.unfinished = {key for key in self.unfinished if key[0] != entry}
        for worker in self.alive:
            worker.items = [item for item in worker.items if item.entry != entry]

    async def back_off(self, number: int) -> None:
        site = sorted(LIMITS)[number % 3]
        await self.sites.back_off(site, 8e9)
        self.paused.add(site)

    async def resume(self, number: int) -> None:
        site = sorted(LIMITS)[number % 3]
        await self.sites.resume(site)
        self.paused.discard(site)

    async def check(self) -> None:
        """Everything is known, and when all workers give up, everything can be had again, once."""
        expected = {entry for entry, _ in self.unfinished} | self.delayed
        known = await self.queue.known([(entry, Lane.RELAY) for entry in ENTRIES])
        assert known == {(entry, Lane.RELAY) for entry in expected}
        for site in LIMITS:
            await self.sites.resume(site)
        for worker in self.alive:
            await self.sites.release(worker.lease)
        left: list[tuple[str, str]] = []
        while lease := await self.sites.acquire():
            items = await self.sites.take(lease, 100)
            await self.sites.finish(lease, items)
            await self.sites.release(lease)
            left += map(_key, items)
        assert sorted(left) == sorted(self.unfinished)
        keys = set(await self.redis.keys("*"))
        assert keys <= {"pb:site:generation", "pb:site:wake", "pb:relay:delayed", "pb:relay:refs"}

    async def _generations(self, items: list[SiteItem]) -> list[str]:
        values = [await self.redis.hget("pb:site:items", item.key) for item in items]
        return [value.partition(":")[0] if value else "" for value in values]

    def _worker(self, number: int) -> Worker | None:
        return self.alive[number % len(self.alive)] if self.alive else None


def _pop(worker: Worker, count: int) -> list[SiteItem]:
    items, worker.items = worker.items[:count], worker.items[count:]
    return items


def _key(item: SiteItem) -> tuple[str, str]:
    return item.entry, item.domain


async def _play(url: str, steps: list[tuple[object, ...]]) -> None:
    redis = connect(url)
    try:
        await redis.flushall()
        model = Model(redis)
        for name, *arguments in steps:
            await getattr(model, str(name))(*arguments)
        await model.check()
    finally:
        await redis.aclose()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(operations, min_size=5, max_size=60))
def test_the_scheduler_follows_the_model(redis_url: str, steps: list[tuple[object, ...]]) -> None:
    asyncio.run(_play(redis_url, steps))
