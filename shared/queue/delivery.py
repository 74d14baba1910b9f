"""The queue: one Redis stream for each lane, worked on under leases that are renewed or expire.

A Redis that was wiped has no consumer groups: whoever meets that makes them again and finds nothing
to do, until the sweep (recovery.py) has filled the streams from the journal and SQL.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import time
from typing import Any, TypeVar

from prometheus_client import Counter
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.message.envelope import Lane
from shared.queue.connection import MAX_BLOCK_MS
from shared.queue.keys import GROUP, PREFIX, LaneKeys, lane_keys, site_prefix
from shared.queue.scripts import SCRIPT_CHUNK, Script

LEASE_MS = 60_000
PROMOTE_AGAIN_MS = 1_000  # until a delayed entry that is also being worked on is looked at again
CONSUMER_IDLE_MS = 3_600_000  # after which a consumer that owns nothing is forgotten


RECLAIMED = Counter("packetboat_leases_reclaimed", "Leases of silent workers that were taken over", ["lane"])


@dataclass(frozen=True, slots=True)
class Item:
    """What is enqueued: an entry in a lane, with the encoded reference to its journal record."""

    entry: str
    lane: Lane
    reference: str


@dataclass(frozen=True, slots=True)
class Lease:
    """An item that one consumer works on; `deliveries` counts how often it has been handed out."""

    item: Item
    token: str
    deliveries: int


T = TypeVar("T")
W = TypeVar("W", bound="Item | Lease")


@dataclass(frozen=True, slots=True)
class LaneStats:
    """A lane's numbers; `depth` are those waiting to be read, ages are in seconds."""

    depth: int
    leased: int
    delayed: int
    oldest_age: float


class Place(StrEnum):
    """Where the queue has an entry."""

    QUEUED = "queued"
    LEASED = "leased"
    DELAYED = "delayed"
    SITES = "sites"


def new_consumer(service: str) -> str:
    """Return a consumer's name that no other process has: in containers process ids repeat."""
    return f"{service}-{os.uname().nodename}-{os.getpid()}-{secrets.token_hex(4)}"


