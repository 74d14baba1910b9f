"""Copying live records into a new segment, so that the old ones can go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.journal.active import ActiveSegment
from shared.journal.errors import JournalFailed, RecordUnavailable
from shared.journal.reader import Reader
from shared.journal.record import Draft
from shared.journal.reference import Reference

CHUNK = 8 * 1024 * 1024  # bytes of records in memory at a time, unless a single one is longer
MAX_RECORDS = 256  # of one write: three buffers each, below IOV_MAX


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A sealed copy: for each source segment the new offset of each record by its old one."""

    segment: str
    length: int  # bytes of records
    moves: Mapping[str, Mapping[int, int]]
    damaged: tuple[RecordUnavailable, ...]  # a segment with a damaged live record is not among `moves`


def rewrite(
    root: Path, reader: Reader, segment: str, sources: Mapping[str, Sequence[Reference]], now: float
) -> Rewritten:
    """Copy records into the new segment and seal it durably; OSError or JournalFailed, and the copy is of no use."""
    active = ActiveSegment.create(root, segment, now)
    try:
        moves, damaged = _copy_all(active, reader, sources)
        length = active.offset
        sealed = active.seal()
    except OSError:
        active.abandon()
        raise
    if not sealed:
        raise JournalFailed(f"segment {segment} was sealed by another worker")
    return Rewritten(segment, length, moves, tuple(damaged))


def _copy_all(
    active: ActiveSegment, reader: Reader, sources: Mapping[str, Sequence[Reference]]
) -> tuple[dict[str, dict[int, int]], list[RecordUnavailable]]:
    moves: dict[str, dict[int, int]] = {}
    damaged: list[RecordUnavailable] = []
    for source, references in sources.items():
        try:
            moves[source] = _copy(active, reader, references)
        except RecordUnavailable as failure:
            damaged.append(failure)
    return moves, damaged


def _copy(active: ActiveSegment, reader: Reader, references: Sequence[Reference]) -> dict[int, int]:
    moves: dict[int, int] = {}
    for chunk in _chunks(sorted(references, key=lambda reference: reference.offset)):
        drafts: list[Draft] = [reader.draft(reference) for reference in chunk]
        for reference, offset in zip(chunk, active.write(drafts), strict=True):
            moves[reference.offset] = offset
    return moves


def _chunks(references: Sequence[Reference]) -> Iterator[list[Reference]]:
    chunk: list[Reference] = []
    size = 0
    for reference in references:
        if chunk and (size + reference.length > CHUNK or len(chunk) == MAX_RECORDS):
            yield chunk
            chunk, size = [], 0
        chunk.append(reference)
        size += reference.length
    if chunk:
        yield chunk
