"""What became of mail: a message's timeline, the ledger's pages.

An event is a dict with `at` (Unix microseconds), `entry` and `what`: accepted, queued, deferred (an attempt
that failed for now), waiting, held, delivered, relayed, redirected, answered, notified, bounced, failed,
discarded, dropped, rejected.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from shared.address import AddressError, parse_address
from shared.db import Database, Rows, Work, load
from shared.ids import encode, is_id, timestamp_ms
from shared.journal.reader import Reader
from shared.operations.actor import Actor
from shared.operations.origin import origin_view, scanned_view
from shared.operations.paging import WINDOW, Filter, Listing, Page, decode_cursor, encode_cursor, in_domains
from shared.operations.rejections import rejection_view
from shared.queue.outstanding import Outstanding, outstanding

DEFAULT_EVENTS = 50  # outcomes told at once
MAX_CHILDREN = 100  # generations and siblings followed

sql = load("trace")
admin_sql = load("admin")
LEDGER = Listing(
    "l.entry, l.recipient, l.target, l.outcome, l.at, l.sender, l.message_id, l.detail",
    "ledger l",
    ("l.entry", "l.recipient", "l.target"),
    descending=True,
)
_ADDRESSES = ("recipient", "sender")  # told apart without regard to case
_INDEXED = ("entry", "message_id", *_ADDRESSES)


async def trace(
    database: Database, journal: Path, reader: Reader, actor: Actor, what: str, limit: int
) -> list[dict[str, Any]]:
    """Return the events of an entry, a Message-ID or an address, oldest first; `limit` outcomes at most."""
    ledger, pending, attempts, rejected = await database.scan(_recorded, what, limit)
    entries = {row["entry"] for row in (*ledger, *pending)}
    waiting = [
        item
        async for item in outstanding(database, journal, reader)
        if _concerns(item, what) or item.envelope.id in entries
    ]
    fresh = {item.envelope.id for item in waiting}
    events = [event for entry in sorted(entries - fresh) for event in _accepted(entry, ledger, pending)]
    events += [event for item in waiting for event in _queued(item)]
    events += [_from_attempt(row, ledger, pending) for row in attempts]
    events += [_from_ledger(row) for row in ledger] + [_from_pending(row) for row in pending]
    events += [_from_rejection(row) for row in rejected]
    return _told(events, actor)


def _told(events: Sequence[dict[str, Any]], actor: Actor) -> list[dict[str, Any]]:
    """Sort, leave out what is told twice and what isn't for the actor."""
    unique = {orjson.dumps(event): event for event in events}
    seen = [event for event in unique.values() if _is_for(actor, event)]
    for event in seen:
        event.pop("_sender", None)
        event.pop("origin", None)  # told with the acceptance
    return sorted(seen, key=lambda event: (event["at"], event["what"] != "accepted"))


def _is_for(actor: Actor, event: dict[str, Any]) -> bool:
    addresses = [str(event.get(name) or "") for name in ("_sender", "from", "recipient")]
    return actor.sees(*addresses, *str(event.get("to", "")).split())


async def page_of_ledger(
    database: Database,
    actor: Actor,
    cursor: str,
    limit: int,
    *,
    outcome: str = "",
    since: float | None = None,
    until: float | None = None,
    **equal: str,
) -> Page:
    """Return outcomes, newest entries first; `equal` names columns (entry, recipient, sender, message_id)."""
    wanted = Filter()
    for name in _INDEXED:
        if value := equal.get(name, ""):
            if name in _ADDRESSES:
                wanted = wanted.plus(f"lower(l.{name}) = :{name}", **{name: value.lower()})
            else:
                wanted = wanted.plus(f"l.{name} = :{name}", **{name: value})
    if outcome:
        wanted = wanted.plus("l.outcome = :outcome", outcome=outcome)
    if since is not None:
        wanted = wanted.plus("l.entry >= :since", since=_first_id(since))
    if until is not None:
        wanted = wanted.plus("l.entry < :before", before=_first_id(until))
    if actor.domains is not None:
        wanted = in_domains(("l.sender", "l.recipient"), sorted(actor.domains), wanted)
    window = None if any(equal.values()) else WINDOW
    after = decode_cursor(cursor, str, str, str)
    if after is None and until is not None:
        after = [_first_id(until), "", ""]  # so that the first window lies there
    rows, end = await database.scan(LEDGER.rows, wanted, after, limit, window=window)
    if end is not None and since is not None and end[0] < _first_id(since):
        end = None
    return Page([ledger_view(row) for row in rows], encode_cursor(end))


def ledger_view(row: Any) -> dict[str, Any]:
    """Read a row of the ledger."""
    names = ("entry", "recipient", "target", "outcome", "sender", "message_id")
    return {**{name: row[name] for name in names}, "at": row["at"] / 1e6, "detail": _detail(row)}


def line_of(event: dict[str, Any]) -> str:
    """Write an event as one line."""
    rest = " ".join(
        f"{key}={_shown(value)}"
        for key, value in event.items()
        if key not in ("at", "entry", "what") and value not in ("", None)
    )
    return f"{show_time(event['at'])}  {event['entry']:<26}  {event['what']:<10} {rest}".rstrip()


def show_time(microseconds: int) -> str:
    """Write a time as people read it, UTC."""
    moment = datetime.fromtimestamp(microseconds / 1e6, tz=UTC)
    return moment.isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")


