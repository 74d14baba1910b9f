"""Keeping mail back: a held row in `pending`, which keeps the bytes alive, and one in `quarantine`, which says why."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from shared.db import Database, Rows, Work, load
from shared.mailbox.deliver import hold
from shared.mailbox.job import Job

MAX_REASON = 500  # characters
MAX_SUBJECT = 200
BATCH = 200  # rows in one transaction
MAX_BATCHES = 100  # in one pass
EXPIRED = "its time in the quarantine is over"

sql = load("quarantine")


@dataclass(frozen=True, slots=True)
class Suspect:
    """A recipient of an entry whose mail is kept back."""

    job: Job
    recipient: str
    received_at: int  # microseconds
    scanner: str
    reason: str
    subject: str = ""


def keep_back(suspects: Sequence[Suspect], now: int) -> Work[None]:
    """Put recipients into the quarantine, in one transaction; `now` in microseconds."""
    for suspect in suspects:
        reason = f"quarantined: {suspect.reason}"[:MAX_REASON]
        yield from hold(suspect.job, [suspect.recipient], suspect.received_at, reason, now)
    rows = [
        (
            s.job.entry,
            s.recipient,
            now,
            s.scanner,
            s.reason[:MAX_REASON],
            s.job.sender,
            s.subject[:MAX_SUBJECT],
            s.job.blob.reference.size,
        )
        for s in suspects
    ]
    yield sql.insert(rows=rows)


def in_quarantine(entries: Collection[str]) -> Work[set[tuple[str, str]]]:
    """Return those (entry, recipient) that are or were kept back."""
    rows = yield sql.known(entries=sorted(entries))
    return {(row["entry"], row["recipient"]) for row in rows}


def give_up(rows: Iterable[Any], detail: dict[str, str], now: int) -> Work[int]:
    """Throw away what is kept back: the ledger says so, and the bytes go with the next compaction."""
    count = 0
    for row in rows:
        key = {"entry": row["entry"], "recipient": row["recipient"]}
        yield sql.give_up(
            **key,
            target=row["target"] or row["recipient"],
            at=now,
            sender=row["sender"],
            message_id=row["message_id"],
            detail=orjson.dumps({**detail, "scanner": row["scanner"], "verdict": row["reason"]}).decode(),
        )
        yield sql.delete_pending(**key)
        yield sql.delete(**key)
        count += 1
    return count


async def prune_quarantine(database: Database, before: int, now: int) -> int:
    """Throw away what was kept back before `before`, and rows of what is no longer here; microseconds."""
    gone = 0
    for _ in range(MAX_BATCHES):
        count = await database.write(_expire, before, now)
        gone += count
        if count < BATCH:
            break
    await database.write(_tidy)
    return gone


def _expire(before: int, now: int) -> Work[int]:
    old: Rows = yield sql.old(before=before, limit=BATCH)
    if not old:
        return 0
    chosen = {(row["entry"], row["recipient"]) for row in old}
    rows = yield sql.of_entries(entries=sorted({entry for entry, _ in chosen}))
    held = [row for row in rows if (row["entry"], row["recipient"]) in chosen]
    yield from give_up(held, {"reason": EXPIRED}, now)
    left = chosen - {(row["entry"], row["recipient"]) for row in held}
    yield sql.delete.many([{"entry": entry, "recipient": recipient} for entry, recipient in sorted(left)])
    return len(chosen)


def _tidy() -> Work[None]:
    rows: Rows = yield sql.left_over(limit=BATCH)
    yield sql.delete.many([{"entry": row["entry"], "recipient": row["recipient"]} for row in rows])
