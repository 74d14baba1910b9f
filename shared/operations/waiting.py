"""What isn't finished: recipients that wait in SQL for an attempt or for the operator, and fresh ones.

Fresh recipients are on record nowhere yet. `RedisFresh` lists them from the queue, page by page, as the API
does; `JournalFresh` reads the unsettled segments, which is true with Redis down or wiped, and slow.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from redis.asyncio import Redis

from shared.db import Database, Work, load
from shared.errors import ConfigurationError, TemporaryFailure
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.message.envelope import Envelope, Lane, Recipient
from shared.operations.actor import Actor, domain_of
from shared.operations.paging import WINDOW, Filter, Listing, Page, decode_cursor, encode_cursor, in_domains, like
from shared.queue.keys import PREFIX, lane_keys, site_prefix
from shared.queue.outstanding import outstanding

MAX_WINDOWS = 5  # looked at for one page
PAGE_TIME = 0.02  # seconds after which a page is as long as it is

_POSITION = re.compile(r"\d{1,19}(?:-\d{1,19})?\Z", re.ASCII)
sql = load("admin")
PENDING = Listing(
    "p.entry, p.recipient, p.target, p.lane, p.due_at, p.first_at, p.attempts, p.held, p.site, p.reason, p.sender,"
    " p.message_id",
    "pending p",
    ("p.entry", "p.recipient", "p.target"),
)
STATES = ("queued", "waiting", "held")


@dataclass(frozen=True, slots=True)
class Waiting:
    """One recipient of one entry that isn't finished; times are Unix seconds."""

    entry: str
    sender: str
    recipient: str
    lane: str
    state: str  # queued | waiting | held
    since: float
    attempts: int = 0
    due: float = 0.0
    reason: str = ""
    site: str = ""
    target: str = ""
    message_id: str = ""

    def view(self) -> dict[str, Any]:
        """Return it as the API tells it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which of them; "" and () mean any. Texts are compared in lower case."""

    state: str = ""
    lane: str = ""
    site: str = ""
    sender: str = ""  # address, or @domain
    recipient: str = ""
    reason: str = ""  # a part of it
    entries: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.state and self.state not in STATES:
            raise ConfigurationError(f"a state is one of {', '.join(STATES)}")
        if self.lane and self.lane not in set(Lane):
            raise ConfigurationError(f"a lane is one of {', '.join(Lane)}")

    def takes(self, item: Waiting) -> bool:
        """Whether a fresh recipient is one of them."""
        return (
            self.state in ("", item.state)
            and self.lane in ("", item.lane)
            and self.site in ("", item.site)
            and _matches(self.sender, item.sender)
            and _matches(self.recipient, item.recipient)
            and self.reason.lower() in item.reason.lower()
            and (not self.entries or item.entry in self.entries)
        )

    def conditions(self, actor: Actor) -> Filter:
        """Return what it asks of `pending`."""
        wanted = Filter()
        if self.entries:
            wanted = wanted.plus("p.entry IN (:entries...)", entries=list(self.entries))
        if self.state:
            wanted = wanted.plus("p.held = 1" if self.state == "held" else "p.held = 0")  # literal: a partial index
        for column in ("lane", "site"):
            if value := getattr(self, column):
                wanted = wanted.plus(f"p.{column} = :{column}", **{column: value})
        for column in ("sender", "recipient"):
            value = getattr(self, column).lower()
            if value.startswith("@"):
                wanted = wanted.plus(f"lower(p.{column}) LIKE :{column} ESCAPE '!'", **{column: like(value)[:-1]})
            elif value:
                wanted = wanted.plus(f"lower(p.{column}) = :{column}", **{column: value})
        if self.reason:
            wanted = wanted.plus("lower(p.reason) LIKE :reason ESCAPE '!'", reason=like(self.reason))
        if actor.domains is not None:
            wanted = in_domains(("p.sender", "p.recipient"), sorted(actor.domains), wanted)
        return wanted

    @property
    def is_indexed(self) -> bool:
        """Whether an index leads to the rows, so that no window is needed."""
        exact = any(value and not value.startswith("@") for value in (self.sender, self.recipient))
        return bool(self.entries or self.site or exact or self.state == "held")


class Fresh(Protocol):
    """Where fresh recipients are found."""

    async def page(self, after: Sequence[Any] | None, limit: int) -> tuple[list[Waiting], list[Any] | None]:
        """Return some of them behind a place, and the place to go on from (None at the end)."""


async def page_of_waiting(
    database: Database, fresh: Fresh, actor: Actor, wanted: Wanted, cursor: str, limit: int
) -> Page:
    """Return those on record first, by entry, then fresh ones."""
    after = _decode(cursor)
    if after is None or after[0] == "pending":
        key = after[1:] if after else None
        if wanted.state != "queued":
            rows, end = await _recorded(database, actor, wanted, key, limit)
            if end is not None:
                return Page([row.view() for row in rows], encode_cursor(["pending", *end]))
            if wanted.state or rows:
                return Page([row.view() for row in rows], "" if wanted.state else encode_cursor(["fresh"]))
        after = ["fresh"]
    found, place = await fresh.page(after[1:] or None, limit)
    views = [item.view() for item in found if wanted.takes(item) and actor.sees(item.sender, item.recipient)]
    return Page(views, "" if place is None else encode_cursor(["fresh", *place]))


