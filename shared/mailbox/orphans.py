"""Files on the volume that nothing names: large bodies, and copies whose row is gone (DESIGN §3)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared.db import Database, Work, load
from shared.journal.reader import Reader, ScannedRecord
from shared.journal.segments import (
    LargeBody,
    Segment,
    SegmentKind,
    list_large,
    list_segments,
    mark_large,
    unlink,
    unlink_large,
    unmark_large,
)

BATCH = 500  # names asked for at once

sql = load("compaction")


async def remove_large(
    database: Database, root: Path, reader: Reader, *, untouched_since: float, unnamed_since: float
) -> int:
    """Remove large files that nothing has named since `unnamed_since`; return how many (times: Unix seconds).

    A segment that can't be read stops it (RecordUnavailable): what it names isn't known.
    What was written to after `untouched_since` may be an upload. A mark beside the file keeps since when
    nothing names it, so that a backup of SQL from before then finds it.
    """
    old = [body for body in await asyncio.to_thread(_list, root) if body.modified < untouched_since]
    unnamed = await _unnamed(database, root, reader, [body.name for body in old])
    removed = 0
    for body in old:
        if body.name in unnamed:
            removed += await asyncio.to_thread(_remove_or_mark, root, body.name, unnamed_since)
        elif body.is_marked:
            await asyncio.to_thread(unmark_large, root, body.name)
    return removed


async def remove_copies(database: Database, root: Path, files: Mapping[str, Segment], before: float) -> int:
    """Remove compacted segments without a row that weren't touched since `before` (Unix seconds)."""
    names = [f.name for f in files.values() if f.kind is SegmentKind.COMPACTED and f.modified < before]
    removed = 0
    for start in range(0, len(names), BATCH):
        batch = names[start : start + BATCH]
        known = await database.read(_known, batch)
        for name in batch:
            if name not in known:
                await asyncio.to_thread(unlink, root, name)
                removed += 1
    return removed


def _list(root: Path) -> list[LargeBody]:
    return list(list_large(root))


def _remove_or_mark(root: Path, name: str, unnamed_since: float) -> bool:
    if mark_large(root, name) >= unnamed_since:
        return False
    unlink_large(root, name)
    return True


async def _unnamed(database: Database, root: Path, reader: Reader, names: Sequence[str]) -> set[str]:
    """Return the names that neither rows nor records that may still be delivered name.

    The rows are asked once more behind the records: what is delivered between the two has a row by then.
    """
    unnamed = await _without_rows(database, names)
    if unnamed:
        unnamed -= await _named_in_journal(database, root, reader)
    return await _without_rows(database, sorted(unnamed))


async def _without_rows(database: Database, names: Sequence[str]) -> set[str]:
    left = set(names)
    for start in range(0, len(names), BATCH):
        left -= await database.read(_named, names[start : start + BATCH])
    return left


async def _named_in_journal(database: Database, root: Path, reader: Reader) -> set[str]:
    segments = [s.name for s in await asyncio.to_thread(list_segments, root) if s.kind is SegmentKind.JOURNAL]
    named: set[str] = set()
    for start in range(0, len(segments), BATCH):
        batch = segments[start : start + BATCH]
        settled = await database.read(_settled, batch)
        for name in batch:
            if name not in settled:
                named |= await asyncio.to_thread(_large_names, reader, name)
    return named


def _large_names(reader: Reader, segment: str) -> set[str]:
    return {found.reference.large for found in reader.scan(segment) if isinstance(found, ScannedRecord)}


def _named(names: Sequence[str]) -> Work[set[str]]:
    rows = yield sql.named_large(names=list(names), waiting=list(names))
    return {row["large"] for row in rows}


def _known(names: Sequence[str]) -> Work[set[str]]:
    rows = yield sql.known_segments(names=list(names))
    return {row["name"] for row in rows}


def _settled(names: Sequence[str]) -> Work[set[str]]:
    rows = yield sql.settled_names(names=list(names))
    return {row["name"] for row in rows}
