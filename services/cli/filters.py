"""`packetboat filters …`: Python filters, and what a script or filter would have done with stored mail."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Annotated

import orjson
import typer

from services.cli import pythonfilters
from services.cli.context import DEFAULT_DATA, DataOption, database_of, settings_for
from services.cli.table import print_table
from shared.db import Database
from shared.directory import Directory
from shared.errors import ConfigurationError
from shared.journal.reader import Reader
from shared.message.text import printable
from shared.operations.replay import Candidate, Replayed, SieveCandidate, Summary, replay
from shared.operations.trace import show_time
from shared.sieve import ScriptError, compile_script
from shared.sieve.host import LANGUAGE

MAX_SHOWN_SUBJECT = 60  # characters
MAX_SHOWN_MOVES = 50  # kinds of change in the sum
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "": 86_400, "w": 7 * 86_400}


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(help="Python filters, and trying filters on stored mail.", no_args_is_help=True)
    group.callback()(_nothing)
    group.command("status")(pythonfilters.show_status)
    group.command("test")(pythonfilters.test_filter)
    group.command("replay")(replay_stored)
    app.add_typer(group, name="filters")


def _nothing() -> None:
    """Python filters, and trying filters on stored mail."""


def replay_stored(
    filter_file: Annotated[
        Path,
        typer.Argument(metavar="FILTER", help="A Sieve script, or a Python filter (.py).", exists=True, dir_okay=False),
    ],
    since: Annotated[str, typer.Option(help="Mail of how long: 12h, 7d, 4w.")] = "7d",
    account: Annotated[str, typer.Option(help="Only this account's mail.")] = "",
    unchanged: Annotated[bool, typer.Option("--all", help="Print what would stay the same, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a message, then the sum.")] = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Print what a filter would change, message by message and in sum; nothing is touched."""
    begin = time.time() - _seconds(since)
    summary = asyncio.run(_replay(data, filter_file, account, begin, unchanged=unchanged, as_json=as_json))
    if as_json:
        print(_json_of_summary(summary))
    else:
        _print_summary(summary)


async def _replay(
    data: Path, filter_file: Path, account: str, since: float, *, unchanged: bool, as_json: bool
) -> Summary:
    settings, summary = settings_for(data), Summary()
    reader = Reader(settings.journal)
    try:
        async with database_of(data) as database:
            number = await _account(database, account)
            candidate = _candidate(filter_file, database, settings.name)
            async for one in replay(database, reader, candidate, summary, since=since, account_id=number):
                if one.changes or one.after.error or unchanged:
                    print(_json_of(one) if as_json else _line_of(one))
    finally:
        reader.close()
    return summary


def _candidate(path: Path, database: Database, hostname: str) -> Candidate:
    """Return what the file is, told by its suffix."""
    if path.suffix == ".py":
        return pythonfilters.PythonCandidate(path, SieveCandidate(database, None, hostname))
    try:
        return SieveCandidate(database, compile_script(path.read_bytes(), name=path.stem, language=LANGUAGE), hostname)
    except ScriptError as error:
        lines = [f"{path}:{problem.line}:{problem.column}: {problem.message}" for problem in error.errors]
        raise ConfigurationError("\n".join(lines)) from None


async def _account(database: Database, address: str) -> int:
    if not address:
        return 0
    found = await Directory(database).account(address)
    if found is None:
        raise ConfigurationError(f"there is no account {address}: see `packetboat account list`")
    return found.id


def _seconds(text: str) -> float:
    match = _AGE.match(text.strip().lower())
    if match is None:
        raise ConfigurationError(f"{text!r}: say how long as 12h, 7d or 4w")
    return float(match[1]) * _SECONDS[match[2]]


def _line_of(one: Replayed) -> str:
    mail = one.mail
    change = f"{_told(one.before)} -> {_told(one.after.outcomes)}" if one.changes else f"{_told(one.before)} (same)"
    error = f"  error: {one.after.error}" if one.after.error else ""
    subject = mail.subject[:MAX_SHOWN_SUBJECT]
    time_ = show_time(mail.envelope.received_at)
    return printable(
        f"{time_}  {mail.entry}  {mail.account}  {change}{error}  from <{mail.envelope.sender}>: {subject}"
    )


def _json_of(one: Replayed) -> str:
    mail = one.mail
    return orjson.dumps(
        {
            "entry": mail.entry,
            "at": mail.envelope.received_at / 1e6,
            "account": mail.account,
            "sender": mail.envelope.sender,
            "subject": mail.subject,
            "before": one.before,
            "after": one.after.outcomes,
            "changes": one.changes,
            "error": one.after.error,
        }
    ).decode()


def _json_of_summary(summary: Summary) -> str:
    moves = [{"before": old, "after": new, "messages": count} for (old, new), count in summary.moves.most_common()]
    sums = {name: getattr(summary, name) for name in ("messages", "changed", "errors", "skipped")}
    return orjson.dumps({**sums, "moves": moves}).decode()


def _print_summary(summary: Summary) -> None:
    print(f"{summary.messages} messages, {summary.changed} would change, {summary.errors} with errors")
    if summary.skipped:
        print(f"{summary.skipped} skipped: appended by a client, changed by a filter, or no longer on record")
    if summary.moves:
        moves = summary.moves.most_common(MAX_SHOWN_MOVES)
        print_table(("messages", "what happened", "what would"), [[str(n), old, new] for (old, new), n in moves])


def _told(outcomes: tuple[str, ...]) -> str:
    return ", ".join(sorted(outcomes)) or "nothing"
