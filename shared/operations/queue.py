"""What is done about mail that waits: retry, hold, release, drop; for entries, a site or all.

SQL is changed first, Redis told after: without Redis the next sweep reads SQL.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from redis.exceptions import RedisError

from shared.db import Database, Rows, Work, load
from shared.errors import ConfigurationError, TemporaryFailure
from shared.ids import is_id
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.mailbox.blobs import lock_segments
from shared.message.envelope import Envelope, Lane
from shared.operations import clock
from shared.operations.actor import Actor, NotFound
from shared.operations.audit import note
from shared.operations.bounce import Bounces
from shared.operations.origin import origin_view
from shared.operations.paging import WINDOW
from shared.operations.waiting import PENDING, Waiting, Wanted, recorded, waiting_of
from shared.queue.delivery import Item, Queue
from shared.queue.outstanding import Outstanding, outstanding

MAX_HEADER_SHOWN = 16 * 1024  # octets of a message's header
BATCH = 500  # rows changed in one transaction
MAX_ENTRIES = 500  # named in one selection
BY_OPERATOR = "by the operator"

sql = load("admin")


@dataclass(frozen=True, slots=True)
class Selection:
    """What an action is for: entries, all that matches, or (with nothing said) everything that waits."""

    wanted: Wanted = field(default_factory=Wanted)

    @classmethod
    def of_entries(cls, entries: Sequence[str]) -> Selection:
        """Select entries; ConfigurationError for what is no entry id."""
        if not 1 <= len(entries) <= MAX_ENTRIES:
            raise ConfigurationError(f"name 1 to {MAX_ENTRIES} entries")
        return cls(Wanted(entries=tuple(entry_id(entry) for entry in entries)))

    @property
    def is_named(self) -> bool:
        """Whether entries were named, so that none of them waiting is a mistake."""
        return bool(self.wanted.entries)

    def __str__(self) -> str:
        parts = [
            f"{name}={value}"
            for name in Wanted.__slots__
            if (value := getattr(self.wanted, name)) and name != "entries"
        ]
        return ",".join(self.wanted.entries) or " ".join(parts) or "all"


@dataclass(frozen=True, slots=True)
class Yard:
    """Where the queue's mail lies; `queue` is None when Redis is away or isn't needed."""

    database: Database
    journal: Path
    reader: Reader
    queue: Queue | None = None


def entry_id(text: str) -> str:
    """Return an entry id that a person typed; ConfigurationError."""
    if not is_id(text.upper()):
        raise ConfigurationError(f"{text!r} is no entry id: `packetboat queue list` shows them")
    return text.upper()


async def retry(yard: Yard, actor: Actor, selection: Selection) -> int:
    """Make the next attempt now, releasing what is held; return how many recipients are due."""
    return await _act(yard, actor, selection, "retry", "")


async def release(yard: Yard, actor: Actor, selection: Selection) -> int:
    """Let what is held go on; return how many recipients there were."""
    return await _act(yard, actor, selection, "release", "held")


async def hold(yard: Yard, actor: Actor, selection: Selection) -> int:
    """Keep recipients until they are released; return how many there were."""
    now = clock.now()
    count = await _act(yard, actor, selection, "hold", "waiting")
    async for item in _fresh(yard, actor, selection):
        if yard.queue is not None:
            for lane in item.envelope.lanes:
                await yard.queue.drop(item.envelope.id, lane)
        count += await yard.database.write(_hold_fresh, actor, item, now)
    return _counted(count, selection, "waits")


async def drop(yard: Yard, actor: Actor, selection: Selection, bounces: Bounces | None = None) -> int:
    """Give up on recipients, telling their senders if `bounces` is given; return how many there were."""
    count = 0
    async for rows in _rows(yard, actor, selection):
        count += await _drop_rows(yard, actor, rows, bounces)
    async for item in _fresh(yard, actor, selection):
        rows = [_row_of(item, recipient.address, recipient.lane) for recipient in item.recipients]
        count += await _drop_rows(yard, actor, rows, bounces)
    return _counted(count, selection, "waits")


async def show(yard: Yard, actor: Actor, entry: str) -> dict[str, Any]:
    """Return an entry that waits: envelope, recipients, attempts, the message's header; NotFound."""
    entry = entry_id(entry)
    rows = await yard.database.read(_pending_of, [entry])
    items = [item async for item in _fresh(yard, actor, Selection(Wanted(entries=(entry,))))]
    references = [item.reference for item in items] or [_reference(row) for row in rows]
    if not references:
        raise NotFound(f"{entry} isn't waiting: `packetboat trace {entry}` tells what became of it")
    envelope = await asyncio.to_thread(yard.reader.envelope, references[0])
    if not actor.sees(envelope.sender, *(recipient.address for recipient in envelope.recipients)):
        raise NotFound(f"{entry} isn't waiting")
    waiting = [waiting_of(row) for row in rows] + [w for item in items for w in _waiting_of_item(item)]
    waiting = [one for one in waiting if actor.sees(one.sender, one.recipient)]
    attempts = await yard.database.read(_attempts_of, [entry])
    header = await asyncio.to_thread(yard.reader.pread, references[0], 0, MAX_HEADER_SHOWN)
    return {
        "entry": entry,
        "kind": envelope.kind.value,
        "sender": envelope.sender,
        "recipients": _recipients(envelope, actor),
        "received_at": envelope.received_at / 1e6,
        "message_id": envelope.message_id,
        "parent": envelope.parent,
        "origin": origin_view(envelope.origin),
        "size": references[0].size,
        "segment": references[0].segment,
        "waiting": [one.view() for one in waiting],
        "attempts": [attempt for attempt in attempts if actor.sees(envelope.sender, attempt["recipient"])],
        "header": header.partition(b"\r\n\r\n")[0].decode("utf-8", "replace"),
    }


