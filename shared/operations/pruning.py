"""Forgetting old history: outcomes, attempts, refused mail, audit and idempotency rows, what Sieve need not remember.

An outcome may go once nothing asks for it any more: its journal segment is settled (which is stored, so that
recovery never reads it again) and no other recipient of its entry waits.
"""

from __future__ import annotations

import asyncio
import calendar
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared.db import Database, Rows, Work, load
from shared.directory.srs import VALID_DAYS
from shared.ids import encode
from shared.journal.segments import SegmentKind, list_segments
from shared.mailbox.quarantine import prune_quarantine
from shared.operations.once import KEPT

DAY = 86_400.0
MARGIN = 7 * DAY  # an outcome this much older than every unsettled segment has no record in one
BATCH = 500  # rows in one transaction
MAX_BATCHES = 200  # of each kind in one pass
SRS_AGE = (VALID_DAYS + 1) * DAY  # after its last use a long sender's reverse-path has expired

sql = load("admin")
outstanding_sql = load("outstanding")
scripts_sql = load("scripts")


@dataclass(frozen=True, slots=True)
class Ages:
    """How long history is kept, seconds."""

    trace: float = 90 * DAY
    rejected: float = 14 * DAY
    audit: float = 400 * DAY
    quarantine: float = 30 * DAY


async def prune_history(
    database: Database, journal: Path, ages: Ages, *, clock: Callable[[], float] = time.time
) -> dict[str, int]:
    """Do one pass; return how many rows of each kind went."""
    now = clock()
    oldest = await _oldest_unsettled(database, journal)
    before = now - ages.trace if oldest is None else min(now - ages.trace, oldest - MARGIN)
    return {
        "ledger": await _prune_ledger(database, before),
        "attempts": await _prune(database, "prune_attempts", now - ages.trace),
        "rejections": await _prune(database, "prune_rejections", now - ages.rejected),
        "audit": await _prune(database, "prune_audit", now - ages.audit),
        "quarantine": await prune_quarantine(database, int((now - ages.quarantine) * 1e6), int(now * 1e6)),
        "sieve_memory": await _prune(database, "prune_memory", now),
        "srs_senders": await _prune(database, "prune_srs_senders", now - SRS_AGE),
        "idempotency": await database.write(_prune_idempotency, int(now * 1e6) - KEPT),
    }


async def _prune_ledger(database: Database, before: float) -> int:
    gone = 0
    for _ in range(MAX_BATCHES):
        rows = await database.scan(_old_ledger, before)
        if rows:
            await database.write(_delete_ledger, rows)
        gone += len(rows)
        if len(rows) < BATCH:
            break
    return gone


async def _prune(database: Database, query: str, before: float) -> int:
    gone = 0
    for _ in range(MAX_BATCHES):
        count = await database.write(_prune_batch, query, int(before * 1e6))
        gone += count
        if count < BATCH:
            break
    return gone


async def _oldest_unsettled(database: Database, journal: Path) -> float | None:
    """Return the beginning of the oldest day that has an unsettled segment, Unix seconds; None if there is none."""
    segments = await asyncio.to_thread(list_segments, journal)
    settled = await database.read(_settled)
    days = [s.name[:10] for s in segments if s.kind is SegmentKind.JOURNAL and s.name not in settled]
    return float(calendar.timegm(time.strptime(min(days), "%Y-%m-%d"))) if days else None


def _settled() -> Work[set[str]]:
    rows = yield outstanding_sql.settled_segments()
    return {row["name"] for row in rows}


def _old_ledger(before: float) -> Work[Rows]:
    bound = encode(max(int(before * 1000), 0) << 80)
    rows = yield sql.old_ledger(bound=bound, before=int(before * 1e6), limit=BATCH)
    return rows


def _delete_ledger(rows: Rows) -> Work[None]:
    yield sql.delete_ledger.many([{name: row[name] for name in ("entry", "recipient", "target")} for row in rows])


def _prune_batch(query: str, before: int) -> Work[int]:
    queries = scripts_sql if query in ("prune_memory", "prune_srs_senders") else sql
    rows = yield getattr(queries, query)(before=before, limit=BATCH)
    return len(rows)


def _prune_idempotency(before: int) -> Work[int]:
    yield sql.prune_idempotency(before=before)
    return 0
