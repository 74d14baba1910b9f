"""The relay's work by receiving site: leased slots, so that concurrency per site holds for all replicas.

An entry's work is cut into one *item* for each (entry, domain) and queued at the site that the domain
resolves to. A worker leases a *slot* of a ready site, takes many items over one connection, and
finishes or puts off each. Items that a slot holds when its lease expires go back to their old places.
All of a site's steps are Lua (lua/site*.lua): whoever dies between two leaves a state that is whole.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.errors import PacketboatError
from shared.message.envelope import Lane
from shared.queue.connection import MAX_BLOCK_MS
from shared.queue.delivery import Item, Lease, chunks
from shared.queue.keys import GROUP, PREFIX, lane_keys, site_prefix
from shared.queue.scripts import Script

SITE_LEASE_MS = 60_000
SPREAD_MS = 50  # until a site with work left is given a further connection
EXPIRE_BATCH = 100
ASSIGN_VALUES = 600  # entries and their parts in one call
NOTHING = "-"  # in place of a token or a time
STATS_LIMIT = 1_000  # sites in one answer
MAX_NAME = 1_000  # characters of a site's name that are kept for people


class SiteLeaseLost(PacketboatError):
    """The slot's lease expired: what it held belongs to others now."""


@dataclass(frozen=True, slots=True)
class Part:
    """The part of an entry that goes to one domain, and the site that the domain resolves to."""

    domain: str
    site: str


@dataclass(frozen=True, slots=True)
class Assignment:
    """An entry with the parts that go to sites now, and the Unix time at which it comes back for others."""

    work: Lease | Item
    parts: Sequence[Part]
    due: float | None = None


@dataclass(frozen=True, slots=True)
class SiteLease:
    """One slot of a site, held by one worker."""

    site: str
    sid: str = field(repr=False)
    token: str


@dataclass(frozen=True, slots=True)
class SiteItem:
    """A part that was taken; `deliveries` counts how often it has been."""

    entry: str
    domain: str
    site: str
    reference: str
    deliveries: int
    generation: str = field(repr=False)

    @property
    def key(self) -> str:
        """What names it in Redis."""
        return f"{self.entry}:{self.domain}"


@dataclass(frozen=True, slots=True)
class SiteStats:
    """A site's numbers; times are Unix seconds, 0 for none."""

    site: str
    depth: int
    oldest: float
    slots: int
    limit: int
    paused_until: float
    stopped: bool


