"""`packetboat trace`: where is my mail? The ledger's story of a message."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from services.cli.context import DEFAULT_DATA, DataOption, database_of, settings_for
from shared.address import AddressError, parse_address
from shared.db import Rows, Work, load
from shared.ids import is_id, timestamp_ms
from shared.journal.reader import Reader
from shared.queue.outstanding import Outstanding, outstanding

DEFAULT_LIMIT = 50  # entries told at once

sql = load("trace")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("trace")(trace)


def trace(
    what: Annotated[str, typer.Argument(help="An entry id, a Message-ID or an address.", metavar="ADDRESS-OR-ID")],
    data: DataOption = DEFAULT_DATA,
    limit: Annotated[
        int, typer.Option(min=1, max=10_000, help="At most so many outcomes, newest first.")
    ] = DEFAULT_LIMIT,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Tell what became of a message: accepted, waiting, delivered, relayed, bounced, and where its children went."""
    events = asyncio.run(_events(data, what, limit))
    if not events:
        print(f"nothing is known of {what}")
        raise typer.Exit(1)
    for event in events:
        print(orjson.dumps(event).decode() if as_json else _line(event))


async def _events(data: Path, what: str, limit: int) -> list[dict[str, Any]]:
    journal = settings_for(data).journal
    async with database_of(data) as database:
        ledger, pending = await database.read(_recorded, what, limit)
        entries = {row["entry"] for row in (*ledger, *pending)}
        waiting = [
            item
            async for item in outstanding(database, journal, Reader(journal))
            if _concerns(item, what) or item.envelope.id in entries
        ]
    senders = {row["entry"]: row["sender"] for row in (*ledger, *pending)}
    events = [_accepted(entry, senders[entry]) for entry in sorted(entries - {item.envelope.id for item in waiting})]
    events += [event for item in waiting for event in _queued(item)]
    events += [_from_ledger(row) for row in ledger] + [_from_pending(row) for row in pending]
    unique = {orjson.dumps(event): event for event in events}
    return sorted(unique.values(), key=lambda event: (event["at"], event["what"] != "accepted"))


def _recorded(what: str, limit: int) -> Work[tuple[Rows, Rows]]:
    """Return the ledger's and pending's rows, children of an entry included."""
    if is_id(what.upper()):
        ledger = yield sql.ledger_of_entry(entry=what.upper())
        pending = yield sql.pending_of_entry(entry=what.upper())
    elif what.startswith("<") or not _is_address(what):
        message_id = what if what.startswith("<") else f"<{what}>"
        ledger = yield sql.ledger_of_message(message_id=message_id, limit=limit)
        pending = yield sql.pending_of_message(message_id=message_id, limit=limit)
    else:
        address = what.lower()
        ledger = yield sql.ledger_of_address(address=address, limit=limit)
        pending = yield sql.pending_of_address(address=address, limit=limit)
        if not ledger and not pending:
            message_id = f"<{what}>"
            ledger = yield sql.ledger_of_message(message_id=message_id, limit=limit)
    children = sorted({child for row in ledger if (child := _detail(row).get("child"))})
    if children:
        ledger = [*ledger, *(yield sql.ledger_of_entries(entries=children))]
        pending = [*pending, *(yield sql.pending_of_entries(entries=children))]
    return ledger, pending


def _concerns(item: Outstanding, what: str) -> bool:
    envelope, wanted = item.envelope, what.lower()
    addresses = {envelope.sender.lower(), *(r.address.lower() for r in envelope.recipients)}
    return (
        wanted == envelope.id.lower()
        or wanted in addresses
        or wanted.strip("<>") == envelope.message_id.lower().strip("<>")
    )


def _accepted(entry: str, sender: str) -> dict[str, Any]:
    return {"at": timestamp_ms(entry) * 1000, "entry": entry, "what": "accepted", "from": sender or "<>"}


def _queued(item: Outstanding) -> Iterable[dict[str, Any]]:
    origin = item.envelope.origin
    yield {
        "at": timestamp_ms(item.envelope.id) * 1000,
        "entry": item.envelope.id,
        "what": "accepted",
        **(
            {"from": item.envelope.sender or "<>", "ip": origin.ip, "protocol": origin.protocol}
            if origin.service
            else {}
        ),
    }
    for recipient in item.recipients:
        yield {
            "at": item.envelope.received_at,
            "entry": item.envelope.id,
            "what": "queued",
            "recipient": recipient.address,
            "lane": recipient.lane.value,
        }


def _from_ledger(row: Any) -> dict[str, Any]:
    event = {"at": row["at"], "entry": row["entry"], "what": row["outcome"], "recipient": row["recipient"]}
    if row["target"] not in ("", row["recipient"]):
        event["target"] = row["target"]
    return {**event, **_detail(row)}


def _from_pending(row: Any) -> dict[str, Any]:
    return {
        "at": row["first_at"],
        "entry": row["entry"],
        "what": "held" if row["held"] else "waiting",
        "recipient": row["recipient"],
        "attempts": row["attempts"],
        "reason": row["reason"],
        "due": _time(row["due_at"]),
    }


def _detail(row: Any) -> dict[str, Any]:
    return dict(orjson.loads(row["detail"])) if row["detail"] else {}


def _line(event: dict[str, Any]) -> str:
    rest = " ".join(
        f"{key}={value}"
        for key, value in event.items()
        if key not in ("at", "entry", "what") and value not in ("", None)
    )
    return f"{_time(event['at'])}  {event['entry']}  {event['what']:<10} {rest}".rstrip()


def _time(microseconds: int) -> str:
    moment = datetime.datetime.fromtimestamp(microseconds / 1e6, tz=datetime.UTC)
    return moment.isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except AddressError:
        return False
    return True
