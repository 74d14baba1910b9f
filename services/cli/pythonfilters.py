"""`packetboat filters status|test`: how Python filters do in the running MDA, and what one would do with a message."""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from redis.exceptions import RedisError

from services.cli.context import DEFAULT_DATA, DataOption, settings_for
from services.cli.table import print_table
from shared.errors import ConfigurationError
from shared.filters.api import FINAL, Message
from shared.filters.process import FilterError, FilterProcess
from shared.ids import new_id
from shared.message.lineends import to_crlf
from shared.operations.replay import Decision, Mail, SieveCandidate
from shared.queue.connection import connect as connect_redis
from shared.queue.filterstatus import reports

MEMORY = 512 * 1024 * 1024  # octets, as the MDA's default
SECONDS = 5.0
MAX_MESSAGE = 64 * 1024 * 1024  # octets of a message to try a filter on


def show_status(
    data: DataOption = DEFAULT_DATA,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show every filter of the running MDA: whether it is loaded, what it has done, its last error with the line."""
    rows = asyncio.run(_reported(data))
    if as_json:
        for row in rows:
            print(orjson.dumps(row).decode())
        return
    if not rows:
        print("no Python filters: put files into the folder `filters` in the data folder (docs/filters.md)")
        return
    print_table(("filter", "workers", "state", "scope", "runs", "mean", "failures", "last error"), map(_row, rows))
    if any(row["loading_error"] for row in rows):
        raise typer.Exit(1)


def test_filter(
    filter_file: Annotated[
        Path, typer.Argument(metavar="FILTER", help="A Python filter (.py).", exists=True, dir_okay=False)
    ],
    message: Annotated[Path, typer.Argument(help="A file with a message.", exists=True, dir_okay=False)],
    sender: Annotated[str, typer.Option("--from", help="The envelope's sender; From by default.")] = "",
    recipient: Annotated[str, typer.Option("--to", help="Recipient and account; To by default.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The actions as JSON.")] = False,
) -> None:
    """Print what a filter would do with a message, in a process with the MDA's limits; exit status 1 if it fails."""
    if message.stat().st_size > MAX_MESSAGE:
        raise ConfigurationError(f"{message} is longer than {MAX_MESSAGE} octets")
    octets = to_crlf(message.read_bytes())
    parsed = Message(octets)
    to = recipient or next(iter(parsed.addresses("to")), "nobody@localhost")
    facts = {"entry": new_id(), "sender": sender or parsed.sender, "recipient": to, "account": to}
    try:
        actions, concerned = asyncio.run(_tried(filter_file.absolute(), facts, octets))
    except FilterError as error:
        print(f"{filter_file}:{error.line}: {error.args[0]}" if error.line else f"{filter_file}: {error.args[0]}")
        raise typer.Exit(1) from None
    if as_json:
        print(orjson.dumps(actions).decode())
        return
    if not concerned:
        print(f"note: its DOMAINS and ACCOUNTS leave {to} out, so the MDA wouldn't ask it")
    for action in actions:
        print(told(action))
    if not any(action["do"] in FINAL for action in actions):
        print("then the next filter, then Sieve scripts")


def told(action: dict[str, Any]) -> str:
    """Write an action as a person reads it."""
    values = [
        f"{name}={value}" for name, value in action.items() if name != "do" and value not in ("", False, None, [])
    ]
    return " ".join([str(action["do"]), *values])


class PythonCandidate:
    """A Python filter before what runs now, for `filters replay`."""

    def __init__(self, path: Path, scripts: SieveCandidate) -> None:
        self._path = path.absolute()
        self._scripts = scripts
        self._process: FilterProcess | None = None

    async def decide(self, mail: Mail) -> Decision:
        """Run the filter, and the scripts if it leaves the decision to them."""
        try:
            if self._process is None:
                self._process = await FilterProcess.start(self._path, MEMORY)
            description = self._process.description
            if not description.concerns(mail.account):
                return await self._scripts.decide(mail)
            done = await self._process.run(_facts(mail), mail.message, description.timeout or SECONDS)
        except FilterError as error:
            if error.broken:
                await self._stop()
            return Decision((await self._scripts.decide(mail)).outcomes, str(error))
        final = [action for action in done if action["do"] in FINAL]
        if final:
            return Decision(tuple(dict.fromkeys(map(_outcome, final))))
        for what, outcome in (("quarantine", "quarantine"), ("junk", "Junk")):
            if any(action["do"] == what for action in done):
                return Decision((outcome,))
        return await self._scripts.decide(mail)

    async def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.stop()


async def _tried(path: Path, facts: dict[str, Any], message: bytes) -> tuple[list[dict[str, Any]], bool]:
    process = await FilterProcess.start(path, MEMORY)
    try:
        description = process.description
        actions = await process.run(facts, message, description.timeout or SECONDS)
        return actions, description.concerns(facts["account"])
    finally:
        await process.stop()


async def _reported(data: Path) -> list[dict[str, Any]]:
    """Return one row for each filter, its workers' figures summed."""
    client = connect_redis(settings_for(data).redis)
    try:
        by_worker = await reports(client)
    except (RedisError, OSError):
        raise ConfigurationError(
            "the stack isn't running, so no filter is: try one with `packetboat filters test`"
        ) from None
    finally:
        await client.aclose()
    rows: dict[str, dict[str, Any]] = {}
    for views in by_worker.values():
        for view in views:
            row = rows.setdefault(
                view["name"], {**view, "workers": 0, "runs": 0, "failures": 0, "at": -1.0, "error": ""}
            )
            row["workers"] += 1
            row["runs"] += view["runs"]
            row["failures"] += view["failures"]
            row["loading_error"] = row["loading_error"] or view["loading_error"]
            row["loading_line"] = row["loading_line"] or view["loading_line"]
            if view["at"] > row["at"] and view["error"]:
                row |= {name: view[name] for name in ("error", "line", "at", "entry")}
    return [rows[name] for name in sorted(rows)]


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    state = "loaded" if row["loaded"] and row["breaker"] == "closed" else "resting" if row["loaded"] else "not loaded"
    if row["loading_error"]:
        state = f"{'old state' if row['loaded'] else 'not loaded'}: line {row['loading_line']}: {row['loading_error']}"
    scope = ", ".join([*row["domains"], *row["accounts"]]) or "all"
    last = ""
    if row["error"]:
        at = datetime.datetime.fromtimestamp(row["at"]).astimezone().isoformat(sep=" ", timespec="seconds")
        last = f"{at} {row['entry']} line {row['line']}: {row['error']}"
    mean, workers = f"{row['mean_ms']:.1f} ms", str(row["workers"])
    return (row["name"], workers, state, scope, str(row["runs"]), mean, str(row["failures"]), last)


def _facts(mail: Mail) -> dict[str, Any]:
    envelope = mail.envelope
    return {
        "entry": mail.entry,
        "sender": envelope.sender,
        "recipient": mail.recipient.address,
        "account": mail.account,
        "ip": envelope.origin.ip,
        "helo": envelope.origin.helo,
    }


def _outcome(action: dict[str, Any]) -> str:
    match action["do"]:
        case "keep":
            return "INBOX"
        case "fileinto":
            return str(action["mailbox"])
        case "redirect":
            return f"redirect {action['address']}"
        case what:
            return str(what)
