"""`packetboat quarantine …`: mail that scanners or filters kept back; on a running or a stopped stack."""

from __future__ import annotations

import asyncio
import datetime
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import orjson
import typer

from services.cli.context import DEFAULT_DATA, DataOption, database_of, settings_for
from services.cli.operator import redis_queue, user
from services.cli.table import print_table
from shared.db import Database
from shared.errors import ConfigurationError
from shared.journal.reader import Reader
from shared.operations import quarantine
from shared.operations.actor import Actor
from shared.queue.delivery import Queue

MAX_SHOWN = 60  # characters of a subject or reason in a list

T = TypeVar("T")
Entries = Annotated[list[str] | None, typer.Argument(help="Entry ids, or `all`.")]
Sender = Annotated[str, typer.Option("--from", help="Those from this address or @domain.")]
Recipient = Annotated[str, typer.Option("--to", help="Those to this address or @domain.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]

app = typer.Typer(help="Mail that scanners or filters kept back.", no_args_is_help=True)


def register(parent: typer.Typer) -> None:
    """Add the group."""
    parent.add_typer(app, name="quarantine")


@app.command("list")
def list_kept_back(
    data: DataOption = DEFAULT_DATA, sender: Sender = "", recipient: Recipient = "", as_json: AsJson = False
) -> None:
    """List everything that is kept back, and why."""
    rows = _do(data, lambda database, _reader, _queue: quarantine.kept_back(database, recipient, sender))
    if as_json:
        for row in rows:
            print(orjson.dumps(row).decode())
    elif not rows:
        print("the quarantine is empty")
    else:
        print_table(("entry", "since", "from", "to", "subject", "reason"), map(_row, rows))


@app.command("show")
def show_entry(
    entry: str,
    data: DataOption = DEFAULT_DATA,
    as_json: AsJson = False,
    source: Annotated[bool, typer.Option("--source", help="Write the whole message, as it came.")] = False,
) -> None:
    """Show a message that is kept back: why, for whom, its header."""
    if source:
        message = _do(data, lambda database, reader, _queue: quarantine.source(database, reader, entry))
        sys.stdout.buffer.write(message)
        return
    found = _do(data, lambda database, reader, _queue: quarantine.show(database, reader, entry))
    if as_json:
        print(orjson.dumps(found).decode())
        return
    print(f"entry:   {found['entry']}, {found['size']} octets, since {_time(found['at'])}")
    print(f"reason:  {found['reason']}")
    print(f"from:    {found['sender'] or '<>'} {' '.join(found['origin'].values())}")
    print(f"to:      {' '.join(found['recipients'])}\n")
    print(_printable(found["header"]))


@app.command("release")
def release_entries(
    entries: Entries = None, data: DataOption = DEFAULT_DATA, sender: Sender = "", recipient: Recipient = ""
) -> None:
    """Deliver messages after all; they aren't scanned again."""

    async def work(database: Database, reader: Reader, queue: Queue | None) -> int:
        chosen = await _chosen(database, entries, sender, recipient)
        return await quarantine.release(database, queue, _actor(), chosen)

    print(f"released {_recipients(_do(data, work))}")


@app.command("delete")
def delete_entries(
    entries: Entries = None, data: DataOption = DEFAULT_DATA, sender: Sender = "", recipient: Recipient = ""
) -> None:
    """Throw messages away; nobody is told, `packetboat trace` knows."""

    async def work(database: Database, reader: Reader, queue: Queue | None) -> int:
        return await quarantine.delete(database, _actor(), await _chosen(database, entries, sender, recipient))

    print(f"deleted {_recipients(_do(data, work))}")


def _do(data: Path, work: Callable[[Database, Reader, Queue | None], Awaitable[T]]) -> T:
    async def run() -> T:
        settings = settings_for(data)
        reader = Reader(settings.journal)
        try:
            async with database_of(data) as database, redis_queue(settings) as queue:
                return await work(database, reader, queue)
        finally:
            reader.close()

    return asyncio.run(run())


async def _chosen(database: Database, entries: list[str] | None, sender: str, recipient: str) -> list[str]:
    if entries and entries != ["all"]:
        if sender or recipient:
            raise ConfigurationError("name entries, or say --from and --to")
        return entries
    if not entries and not sender and not recipient:
        raise ConfigurationError("say which: entry ids, `all`, --from or --to")
    rows = await quarantine.kept_back(database, recipient, sender)
    if not rows:
        raise ConfigurationError("nothing like that is in the quarantine")
    return sorted({row["entry"] for row in rows})


def _actor() -> Actor:
    return Actor(f"cli:{user()}")


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    sender, subject = row["sender"] or "<>", _printable(row["subject"])[:MAX_SHOWN]
    return (row["entry"], _time(row["at"]), sender, row["recipient"], subject, _printable(row["reason"])[:MAX_SHOWN])


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def _recipients(count: int) -> str:
    return "1 recipient" if count == 1 else f"{count} recipients"
