"""What has been accepted and isn't finished, read from the journal itself: true with Redis up, down or wiped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from shared.db import Database, Rows, Work, load
from shared.errors import TemporaryFailure
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.journal.scan import ScannedRecord
from shared.journal.segments import Segment, SegmentKind, list_segments
from shared.message.envelope import Envelope, Recipient

BATCH = 500  # records whose outcomes are asked for at once

sql = load("outstanding")
recovery_sql = load("recovery")


@dataclass(frozen=True, slots=True)
class Outstanding:
    """An entry with the recipients that neither the ledger nor `pending` knows yet."""

    envelope: Envelope
    reference: Reference
    recipients: tuple[Recipient, ...]


async def outstanding(database: Database, root: Path, reader: Reader) -> AsyncIterator[Outstanding]:
    """Go through the unsettled segments, open ones too."""
    for segment in await _unsettled(database, await asyncio.to_thread(list_segments, root)):
        records = await asyncio.to_thread(_records, reader, segment.name)
        for start in range(0, len(records), BATCH):
            batch = records[start : start + BATCH]
            known = await database.read(_known, [record.envelope.id for record in batch])
            for record in batch:
                left = tuple(r for r in record.envelope.recipients if (record.envelope.id, r.address) not in known)
                if left:
                    yield Outstanding(record.envelope, record.reference, left)


async def _unsettled(database: Database, segments: list[Segment]) -> list[Segment]:
    def read() -> Work[Rows]:
        rows = yield sql.settled_segments()
        return rows

    settled = {row["name"] for row in await database.read(read)}
    return [s for s in segments if s.kind is SegmentKind.JOURNAL and s.name not in settled]


def _records(reader: Reader, segment: str) -> list[ScannedRecord]:
    try:
        return [found for found in reader.scan(segment) if isinstance(found, ScannedRecord)]
    except TemporaryFailure:
        return []  # sealed, settled and unlinked since it was listed


def _known(entries: list[str]) -> Work[set[tuple[str, str]]]:
    rows = yield recovery_sql.handled(entries=entries, waiting=entries)
    return {(row["entry"], row["recipient"]) for row in rows}