def _recorded(what: str, limit: int) -> Work[tuple[Rows, Rows, Rows, Rows]]:
    """Return the rows of ledger, pending, attempts and rejections; of children, too."""
    ledger, pending, rejected = yield from _named(what, limit)
    followed: set[str] = {row["entry"] for row in ledger}
    rows = ledger
    while children := sorted(_children(rows) - followed)[:MAX_CHILDREN]:
        followed.update(children)
        rows = yield sql.ledger_of_entries(entries=children)
        ledger = [*ledger, *rows]
        pending = [*pending, *(yield sql.pending_of_entries(entries=children))]
        if len(followed) > limit + MAX_CHILDREN:
            break
    entries = sorted({row["entry"] for row in (*ledger, *pending)})
    attempts = (yield admin_sql.attempts_of(entries=entries)) if entries else []
    shown = {(row["entry"], row["recipient"]) for row in (*ledger, *pending)}
    return ledger, pending, [row for row in attempts if (row["entry"], row["recipient"]) in shown], rejected


def _children(rows: Rows) -> set[str]:
    """The entries that outcomes name as made from theirs: several where a message went into several folders."""
    return {child for row in rows for child in (_detail(row).get("child") or "").split()}


def _named(what: str, limit: int) -> Work[tuple[Rows, Rows, Rows]]:
    if is_id(what.upper()):
        ledger = yield sql.ledger_of_entry(entry=what.upper())
        pending = yield sql.pending_of_entry(entry=what.upper())
        return ledger, pending, []
    if what.startswith("<") or not _is_address(what):
        ledger, pending = yield from _of_message(what, limit)
        return ledger, pending, []
    address = what.lower()
    ledger = yield sql.ledger_of_address(address=address, limit=limit)
    pending = yield sql.pending_of_address(address=address, limit=limit)
    rejected = yield admin_sql.rejections_of(address=address, limit=limit)
    if not ledger and not pending:
        ledger, pending = yield from _of_message(what, limit)
    return ledger, pending, rejected


def _of_message(what: str, limit: int) -> Work[tuple[Rows, Rows]]:
    message_id = what if what.startswith("<") else f"<{what}>"
    ledger = yield sql.ledger_of_message(message_id=message_id, limit=limit)
    pending = yield sql.pending_of_message(message_id=message_id, limit=limit)
    return ledger, pending


def _concerns(item: Outstanding, what: str) -> bool:
    envelope, wanted = item.envelope, what.lower()
    addresses = {envelope.sender.lower(), *(r.address.lower() for r in envelope.recipients)}
    return (
        wanted == envelope.id.lower()
        or wanted in addresses
        or wanted.strip("<>") == envelope.message_id.lower().strip("<>")
    )


def _accepted(entry: str, ledger: Rows, pending: Rows) -> Iterable[dict[str, Any]]:
    """The acceptance, with what the ledger keeps of it."""
    rows = [row for row in (*ledger, *pending) if row["entry"] == entry]
    origins = (_detail(row).get("origin") for row in ledger if row["entry"] == entry)
    origin: dict[str, str] = next((one for one in origins if one), {})
    recipients = " ".join(sorted({row["recipient"] for row in rows}))
    yield {
        "at": timestamp_ms(entry) * 1000, "entry": entry, "what": "accepted", "from": rows[0]["sender"] or "<>",
        **origin, "to": recipients,
    }  # fmt: skip


def _queued(item: Outstanding) -> Iterable[dict[str, Any]]:
    envelope = item.envelope
    at = {"at": timestamp_ms(envelope.id) * 1000, "entry": envelope.id}
    recipients = " ".join(r.address for r in item.recipients)
    origin = origin_view(envelope.origin)
    if envelope.verdicts:
        origin["scanned"] = scanned_view(envelope.verdicts)
    yield {**at, "what": "accepted", "from": envelope.sender or "<>", **origin, "to": recipients}
    for recipient in item.recipients:
        yield {
            "at": envelope.received_at,
            "entry": envelope.id,
            "what": "queued",
            "recipient": recipient.address,
            "lane": recipient.lane.value,
            "_sender": envelope.sender,
        }


def _from_attempt(row: Any, ledger: Rows, pending: Rows) -> dict[str, Any]:
    sender = next((r["sender"] for r in (*ledger, *pending) if r["entry"] == row["entry"]), "")
    head = {"at": row["at"], "entry": row["entry"], "what": "deferred", "recipient": row["recipient"]}
    return {**head, **_detail(row), "_sender": sender}


def _from_ledger(row: Any) -> dict[str, Any]:
    event = {"at": row["at"], "entry": row["entry"], "what": row["outcome"], "recipient": row["recipient"]}
    if row["target"] not in ("", row["recipient"]):
        event["target"] = row["target"]
    return {**event, **_detail(row), "_sender": row["sender"]}


def _from_pending(row: Any) -> dict[str, Any]:
    return {
        "at": row["first_at"],
        "entry": row["entry"],
        "what": "held" if row["held"] else "waiting",
        "recipient": row["recipient"],
        "attempts": row["attempts"],
        "reason": row["reason"],
        "due": show_time(row["due_at"]),
        "_sender": row["sender"],
    }


def _from_rejection(row: Any) -> dict[str, Any]:
    view = rejection_view(row)
    view["from"] = view.pop("sender") or "<>"
    return {**view, "at": row["at"], "entry": "", "what": "rejected"}


def _detail(row: Any) -> dict[str, Any]:
    return dict(orjson.loads(row["detail"])) if row["detail"] else {}


def _first_id(seconds: float) -> str:
    """Return the first entry id of a time, Unix seconds."""
    milliseconds = min(max(int(seconds * 1000), 0), 2**48 - 1)
    return encode(milliseconds << 80)


def _shown(value: Any) -> str:
    text = orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)
    return "".join(c if c.isprintable() else "?" for c in text)


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except AddressError:
        return False
    return True
