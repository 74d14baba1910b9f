"""What a stack needs once after a restore or a lossy failover, before its services start (DESIGN §9).

SQL is older than the volume and older than what clients and other servers have seen. So no UID and no
mod-sequence that may have been given is given again, and mail to other servers waits for the operator, who
knows what had been sent. Mail for mailboxes needs nothing: the sweep delivers what the ledger lacks.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.db import Database, Work, load
from shared.journal.reader import Reader
from shared.mailbox.blobs import chunked, lock_segments
from shared.message.envelope import Lane
from shared.queue.outstanding import Outstanding, outstanding

UID_STEP = 100_000  # UIDs of a mailbox that are left out: more than it can have given since the backup
BATCH = 200  # entries held in one transaction
REASON = "held after a restore: it may have been sent already"

sql = load("restoration")


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done: recipients in other places that are held now."""

    held: int


async def after_restore(database: Database, root: Path, reader: Reader, *, now: float | None = None) -> Restored:
    """Raise what clients may have seen higher, and hold what the relay would send; may be repeated.

    No service may be running. `now` is Unix time, seconds.
    """
    moment = int((time.time() if now is None else now) * 1_000_000)
    held = await database.write(_raise, moment)
    batch: list[Outstanding] = []
    async for entry in outstanding(database, root, reader):
        if entry.envelope.lane(Lane.RELAY):
            batch.append(entry)
        if len(batch) == BATCH:
            held += await database.write(_hold, batch, moment)
            batch = []
    return Restored(held + await database.write(_hold, batch, moment))


def _raise(now: int) -> Work[int]:
    yield sql.raise_accounts(step=UID_STEP)
    yield sql.raise_mailboxes(step=UID_STEP, now=now)
    yield sql.raise_messages()
    yield sql.forget_expunges()
    return len((yield sql.hold_waiting(reason=REASON)))


def _hold(entries: Sequence[Outstanding], now: int) -> Work[int]:
    segments = yield from lock_segments(entry.reference.segment for entry in entries)
    rows = []
    for entry in entries:
        place, envelope = entry.reference, entry.envelope
        where = (place.offset, place.length, place.body, place.inline, place.size, place.large)
        tail = (now, envelope.received_at, 1, REASON, envelope.sender, envelope.message_id)
        rows += [
            (envelope.id, one.address, one.address, one.lane.value, segments[place.segment], *where, *tail)
            for one in entry.recipients
            if one.lane is Lane.RELAY and place.segment in segments
        ]
    held = 0
    for chunk in chunked(rows):
        held += len((yield sql.hold_fresh(rows=chunk)))
    return held
