"""`packetboat queue …`: what waits, why, and what to do about it; on a running or a stopped stack."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from redis.exceptions import RedisError

from services.cli.context import DEFAULT_DATA, DataOption, database_of, settings_for
from services.cli.table import print_table
from shared.db import Database, Rows, Work, load
from shared.errors import ConfigurationError, TemporaryFailure
from shared.ids import is_id
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.message.envelope import Envelope, Lane
from shared.queue.connection import connect
from shared.queue.delivery import Item, Queue
from shared.queue.outstanding import Outstanding, outstanding

MAX_HEADER_SHOWN = 16 * 1024  # octets of a message's header that `show` prints

queue_app = typer.Typer(help="Mail that is not finished yet.", no_args_is_help=True)
sql = load("queue")


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(queue_app, name="queue")


@dataclass(frozen=True, slots=True)
class Waiting:
    """One recipient of one entry that isn't finished."""

    entry: str
    sender: str
    recipient: str
    lane: str
    state: str  # queued | waiting | held
    since: float
    attempts: int = 0
    due: float = 0.0
    reason: str = ""


@queue_app.command("list")
def queue_list(
    data: DataOption = DEFAULT_DATA,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """List every recipient that waits: for a worker, for its next attempt, or for you."""
    waiting = asyncio.run(_list(data))
    if as_json:
        for item in waiting:
            print(orjson.dumps(item).decode())
        return
    if not waiting:
        print("the queue is empty")
        return
    columns = ("entry", "since", "from", "to", "state", "tries", "next", "reason")
    print_table(columns, map(_row, waiting))


@queue_app.command("show")
def queue_show(entry: str, data: DataOption = DEFAULT_DATA) -> None:
    """Show an entry that waits: envelope, attempts, the message's header."""
    asyncio.run(_show(data, _entry(entry)))


@queue_app.command("retry")
def queue_retry(
    entries: Annotated[list[str], typer.Argument(help="Entry ids, or `all`.")], data: DataOption = DEFAULT_DATA
) -> None:
    """Make the next attempt now; what is held is released."""
    count = asyncio.run(_retry(data, entries))
    print("1 recipient is due now" if count == 1 else f"{count} recipients are due now")


@queue_app.command("drop")
def queue_drop(entries: list[str], data: DataOption = DEFAULT_DATA) -> None:
    """Give up on waiting entries without a bounce; the ledger says so."""
    count = asyncio.run(_drop(data, [_entry(entry) for entry in entries]))
    print(f"dropped {count} recipient{'' if count == 1 else 's'}")


def _row(item: Waiting) -> tuple[str, ...]:
    tries, sender = str(item.attempts), item.sender or "<>"
    return (item.entry, _age(item.since), sender, item.recipient, item.state, tries, _due(item), item.reason)


async def _list(data: Path) -> list[Waiting]:
    async with database_of(data) as database:
        rows = await database.read(_pending)
        fresh = [item async for item in _outstanding(data, database)]
    waiting = [_from_row(row) for row in rows] + [w for item in fresh for w in _from_journal(item)]
    return sorted(waiting, key=lambda item: (item.entry, item.recipient))


async def _show(data: Path, entry: str) -> None:
    reader = Reader(settings_for(data).journal)
    async with database_of(data) as database:
        rows = await database.read(_pending_of, [entry])
        fresh = [item async for item in _outstanding(data, database) if item.envelope.id == entry]
    references = [item.reference for item in fresh] or [_reference(row) for row in rows]
    if not references:
        raise ConfigurationError(f"{entry} isn't waiting: `packetboat trace {entry}` tells what became of it")
    envelope = reader.envelope(references[0])
    _print_envelope(envelope, references[0])
    for waiting in [_from_row(row) for row in rows] + [w for item in fresh for w in _from_journal(item)]:
        print(
            f"{waiting.state}: {waiting.recipient} {_due(waiting)} after {waiting.attempts} attempts {waiting.reason}"
        )
    header = reader.pread(references[0], 0, MAX_HEADER_SHOWN).partition(b"\r\n\r\n")[0]
    print("\n" + header.decode("utf-8", "replace"))


async def _retry(data: Path, entries: list[str]) -> int:
    wanted = None if entries == ["all"] else [_entry(entry) for entry in entries]
    async with database_of(data) as database:
        rows = await database.write(_make_due, wanted, time.time_ns() // 1000)
        references = {(row["entry"], Lane(row["lane"])): _reference(row) for row in rows}
    async with _redis_queue(data) as queue:
        if queue is not None:
            for (entry, lane), reference in references.items():
                if not await queue.retry_now(entry, lane):
                    await queue.enqueue([Item(entry, lane, reference.encode())])
    if wanted and not rows:
        raise ConfigurationError(f"{', '.join(wanted)}: nothing waits for an attempt (see `packetboat queue list`)")
    return len(rows)


async def _drop(data: Path, entries: list[str]) -> int:
    async with database_of(data) as database:
        fresh = [item async for item in _outstanding(data, database) if item.envelope.id in entries]
        rows = await database.write(_give_up, entries, fresh, time.time_ns() // 1000)
    async with _redis_queue(data) as queue:
        if queue is not None:
            for entry in entries:
                for lane in Lane:
                    await queue.drop(entry, lane)
    if not rows:
        raise ConfigurationError(f"{', '.join(entries)}: not waiting (see `packetboat queue list`)")
    return rows


def _outstanding(data: Path, database: Database) -> AsyncIterator[Outstanding]:
    root = settings_for(data).journal
    return outstanding(database, root, Reader(root))


@contextlib.asynccontextmanager
async def _redis_queue(data: Path) -> AsyncIterator[Queue | None]:
    """Give the queue of a running stack; None when Redis is away (the next sweep reads SQL)."""
    client = connect(settings_for(data).redis)
    try:
        await client.ping()
        queue = Queue(client, "cli")
        await queue.setup()
        yield queue
    except (RedisError, OSError, TemporaryFailure):
        yield None
    finally:
        await client.aclose()


def _pending() -> Work[Rows]:
    rows = yield sql.pending()
    return rows


def _pending_of(entries: list[str]) -> Work[Rows]:
    rows = yield sql.pending_of(entries=entries)
    return rows


def _make_due(entries: list[str] | None, now: int) -> Work[Rows]:
    rows = (yield sql.pending()) if entries is None else (yield sql.pending_of(entries=entries))
    due = sorted({row["entry"] for row in rows})
    for start in range(0, len(due), 500):
        yield sql.make_due(entries=due[start : start + 500], now=now)
    return rows


def _give_up(entries: list[str], fresh: list[Outstanding], now: int) -> Work[int]:
    """The ledger's gate first: whoever is delivering just now has won."""
    rows = yield sql.pending_of(entries=entries)
    dropped = [(r["entry"], r["recipient"], r["target"], now, r["sender"], r["message_id"]) for r in rows]
    dropped += [
        (item.envelope.id, recipient.address, recipient.address, now, item.envelope.sender, item.envelope.message_id)
        for item in fresh
        for recipient in item.recipients
    ]
    gone = 0
    for entry, recipient, target, at, sender, message_id in dropped:
        inserted = yield sql.drop(
            entry=entry, recipient=recipient, target=target, at=at, sender=sender, message_id=message_id
        )
        gone += len(inserted)
    yield sql.delete_pending(entries=entries)
    return gone


def _from_row(row: Any) -> Waiting:
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
    )


def _from_journal(item: Outstanding) -> list[Waiting]:
    envelope = item.envelope
    return [
        Waiting(envelope.id, envelope.sender, r.address, r.lane.value, "queued", envelope.received_at / 1e6)
        for r in item.recipients
    ]


def _reference(row: Any) -> Reference:
    return Reference(
        row["segment"], row["position"], row["length"], row["body"], row["inline_size"], row["size"], row["large"]
    )


def _print_envelope(envelope: Envelope, reference: Reference) -> None:
    origin = envelope.origin
    accepted = datetime.datetime.fromtimestamp(envelope.received_at / 1e6, tz=datetime.UTC)
    print(f"entry     {envelope.id} ({envelope.kind.value}), {reference.size} octets in {reference.segment}")
    print(
        f"accepted  {accepted.isoformat(sep=' ', timespec='seconds')} from {origin.ip or 'ourselves'} {origin.protocol}"
    )
    print(f"from      <{envelope.sender}>")
    for recipient in envelope.recipients:
        print(f"to        <{recipient.address}> by {recipient.lane.value}")


def _entry(text: str) -> str:
    if not is_id(text.upper()):
        raise ConfigurationError(f"{text!r} is no entry id: `packetboat queue list` shows them")
    return text.upper()


def _age(since: float) -> str:
    seconds = max(0.0, time.time() - since)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def _due(item: Waiting) -> str:
    if item.state != "waiting":
        return ""
    left = item.due - time.time()
    return "now" if left <= 0 else f"in {left:.0f}s" if left < 120 else f"in {left / 60:.0f}m"
