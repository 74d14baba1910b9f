"""The audit log: who changed what, from what, to what; written in the change's own transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from shared.db import Database, Work, load
from shared.operations.actor import Actor
from shared.operations.paging import Filter, Listing, Page, decode_cursor, encode_cursor

T = TypeVar("T")
MAX_STATE = 20_000  # characters of what an audit row keeps of a state

sql = load("admin")
LISTING = Listing("id, at, actor, action, object, before, after", "audit", ("id",), descending=True)


def audited(actor: Actor, action: str, target: str, state: Callable[[], Work[Any]], work: Work[T], now: int) -> Work[T]:
    """Do a change and write down what there was before and after it; `now` in microseconds."""
    before = yield from state()
    result = yield from work
    after = yield from state()
    yield from note(actor, action, target, before, after, now)
    return result


def note(actor: Actor, action: str, target: str, before: Any, after: Any, now: int) -> Work[None]:
    """Write a change down."""
    yield sql.insert_audit(
        at=now, actor=actor.name, action=action, object=target, before=_json(before), after=_json(after)
    )


async def page_of_audit(database: Database, cursor: str, limit: int, *, target: str = "", who: str = "") -> Page:
    """Return audit rows, the newest first."""
    wanted = Filter()
    if target:
        wanted = wanted.plus("object = :object", object=target)
    if who:
        wanted = wanted.plus("actor = :actor", actor=who)
    rows, end = await database.scan(LISTING.rows, wanted, decode_cursor(cursor, int), limit)
    return Page([_view(row) for row in rows], encode_cursor(end))


def _view(row: Any) -> dict[str, Any]:
    return {
        "id": row["id"],
        "at": row["at"] / 1e6,
        "actor": row["actor"],
        "action": row["action"],
        "object": row["object"],
        "before": orjson.loads(row["before"]),
        "after": orjson.loads(row["after"]),
    }


def _json(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= MAX_STATE else orjson.dumps({"too_long": len(text)}).decode()