def attempt_view(row: Any) -> dict[str, Any]:
    """Read a row of `attempt`."""
    return {"recipient": row["recipient"], "at": row["at"] / 1e6, **orjson.loads(row["detail"])}


async def _act(yard: Yard, actor: Actor, selection: Selection, action: str, state: str) -> int:
    """Change pending rows and tell Redis of them."""
    wanted = replace(selection.wanted, state=state or selection.wanted.state)
    count = 0
    async for rows in _rows(yard, actor, Selection(wanted)):
        count += await yard.database.write(_change_rows, actor, rows, action, str(selection), clock.now())
        await _tell(yard.queue, rows, action)
    return count if action == "hold" else _counted(count, selection, "waits for an attempt")


async def _tell(queue: Queue | None, rows: Rows, action: str) -> None:
    if queue is None:
        return
    references = {(row["entry"], Lane(row["lane"])): _reference(row) for row in rows}
    try:
        for (entry, lane), reference in references.items():
            if action == "hold":
                continue  # what is about to be tried looks at SQL first
            if not await queue.retry_now(entry, lane):
                await queue.enqueue([Item(entry, lane, reference.encode())])
    except (RedisError, OSError):
        return  # the sweep reads SQL


async def _rows(yard: Yard, actor: Actor, selection: Selection) -> AsyncIterator[Rows]:
    """Go through the pending rows of a selection, with their places."""
    after: list[Any] | None = None
    conditions = selection.wanted.conditions(actor)
    window = None if selection.wanted.is_indexed else WINDOW
    while True:
        keys, after = await yard.database.scan(PENDING.rows, conditions, after, BATCH, window=window)
        if keys:
            chosen = {(row["entry"], row["recipient"], row["target"]) for row in keys}
            rows = await yard.database.scan(_pending_of, sorted({row["entry"] for row in keys}))
            yield [row for row in rows if (row["entry"], row["recipient"], row["target"]) in chosen]
        if after is None:
            return


async def _fresh(yard: Yard, actor: Actor, selection: Selection) -> AsyncIterator[Outstanding]:
    """Go through the selected entries that are on record nowhere yet, with their recipients."""
    wanted = selection.wanted
    if wanted.state in ("waiting", "held") or wanted.site:
        return
    async for item in outstanding(yard.database, yard.journal, yard.reader):
        chosen = tuple(
            recipient
            for recipient, waiting in zip(item.recipients, _waiting_of_item(item), strict=True)
            if wanted.takes(waiting) and actor.sees(item.envelope.sender, recipient.address)
        )
        if chosen:
            yield replace(item, recipients=chosen)


def _change_rows(actor: Actor, rows: Rows, action: str, selection: str, now: int) -> Work[int]:
    keys = [{name: row[name] for name in ("entry", "recipient", "target")} for row in rows]
    if action == "hold":
        yield sql.hold.many(keys)
    else:
        yield sql.make_due.many([{**key, "now": now} for key in keys])
    entries = sorted({row["entry"] for row in rows})
    before = [{"entry": r["entry"], "recipient": r["recipient"], "held": bool(r["held"])} for r in rows[:100]]
    after = {"recipients": len(rows), "entries": len(entries), "selection": selection}
    yield from note(actor, f"queue.{action}", selection if len(entries) > 1 else entries[0], before, after, now)
    return len(rows)


def _hold_fresh(actor: Actor, item: Outstanding, now: int) -> Work[int]:
    envelope, ref = item.envelope, item.reference
    known = yield from recorded([envelope.id])
    segments = yield from lock_segments([ref.segment])
    if ref.segment not in segments:
        return 0  # settled and rewritten: all is on record
    place = (segments[ref.segment], ref.offset, ref.length, ref.body, ref.inline, ref.size, ref.large)
    rows = [
        (
            envelope.id, recipient.address, "" if recipient.lane is Lane.DELIVERY else recipient.address,
            recipient.lane.value, *place, now, envelope.received_at, 1, f"held {BY_OPERATOR}",
            envelope.sender, envelope.message_id,
        )
        for recipient in item.recipients
        if (envelope.id, recipient.address) not in known
    ]  # fmt: skip
    if not rows:
        return 0
    held = yield sql.insert_held(rows=rows)
    yield from note(actor, "queue.hold", envelope.id, None, {"recipients": len(held)}, now)
    return len(held)