async def _recorded(
    database: Database, actor: Actor, wanted: Wanted, after: list[Any] | None, limit: int
) -> tuple[list[Waiting], list[Any] | None]:
    """Return recorded ones, from several windows if the first have few."""
    conditions, found, began = wanted.conditions(actor), list[Waiting](), time.monotonic()
    window = None if wanted.is_indexed else WINDOW
    for _ in range(MAX_WINDOWS):
        rows, after = await database.scan(PENDING.rows, conditions, after, limit - len(found), window=window)
        found += [waiting_of(row) for row in rows]
        if after is None or len(found) >= limit or time.monotonic() - began > PAGE_TIME:
            break
    return found, after


class JournalFresh:
    """Reads the journal's unsettled segments; all in one page, sorted."""

    def __init__(self, database: Database, root: Path, reader: Reader) -> None:
        self._database, self._root, self._reader = database, root, reader

    async def page(self, after: Sequence[Any] | None, limit: int) -> tuple[list[Waiting], list[Any] | None]:
        """Return all of them."""
        found = [
            _fresh(item.envelope, recipient)
            async for item in outstanding(self._database, self._root, self._reader)
            for recipient in item.recipients
        ]
        return sorted(found, key=lambda item: (item.entry, item.recipient)), None


class RedisFresh:
    """Goes through the lanes' streams, then the relay's sites."""

    def __init__(self, database: Database, redis: Redis, reader: Reader, *, prefix: str = PREFIX) -> None:
        self._database, self._redis, self._reader = database, redis, reader
        self._prefix = prefix

    async def page(self, after: Sequence[Any] | None, limit: int) -> tuple[list[Waiting], list[Any] | None]:
        """Return what the next entries of a stream hold, or of the sites."""
        place, position = (after or ["delivery", ""])[:2]
        if position and not _POSITION.match(position):
            raise ConfigurationError("malformed cursor: use the `next` of the page before")
        if place == "sites":
            return await self._at_sites(position, limit)
        if place not in set(Lane):
            raise ConfigurationError("malformed cursor: use the `next` of the page before")
        lane = Lane(place)
        begin = f"({position}" if position else "-"
        stream = lane_keys(self._prefix, lane).stream
        rows: Any = await self._redis.xrange(stream, min=begin, count=limit)
        found = await self._read([(fields["e"], lane, "", fields["r"]) for _, fields in rows])
        if len(rows) == limit:
            return found, [place, rows[-1][0]]
        return found, ["relay", ""] if lane is Lane.DELIVERY else ["sites", ""]

    async def _at_sites(self, position: str, limit: int) -> tuple[list[Waiting], list[Any] | None]:
        name = f"{site_prefix(self._prefix)}items"
        scanned: Any = await self._redis.hscan(name, int(position.partition("-")[0] or 0), count=limit)
        cursor, rows = scanned
        parts = [
            (*key.partition(":")[::2], value.split(":", 2)[-1]) for key, value in rows.items() if key.count(":") >= 1
        ]
        found = await self._read([(entry, Lane.RELAY, domain, reference) for entry, domain, reference in parts])
        return found, ["sites", str(cursor)] if int(cursor) else None

    async def _read(self, items: Sequence[tuple[str, Lane, str, str]]) -> list[Waiting]:
        """Return the recipients of entries in a lane (and of a domain) that aren't on record."""
        entries = sorted({item[0] for item in items})
        known = await self._database.read(recorded, entries)
        read = await asyncio.to_thread(self._envelopes, items)
        return [
            _fresh(envelope, recipient)
            for (entry, lane, domain, _), envelope in zip(items, read, strict=True)
            if envelope is not None
            for recipient in envelope.lane(lane)
            if (entry, recipient.address) not in known and domain in ("", domain_of(recipient.address))
        ]

    def _envelopes(self, items: Sequence[tuple[str, Lane, str, str]]) -> list[Envelope | None]:
        return [self._envelope(reference) for *_, reference in items]

    def _envelope(self, reference: str) -> Envelope | None:
        try:
            return self._reader.envelope(Reference.decode(reference))
        except (TemporaryFailure, ValueError):
            return None  # rewritten and unlinked meanwhile: then it is on record


def recorded(entries: Sequence[str]) -> Work[set[tuple[str, str]]]:
    """Return the (entry, recipient) pairs that the ledger or `pending` knows."""
    if not entries:
        return set()
    rows = yield sql.recorded(entries=list(entries), waiting=list(entries))
    return {(row["entry"], row["recipient"]) for row in rows}


def waiting_of(row: Any) -> Waiting:
    """Read a row of `pending`."""
    return Waiting(
        entry=row["entry"],
        sender=row["sender"],
        recipient=row["recipient"],
        lane=row["lane"],
        state="held" if row["held"] else "waiting",
        since=row["first_at"] / 1e6,
        attempts=row["attempts"],
        due=row["due_at"] / 1e6,
        reason=row["reason"],
        site=row["site"],
        target=row["target"],
        message_id=row["message_id"],
    )


def _fresh(envelope: Envelope, recipient: Recipient) -> Waiting:
    return Waiting(
        envelope.id,
        envelope.sender,
        recipient.address,
        recipient.lane.value,
        "queued",
        envelope.received_at / 1e6,
        target=recipient.address,
        message_id=envelope.message_id,
    )


def _matches(wanted: str, address: str) -> bool:
    if wanted.startswith("@"):
        return address.lower().endswith(wanted.lower())
    return wanted.lower() in ("", address.lower())


def _decode(cursor: str) -> list[Any] | None:
    for kinds in ((str,), (str, str, str), (str, str, str, str)):
        try:
            after = decode_cursor(cursor, *kinds)
        except ConfigurationError:
            continue
        if after is None or (after[0], len(after)) in (("fresh", 1), ("fresh", 3), ("pending", 4)):
            return after
    raise ConfigurationError("malformed cursor: use the `next` of the page before")