class Sites:
    """The scheduler; `slots_of` gives the connections allowed at once to a site, by all replicas."""

    def __init__(
        self,
        redis: Redis,
        slots_of: Callable[[str], int],
        *,
        lease_ms: int = SITE_LEASE_MS,
        spread_ms: int = SPREAD_MS,
        prefix: str = PREFIX,
    ) -> None:
        self.redis = redis
        self.lease_ms = lease_ms
        self._slots_of = slots_of
        self._spread_ms = spread_ms
        self._lane = lane_keys(prefix, Lane.RELAY)
        self._base = [site_prefix(prefix), self._lane.parts]
        self._wake = f"{site_prefix(prefix)}wake"
        self._assign = Script(redis, "site", "site_assign")
        self._acquire = Script(redis, "site", "site_acquire")
        self._take = Script(redis, "site", "site_take")
        self._renew = Script(redis, "site", "site_renew")
        self._finish = Script(redis, "site", "site_finish")
        self._return = Script(redis, "site", "site_return")
        self._release = Script(redis, "site", "site_release")
        self._expire = Script(redis, "site", "site_expire")
        self._pause = Script(redis, "site", "site_pause")
        self._stats = Script(redis, "site", "site_stats")

    async def assign(self, work: Lease | Item, parts: Sequence[Part], due: float | None = None) -> int:
        """Move an entry's work to its sites and end its lease; return how many parts were new.

        With `due` (Unix time) the entry also comes back to the stream then, for recipients that wait.
        """
        return await self.assign_all([Assignment(work, parts, due)])

    async def assign_all(self, assignments: Sequence[Assignment]) -> int:
        """Do the same for many entries in few calls."""
        lane = self._lane
        keys = [*self._base, lane.stream, lane.queued, lane.delayed, lane.refs]
        pieces = [piece for assignment in assignments for piece in _pieces(assignment)]
        return sum([int(await self._assign(keys, self._assign_args(call))) for call in _calls(pieces)])

    async def acquire(self) -> SiteLease | None:
        """Lease a slot of the site that has been ready longest; None if no site is ready."""
        token = secrets.token_hex(8)
        reply = await self._acquire(self._base, [token, self.lease_ms, self._spread_ms])
        return SiteLease(site=reply[1], sid=reply[0], token=token) if reply else None

    async def wait(self, timeout: float) -> None:
        """Wait until a site becomes ready, or `timeout` seconds (a pause may end unannounced)."""
        await self.redis.blpop([self._wake], timeout=min(timeout, MAX_BLOCK_MS / 1000))

    async def take(self, lease: SiteLease, count: int) -> list[SiteItem]:
        """Take up to `count` items, the oldest first; SiteLeaseLost if the lease is over."""
        try:
            rows = await self._take(self._base, [lease.sid, lease.token, count])
        except ResponseError as error:
            if "LOST" in str(error):
                raise SiteLeaseLost(f"the lease of a slot at {lease.site} is over") from None
            raise
        return [_site_item(lease.site, *row) for row in rows]

    async def renew(self, lease: SiteLease) -> bool:
        """Renew a lease; False if it is over."""
        return bool(await self._renew(self._base, [lease.sid, lease.token, self.lease_ms]))

    async def finish(self, lease: SiteLease, items: Sequence[SiteItem]) -> None:
        """Take items out whose outcomes are all on record."""
        await self._remove(lease, items, [""] * len(items))

    async def delay(self, lease: SiteLease, items: Sequence[SiteItem], due: Sequence[float]) -> None:
        """Take items out and bring their entries back to the relay's stream at a Unix time each."""
        await self._remove(lease, items, [_ms(when) for when in due])

    async def put_back(self, lease: SiteLease, items: Sequence[SiteItem]) -> None:
        """Put items that weren't tried back to their old places, uncounted; the slot stays leased."""
        for chunk in chunks(list(items)):
            await self._return(self._base, [lease.sid, lease.token, *(item.key for item in chunk)])

    async def release(self, lease: SiteLease) -> None:
        """Free a slot; items it still holds go back, uncounted."""
        await self._release(self._base, [lease.sid, lease.token])

    async def back_off(self, site: str, until: float) -> None:
        """Send nothing to a site before a Unix time (its hosts can't be reached, or said so)."""
        await self._pause(self._base, ["back_off", site_id(site), site[:MAX_NAME], _ms(until)])

    async def pause(self, site: str) -> None:
        """Send nothing to a site until an operator resumes it."""
        await self._pause(self._base, ["stop", site_id(site), site[:MAX_NAME]])

    async def resume(self, site: str) -> None:
        """End a pause of either kind."""
        await self._pause(self._base, ["resume", site_id(site), site[:MAX_NAME]])

    async def reclaim(self) -> int:
        """Put back what expired leases held; acquire does it too. Return how many had expired."""
        return int(await self._expire(self._base, [EXPIRE_BATCH]))

    async def stats(self, limit: int = STATS_LIMIT) -> list[SiteStats]:
        """Return the numbers of up to `limit` sites that have work, workers or an operator's pause."""
        rows = await self._stats(self._base, [limit])
        return [_site_stats(*row) for row in rows]

    async def _remove(self, lease: SiteLease, items: Sequence[SiteItem], due: Sequence[str]) -> None:
        keys = [*self._base, self._lane.delayed, self._lane.refs]
        for chunk in chunks(list(zip(items, due, strict=True))):
            rows = [_finish_row(item, when) for item, when in chunk]
            await self._finish(keys, [lease.sid, lease.token, *rows])

    def _assign_args(self, pieces: Sequence[Assignment]) -> list[str | int]:
        sites = list(dict.fromkeys(part.site for piece in pieces for part in piece.parts))
        places = {site: str(number) for number, site in enumerate(sites, 1)}
        rows = (text for site in sites for text in (site_id(site), site[:MAX_NAME], self._slots_of(site)))
        return [GROUP, len(sites), *rows, *(_assign_row(piece, places) for piece in pieces)]


def _pieces(assignment: Assignment) -> Iterator[Assignment]:
    """Cut an assignment into what one call takes; only the last ends the lease."""
    work = assignment.work
    *batches, last = list(chunks(list(assignment.parts))) or [[]]
    for batch in batches:
        yield Assignment(work.item if isinstance(work, Lease) else work, batch)
    yield Assignment(work, last, assignment.due)


def _calls(pieces: Sequence[Assignment]) -> Iterator[list[Assignment]]:
    """Gather pieces for one call each, so that none keeps the server for long."""
    call: list[Assignment] = []
    values = 0
    for piece in pieces:
        size = 1 + len(piece.parts)
        if call and values + size > ASSIGN_VALUES:
            yield call
            call, values = [], 0
        call.append(piece)
        values += size
    if call:
        yield call


def _assign_row(piece: Assignment, places: Mapping[str, str]) -> str:
    work = piece.work
    token, item = (work.token, work.item) if isinstance(work, Lease) else (NOTHING, work)
    parts = [text for part in piece.parts for text in (part.domain, places[part.site])]
    return "\n".join([token, item.entry, item.reference, _ms(piece.due) or NOTHING, *parts])


def _finish_row(item: SiteItem, due: str) -> str:
    row = f"{item.key}\n{item.generation}"
    return f"{row}\n{item.entry}\n{item.reference}\n{due}" if due else row


def site_id(site: str) -> str:
    """Return what stands for a site in key names: its name comes from other people's DNS."""
    return hashlib.blake2b(site.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _site_item(site: str, key: str, generation: str, reference: str, tries: int) -> SiteItem:
    entry, _, domain = key.partition(":")
    return SiteItem(entry, domain, site, reference, int(tries), generation)


def _site_stats(name: str, depth: int, oldest: str, slots: int, limit: str, paused: str, stopped: str) -> SiteStats:
    since = float(oldest) / 1000 if oldest else 0.0
    return SiteStats(name, depth, since, slots, int(limit), int(paused) / 1000, stopped == "1")


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else str(int(seconds * 1000))