async def _drop_rows(yard: Yard, actor: Actor, rows: Sequence[Any], bounces: Bounces | None) -> int:
    """Take entries out of the queue, journal their bounces, and put it on record."""
    if yard.queue is not None:
        try:
            for entry, lane in {(row["entry"], Lane(row["lane"])) for row in rows}:
                await yard.queue.drop(entry, lane)
        except (RedisError, OSError):
            pass  # who works on one asks the ledger first
    children: dict[tuple[str, str], Item] = {}
    details: list[dict[str, Any]] = []
    for row in rows:
        envelope = await _envelope(yard, row)
        detail: dict[str, Any] = {"reason": BY_OPERATOR, "by": actor.name}
        if envelope is not None:
            detail["origin"] = origin_view(envelope.origin)
        known = await yard.database.read(_finished, row["entry"], row["recipient"])
        if bounces is not None and envelope is not None and envelope.sender and not known:
            child = await bounces.journal(envelope, _reference(row), row["recipient"])
            children[row["entry"], row["recipient"]] = child
            detail["child"] = child.entry
        details.append(detail)
    gone = await yard.database.write(_give_up, actor, rows, details, clock.now())
    if bounces is not None:
        for key in gone:
            if key in children:
                bounces.put(children[key])
    return len(gone)


async def _envelope(yard: Yard, row: Any) -> Envelope | None:
    try:
        return await asyncio.to_thread(yard.reader.envelope, _reference(row))
    except TemporaryFailure:
        return None


def _give_up(
    actor: Actor, rows: Sequence[Any], details: Sequence[dict[str, Any]], now: int
) -> Work[list[tuple[str, str]]]:
    """The ledger's gate first: whoever is delivering just now has won."""
    gone: list[tuple[str, str]] = []
    for row, detail in zip(rows, details, strict=True):
        inserted = yield sql.give_up(
            entry=row["entry"],
            recipient=row["recipient"],
            target=row["target"] or row["recipient"],
            outcome="bounced" if "child" in detail else "dropped",
            at=now,
            sender=row["sender"],
            message_id=row["message_id"],
            detail=orjson.dumps(detail).decode(),
        )
        gone += [(row["entry"], row["recipient"])] if inserted else []
        yield sql.delete_pending(entry=row["entry"], recipient=row["recipient"], target=row["target"])
    for entry in sorted({row["entry"] for row in rows}):
        before = [_brief(row) for row in rows if row["entry"] == entry]
        yield from note(actor, "queue.drop", entry, before, {"dropped": len([g for g in gone if g[0] == entry])}, now)
    return gone


def _finished(entry: str, recipient: str) -> Work[bool]:
    rows = yield load("relay").finished(entries=[entry])
    return any(row["recipient"] == recipient for row in rows)


def _pending_of(entries: Sequence[str]) -> Work[Rows]:
    rows = yield sql.pending_of_entries(entries=list(entries))
    return rows


def _attempts_of(entries: Sequence[str]) -> Work[list[dict[str, Any]]]:
    rows = yield sql.attempts_of(entries=list(entries))
    return [attempt_view(row) for row in rows]


def _row_of(item: Outstanding, recipient: str, lane: Lane) -> dict[str, Any]:
    """Return what a pending row of a fresh recipient would be."""
    envelope, ref = item.envelope, item.reference
    return {
        "entry": envelope.id, "recipient": recipient, "target": recipient, "lane": lane.value,
        "segment": ref.segment, "position": ref.offset, "length": ref.length, "body": ref.body,
        "inline_size": ref.inline, "size": ref.size, "large": ref.large, "attempts": 0, "reason": "", "held": 0,
        "sender": envelope.sender, "message_id": envelope.message_id,
    }  # fmt: skip


def _waiting_of_item(item: Outstanding) -> list[Waiting]:
    envelope = item.envelope
    return [
        Waiting(
            envelope.id, envelope.sender, r.address, r.lane.value, "queued", envelope.received_at / 1e6,
            target=r.address, message_id=envelope.message_id,
        )
        for r in item.recipients
    ]  # fmt: skip


def _recipients(envelope: Envelope, actor: Actor) -> list[dict[str, str]]:
    return [
        {"address": r.address, "lane": r.lane.value, "notify": r.notify}
        for r in envelope.recipients
        if actor.sees(envelope.sender, r.address)
    ]


def _reference(row: Any) -> Reference:
    return Reference(
        row["segment"], row["position"], row["length"], row["body"], row["inline_size"], row["size"], row["large"]
    )


def _brief(row: Any) -> dict[str, Any]:
    return {name: row[name] for name in ("recipient", "lane", "attempts", "reason")}


def _counted(count: int, selection: Selection, does: str) -> int:
    if not count and selection.is_named:
        raise NotFound(f"{selection}: nothing {does} (see `packetboat queue list`)")
    return count
