"""What an operator does with mail that was kept back; domain administrators with that for their recipients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError

from shared.db import Database, Rows, Work
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.mailbox.quarantine import BATCH, give_up, sql
from shared.message.envelope import Lane
from shared.operations import clock
from shared.operations.actor import Actor, NotFound
from shared.operations.audit import note
from shared.operations.origin import origin_view
from shared.operations.paging import WINDOW, Filter, Listing, Page, decode_cursor, encode_cursor, in_domains, like
from shared.operations.queue import MAX_ENTRIES, MAX_HEADER_SHOWN, entry_id
from shared.queue.delivery import Item, Queue

KEPT_BACK = Listing(
    "q.entry, q.recipient, q.at, q.scanner, q.reason, q.sender, q.subject, q.size",
    "quarantine q",
    ("q.at", "q.entry", "q.recipient"),
)
_HELD = "EXISTS (SELECT 1 FROM pending p WHERE p.entry = q.entry AND p.recipient = q.recipient AND p.held = 1)"


@dataclass(frozen=True, slots=True)
class Kept:
    """Which recipients' mail: of entries, from or to an address or @domain; nothing said: all."""

    entries: tuple[str, ...] = ()
    sender: str = ""
    recipient: str = ""

    @classmethod
    def of_entries(cls, entries: Sequence[str]) -> Kept:
        """Those of entries; ConfigurationError for what is no entry id."""
        return cls(tuple(sorted({entry_id(entry) for entry in entries})))

    def conditions(self, actor: Actor) -> Filter:
        """Return what it asks of `quarantine`. A sender may be forged: only recipients make it an actor's own."""
        wanted = Filter().plus(_HELD)
        if self.entries:
            wanted = wanted.plus("q.entry IN (:entries...)", entries=list(self.entries))
        for column in ("sender", "recipient"):
            value = getattr(self, column).lower()
            if value.startswith("@"):
                wanted = wanted.plus(f"lower(q.{column}) LIKE :{column} ESCAPE '!'", **{column: like(value)[:-1]})
            elif value:
                wanted = wanted.plus(f"lower(q.{column}) = :{column}", **{column: value})
        return wanted if actor.domains is None else in_domains(("q.recipient",), sorted(actor.domains), wanted)


async def page_of_quarantine(database: Database, actor: Actor, wanted: Kept, cursor: str, limit: int) -> Page:
    """Return what is kept back, oldest first."""
    rows, end = await _scan(database, actor, wanted, decode_cursor(cursor, int, str, str), limit)
    return Page([view(row) for row in rows], encode_cursor(end))


def view(row: Any) -> dict[str, Any]:
    """Read a row; times in Unix seconds."""
    names = ("entry", "recipient", "scanner", "reason", "sender", "subject", "size")
    return {**{name: row[name] for name in names}, "at": row["at"] / 1e6}


async def show(database: Database, reader: Reader, actor: Actor, entry: str) -> dict[str, Any]:
    """Return one message: who would get it, why it is here, its header; NotFound."""
    rows = await _rows(database, actor, entry)
    reference = _reference(rows[0])
    envelope = await asyncio.to_thread(reader.envelope, reference)
    header = await asyncio.to_thread(reader.pread, reference, 0, MAX_HEADER_SHOWN)
    return {
        **view(rows[0]),
        "recipients": [row["recipient"] for row in rows],
        "origin": origin_view(envelope.origin),
        "header": header.partition(b"\r\n\r\n")[0].decode("utf-8", "replace"),
    }


async def source(database: Database, reader: Reader, actor: Actor, entry: str) -> bytes:
    """Return the whole message; NotFound."""
    reference = _reference((await _rows(database, actor, entry))[0])
    return await asyncio.to_thread(reader.pread, reference, 0, reference.size)


async def release(database: Database, queue: Queue | None, actor: Actor, wanted: Kept) -> int:
    """Let messages go on to their recipients, unscanned; return how many recipients. NotFound."""
    count = 0
    async for keys in _batches(database, actor, wanted):
        rows = await database.write(_release, actor, keys, clock.now())
        await _tell(queue, rows)
        count += len(rows)
    return _counted(count, wanted)


async def delete(database: Database, actor: Actor, wanted: Kept) -> int:
    """Throw messages away; return how many recipients. NotFound."""
    count = 0
    async for keys in _batches(database, actor, wanted):
        count += len(await database.write(_delete, actor, keys, clock.now()))
    return _counted(count, wanted)


async def _batches(database: Database, actor: Actor, wanted: Kept) -> AsyncIterator[list[tuple[str, str]]]:
    """Go through (entry, recipient) of what is wanted, as many as one transaction takes."""
    after: Sequence[Any] | None = None
    while True:
        rows, after = await _scan(database, actor, wanted, after, BATCH)
        if rows:
            yield [(row["entry"], row["recipient"]) for row in rows]
        if after is None:
            return


async def _scan(
    database: Database, actor: Actor, wanted: Kept, after: Sequence[Any] | None, limit: int
) -> tuple[Rows, list[Any] | None]:
    window = None if wanted.entries else WINDOW
    return await database.scan(KEPT_BACK.rows, wanted.conditions(actor), after, limit, window=window)


async def _rows(database: Database, actor: Actor, entry: str) -> Rows:
    wanted = Kept.of_entries([entry])
    keys, _ = await _scan(database, actor, wanted, None, MAX_ENTRIES)
    rows = await database.read(_chosen, [(row["entry"], row["recipient"]) for row in keys]) if keys else []
    _counted(len(rows), wanted)
    return rows


async def _tell(queue: Queue | None, rows: Rows) -> None:
    if queue is None:
        return
    try:
        for row in {row["entry"]: row for row in rows}.values():
            if not await queue.retry_now(row["entry"], Lane.DELIVERY):
                await queue.enqueue([Item(row["entry"], Lane.DELIVERY, _reference(row).encode())])
    except (RedisError, OSError):
        return  # the sweep reads SQL


def _counted(count: int, wanted: Kept) -> int:
    if count or not wanted.entries:
        return count
    what = f"{wanted.entries[0]} isn't" if len(wanted.entries) == 1 else "none of these is"
    raise NotFound(f"{what} in the quarantine: `packetboat quarantine list` shows what is")


def _chosen(keys: Sequence[tuple[str, str]]) -> Work[Rows]:
    wanted = set(keys)
    rows = yield sql.of_entries(entries=sorted({entry for entry, _ in wanted}))
    return [row for row in rows if (row["entry"], row["recipient"]) in wanted]


def _release(actor: Actor, keys: Sequence[tuple[str, str]], now: int) -> Work[Rows]:
    rows = yield from _chosen(keys)
    yield sql.release.many([{"entry": r["entry"], "recipient": r["recipient"], "now": now} for r in rows])
    yield from _note(actor, "quarantine.release", rows, now)
    return rows


def _delete(actor: Actor, keys: Sequence[tuple[str, str]], now: int) -> Work[Rows]:
    rows = yield from _chosen(keys)
    yield from give_up(rows, {"reason": "by the operator", "by": actor.name}, now)
    yield from _note(actor, "quarantine.delete", rows, now)
    return rows


def _note(actor: Actor, action: str, rows: Rows, now: int) -> Work[None]:
    for entry in sorted({row["entry"] for row in rows}):
        before = [{"recipient": r["recipient"], "reason": r["reason"]} for r in rows if r["entry"] == entry]
        yield from note(actor, action, entry, before, None, now)


def _reference(row: Any) -> Reference:
    return Reference(
        row["segment"], row["position"], row["length"], row["body"], row["inline_size"], row["octets"], row["large"]
    )