class Queue:
    """Both lanes, as one consumer sees them; `consumer` must be new for each process."""

    def __init__(self, redis: Redis, consumer: str, *, lease_ms: int = LEASE_MS, prefix: str = PREFIX) -> None:
        self.redis = redis
        self.consumer = consumer
        self.lease_ms = lease_ms
        self.prefix = prefix
        self._keys = {lane: lane_keys(prefix, lane) for lane in Lane}
        self._cursors = dict.fromkeys(Lane, "0-0")
        self._enqueue = Script(redis, "enqueue")
        self._finish = Script(redis, "finish")
        self._delay = Script(redis, "delay")
        self._promote = Script(redis, "promote")
        self._renew = Script(redis, "renew")
        self._reclaim = Script(redis, "reclaim")
        self._release = Script(redis, "release")
        self._known = Script(redis, "known")
        self._prune = Script(redis, "prune")
        self._drop = Script(redis, "site", "drop")

    async def setup(self) -> None:
        """Create the streams and their groups; harmless if they exist."""
        for lane in Lane:
            await self._make_group(self._keys[lane])

    async def enqueue(self, items: Sequence[Item]) -> int:
        """Add items whose (entry, lane) isn't known yet; return how many were added."""
        added = 0
        for keys, chunk in self._by_lane(items):
            args = [keys.parts, *(f"{item.entry} {item.reference}" for item in chunk)]
            added += int(await self._enqueue([keys.stream, keys.queued, keys.delayed], args))
        return added

    async def read(self, lane: Lane, count: int, block_ms: int) -> list[Lease]:
        """Lease up to `count` waiting entries; wait up to `block_ms` (0: not at all) for the first."""
        keys = self._keys[lane]
        block = min(block_ms, MAX_BLOCK_MS) if block_ms > 0 else None
        try:
            reply = await self.redis.xreadgroup(GROUP, self.consumer, {keys.stream: ">"}, count=count, block=block)
        except ResponseError as error:
            await self._regroup(keys, error)
            return []
        return [
            Lease(Item(fields["e"], lane, fields["r"]), token, int(fields["n"]) + 1) for token, fields in _rows(reply)
        ]

    async def renew(self, leases: Sequence[Lease]) -> list[Lease]:
        """Renew leases; return those that are still this consumer's."""
        kept: list[Lease] = []
        for keys, chunk in self._by_lane(leases):
            tokens = [lease.token for lease in chunk]
            owned = set(await self._renew([keys.stream], [GROUP, self.consumer, *tokens]))
            kept += [lease for lease in chunk if lease.token in owned]
        return kept

    async def finish(self, leases: Sequence[Lease]) -> None:
        """Take finished work out of the queue; its outcome must be on record already."""
        for keys, chunk in self._by_lane(leases):
            pairs = (text for lease in chunk for text in (lease.token, lease.item.entry))
            await self._finish([keys.stream, keys.queued], [GROUP, *pairs])

    async def reclaim(self, lane: Lane, count: int) -> list[Lease]:
        """Take over up to `count` leases that expired; `deliveries` above 2 is for isolation."""
        keys = self._keys[lane]
        args: list[str | int] = [GROUP, self.consumer, self.lease_ms, self._cursors[lane], count]
        try:
            cursor, *rows = await self._reclaim([keys.stream], args)
        except ResponseError as error:
            await self._regroup(keys, error)
            return []
        self._cursors[lane] = cursor
        RECLAIMED.labels(lane.value).inc(len(rows))
        return [
            Lease(Item(entry, lane, reference), token, int(earlier) + int(deliveries))
            for token, entry, reference, earlier, deliveries in rows
        ]

    async def delay(self, work: Sequence[Lease | Item], due: Sequence[float]) -> None:
        """Put work off until a Unix time each; an Item (not leased) only if it is unknown."""
        times = {id(one): when for one, when in zip(work, due, strict=True)}
        for keys, chunk in self._by_lane(work):
            rows = [text for one in chunk for text in _delay_row(one, times[id(one)])]
            await self._delay([keys.stream, keys.queued, keys.delayed, keys.refs], [GROUP, keys.parts, *rows])

    async def promote(self, now: float, limit: int) -> int:
        """Move delayed entries due at `now` (Unix time) to the streams; up to `limit` of each lane."""
        moved = 0
        for keys in self._keys.values():
            names = [keys.stream, keys.queued, keys.delayed, keys.refs]
            moved += int(await self._promote(names, [_ms(now), limit, PROMOTE_AGAIN_MS]))
        return moved

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give work back at once and uncounted, so that no lease is left to expire (SIGTERM)."""
        for keys, chunk in self._by_lane(leases):
            rows = [text for lease in chunk for text in _release_row(lease)]
            await self._release([keys.stream, keys.queued], [GROUP, self.consumer, *rows])

    async def retry_now(self, entry: str, lane: Lane) -> bool:
        """Make a delayed entry due at once (the next promote moves it); False if it isn't delayed."""
        return await self.hasten([(entry, lane)]) > 0

    async def hasten(self, entries: Sequence[tuple[str, Lane]]) -> int:
        """Make those of the entries that are delayed due at once; return how many weren't due before."""
        changed = 0
        for lane in Lane:
            for chunk in chunks([entry for entry, of in entries if of is lane]):
                delayed = self._keys[lane].delayed
                changed += int(await self.redis.zadd(delayed, dict.fromkeys(chunk, 0), xx=True, ch=True) or 0)
        return changed

    async def drop(self, entry: str, lane: Lane) -> bool:
        """Take an entry out of a lane, whatever its state; False if it wasn't known."""
        keys = self._keys[lane]
        names = [site_prefix(self.prefix), keys.parts, keys.stream, keys.queued, keys.delayed, keys.refs]
        return bool(await self._drop(names, [GROUP, entry]))

    async def known(self, entries: Sequence[tuple[str, Lane]]) -> set[tuple[str, Lane]]:
        """Return which of the entries are queued, leased, delayed or at a site."""
        found: set[tuple[str, Lane]] = set()
        for lane in Lane:
            keys = self._keys[lane]
            for chunk in chunks([entry for entry, of in entries if of is lane]):
                flags = await self._known([keys.queued, keys.delayed], [keys.parts, *chunk])
                found |= {(entry, lane) for entry, flag in zip(chunk, flags, strict=True) if flag}
        return found

    async def places(self, entry: str, lane: Lane) -> set[Place]:
        """Return where the queue has an entry, for `queue show`."""
        keys = self._keys[lane]
        places: set[Place] = set()
        token = await self.redis.hget(keys.queued, entry)
        if token:
            pending = await self.redis.xpending_range(keys.stream, GROUP, token, token, 1)
            places.add(Place.LEASED if pending else Place.QUEUED)
        if await self.redis.zscore(keys.delayed, entry) is not None:
            places.add(Place.DELAYED)
        if keys.parts and await self.redis.exists(keys.parts + entry):
            places.add(Place.SITES)
        return places

    async def stats(self) -> dict[Lane, LaneStats]:
        """Return each lane's numbers; the cost doesn't depend on how much is queued."""
        return {lane: await self._lane_stats(keys) for lane, keys in self._keys.items()}

    async def epoch(self) -> str:
        """Return what changes when Redis was wiped, restored or failed over."""
        key = f"{self.prefix}epoch"
        await self.redis.set(key, secrets.token_hex(16), nx=True)
        info: dict[str, Any] = await self.redis.info("replication")
        return f"{await self.redis.get(key)!s}.{info['master_replid']}"

    async def prune(self) -> int:
        """Forget consumers of processes long gone that own nothing; return how many."""
        gone = 0
        for keys in self._keys.values():
            try:
                gone += int(await self._prune([keys.stream], [GROUP, CONSUMER_IDLE_MS]))
            except ResponseError as error:
                await self._regroup(keys, error)
        return gone

    async def _lane_stats(self, keys: LaneKeys) -> LaneStats:
        async with self.redis.pipeline(transaction=True) as pipeline:
            pipeline.xlen(keys.stream)
            pipeline.xpending(keys.stream, GROUP)
            pipeline.zcard(keys.delayed)
            pipeline.xrange(keys.stream, count=1)
            length, pending, delayed, first = await pipeline.execute(raise_on_error=False)
        if isinstance(pending, Exception):  # wiped: no group, hence nothing queued
            return LaneStats(0, 0, 0, 0.0)
        oldest = max(0.0, time() - int(first[0][0].split("-")[0]) / 1000) if first else 0.0
        leased = int(pending["pending"])
        return LaneStats(max(0, int(length) - leased), leased, int(delayed), oldest)

    async def _make_group(self, keys: LaneKeys) -> None:
        try:
            await self.redis.xgroup_create(keys.stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _regroup(self, keys: LaneKeys, error: ResponseError) -> None:
        """Make a lane's group again if that is what is missing: Redis was wiped."""
        text = str(error)
        if not any(sign in text for sign in ("NOGROUP", "UNBLOCKED", "no such key")):
            raise error
        await self._make_group(keys)

    def _by_lane(self, work: Sequence[W]) -> Iterator[tuple[LaneKeys, list[W]]]:
        for lane, keys in self._keys.items():
            for chunk in chunks([one for one in work if _item(one).lane is lane]):
                yield keys, chunk


def chunks(rows: list[T]) -> Iterator[list[T]]:
    """Cut rows into what one script call takes."""
    for start in range(0, len(rows), SCRIPT_CHUNK):
        yield rows[start : start + SCRIPT_CHUNK]


def _item(work: Item | Lease) -> Item:
    return work.item if isinstance(work, Lease) else work


def _delay_row(work: Lease | Item, due: float) -> tuple[str, str, str, str]:
    token, item = work.token if isinstance(work, Lease) else "", _item(work)
    return token, item.entry, item.reference, _ms(due)


def _release_row(lease: Lease) -> tuple[str, str, str, str]:
    return lease.token, lease.item.entry, lease.item.reference, str(lease.deliveries - 1)


def _ms(seconds: float) -> str:
    return str(int(seconds * 1000))


def _rows(reply: Any) -> list[Any]:
    """Return the (id, fields) of one stream: a list of pairs in RESP2, a mapping in RESP3."""
    if not reply:
        return []
    if isinstance(reply, dict):
        return [row for rows in reply.values() for batch in rows for row in batch]
    return list(reply[0][1])
