"""What an operator does with mail that was kept back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from redis.exceptions import RedisError

from shared.db import Database, Rows, Work
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.mailbox.quarantine import BATCH, give_up, sql
from shared.message.envelope import Lane
from shared.operations.actor import Actor, NotFound
from shared.operations.audit import note
from shared.operations.origin import origin_view
from shared.operations.queue import MAX_HEADER_SHOWN, entry_id
from shared.queue.delivery import Item, Queue

_START = (-1, "", "")


async def kept_back(database: Database, recipient: str = "", sender: str = "") -> list[dict[str, Any]]:
    """Return everything in the quarantine, oldest first; `recipient` and `sender` are addresses or @domains."""
    found: list[dict[str, Any]] = []
    after = _START
    while rows := await database.scan(_page, after):
        found += [view(row) for row in rows if _is(row["recipient"], recipient) and _is(row["sender"], sender)]
        after = (rows[-1]["at"], rows[-1]["entry"], rows[-1]["recipient"])
    return found


def view(row: Any) -> dict[str, Any]:
    """Read a row; times in Unix seconds."""
    names = ("entry", "recipient", "scanner", "reason", "sender", "subject", "size")
    return {**{name: row[name] for name in names}, "at": row["at"] / 1e6}


async def show(database: Database, reader: Reader, entry: str) -> dict[str, Any]:
    """Return one message: who would get it, why it is here, its header; NotFound."""
    rows = await _rows(database, [entry])
    reference = _reference(rows[0])
    envelope = await asyncio.to_thread(reader.envelope, reference)
    header = await asyncio.to_thread(reader.pread, reference, 0, MAX_HEADER_SHOWN)
    return {
        **view(rows[0]),
        "recipients": [row["recipient"] for row in rows],
        "origin": origin_view(envelope.origin),
        "header": header.partition(b"\r\n\r\n")[0].decode("utf-8", "replace"),
    }


async def source(database: Database, reader: Reader, entry: str) -> bytes:
    """Return the whole message; NotFound."""
    rows = await _rows(database, [entry])
    reference = _reference(rows[0])
    return await asyncio.to_thread(reader.pread, reference, 0, reference.size)


async def release(database: Database, queue: Queue | None, actor: Actor, entries: Sequence[str]) -> int:
    """Let messages go on to their recipients, unscanned; return how many recipients. NotFound."""
    rows = await _rows(database, entries)
    await database.write(_release, actor, rows, _now())
    if queue is not None:
        try:
            for row in {row["entry"]: row for row in rows}.values():
                if not await queue.retry_now(row["entry"], Lane.DELIVERY):
                    await queue.enqueue([Item(row["entry"], Lane.DELIVERY, _reference(row).encode())])
        except (RedisError, OSError):
            pass  # the sweep reads SQL
    return len(rows)


async def delete(database: Database, actor: Actor, entries: Sequence[str]) -> int:
    """Throw messages away; return how many recipients. NotFound."""
    rows = await _rows(database, entries)
    await database.write(_delete, actor, rows, _now())
    return len(rows)


async def _rows(database: Database, entries: Sequence[str]) -> Rows:
    wanted = sorted({entry_id(entry) for entry in entries})
    rows: Rows = []
    for start in range(0, len(wanted), BATCH):
        rows = [*rows, *await database.read(_of_entries, wanted[start : start + BATCH])]
    missing = set(wanted) - {row["entry"] for row in rows}
    if missing:
        raise NotFound(f"{min(missing)} isn't in the quarantine: `packetboat quarantine list` shows what is")
    return rows


def _page(after: tuple[int, str, str]) -> Work[Rows]:
    at, entry, recipient = after
    rows = yield sql.page(at=at, entry=entry, recipient=recipient, limit=BATCH)
    return rows


def _of_entries(entries: list[str]) -> Work[Rows]:
    rows = yield sql.of_entries(entries=entries)
    return rows


def _release(actor: Actor, rows: Rows, now: int) -> Work[None]:
    yield sql.release.many([{"entry": r["entry"], "recipient": r["recipient"], "now": now} for r in rows])
    yield from _note(actor, "quarantine.release", rows, now)


def _delete(actor: Actor, rows: Rows, now: int) -> Work[None]:
    yield from give_up(rows, {"reason": "by the operator", "by": actor.name}, now)
    yield from _note(actor, "quarantine.delete", rows, now)


def _note(actor: Actor, action: str, rows: Rows, now: int) -> Work[None]:
    for entry in sorted({row["entry"] for row in rows}):
        before = [{"recipient": r["recipient"], "reason": r["reason"]} for r in rows if r["entry"] == entry]
        yield from note(actor, action, entry, before, None, now)


def _reference(row: Any) -> Reference:
    return Reference(
        row["segment"], row["position"], row["length"], row["body"], row["inline_size"], row["octets"], row["large"]
    )


def _is(address: str, wanted: str) -> bool:
    address, wanted = address.lower(), wanted.lower()
    return not wanted or (address.endswith(wanted) if wanted.startswith("@") else address == wanted)


def _now() -> int:
    return time.time_ns() // 1000
