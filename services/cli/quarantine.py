"""`packetboat quarantine …`: mail that was kept back; on a running or a stopped stack, or with --url."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from services.cli.context import DEFAULT_DATA, DataOption
from services.cli.operator import UrlOption, everything, perform
from services.cli.table import print_table
from shared.errors import ConfigurationError
from shared.operations.quarantine import Kept
from shared.operations.queue import entry_id

MAX_SHOWN = 60  # characters of a subject or reason in a list

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
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    sender: Sender = "",
    recipient: Recipient = "",
    as_json: AsJson = False,
) -> None:
    """List everything that is kept back, and why."""
    rows = _kept_back(data, url, Kept((), sender, recipient))
    if as_json:
        for row in rows:
            print(orjson.dumps(row).decode())
    elif not rows:
        print("nothing like that is in the quarantine" if sender or recipient else "the quarantine is empty")
    else:
        print_table(("entry", "since", "from", "to", "subject", "reason"), map(_row, rows))


@app.command("show")
def show_entry(
    entry: str,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    as_json: AsJson = False,
    source: Annotated[bool, typer.Option("--source", help="Write the whole message, as it came.")] = False,
) -> None:
    """Show a message that is kept back: why, for whom, its header."""
    entry = entry_id(entry)
    if source:
        sys.stdout.buffer.write(perform(data, url, lambda operator: operator.mail.source_of_kept(entry)))
        return
    found = perform(data, url, lambda operator: operator.mail.show_kept(entry))
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
    entries: Entries = None,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    sender: Sender = "",
    recipient: Recipient = "",
) -> None:
    """Deliver messages after all; they aren't scanned again."""
    wanted = _wanted(entries, sender, recipient)
    print(f"released {_recipients(perform(data, url, lambda operator: operator.mail.release_kept(wanted)))}")


@app.command("delete")
def delete_entries(
    entries: Entries = None,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    sender: Sender = "",
    recipient: Recipient = "",
) -> None:
    """Throw messages away; nobody is told, `packetboat trace` knows."""
    wanted = _wanted(entries, sender, recipient)
    print(f"deleted {_recipients(perform(data, url, lambda operator: operator.mail.delete_kept(wanted)))}")


def _kept_back(data: Path, url: str, wanted: Kept) -> list[dict[str, Any]]:
    return perform(data, url, lambda one: everything(lambda cursor, limit: one.mail.kept_back(wanted, cursor, limit)))


def _wanted(entries: list[str] | None, sender: str, recipient: str) -> Kept:
    if entries and (sender or recipient):
        raise ConfigurationError("name entries, or say --from and --to")
    if not entries and not sender and not recipient:
        raise ConfigurationError("say which: entry ids, `all`, --from or --to")
    return Kept.of_entries(entries) if entries and entries != ["all"] else Kept((), sender, recipient)


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    sender, subject = row["sender"] or "<>", _printable(row["subject"])[:MAX_SHOWN]
    return (row["entry"], _time(row["at"]), sender, row["recipient"], subject, _printable(row["reason"])[:MAX_SHOWN])


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().isoformat(sep=" ", timespec="seconds")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def _recipients(count: int) -> str:
    if not count:
        raise ConfigurationError("nothing like that is in the quarantine")
    return "1 recipient" if count == 1 else f"{count} recipients"
