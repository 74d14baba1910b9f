"""Blob rows: where in the journal a message's bytes lie, and all that is shown of it without them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from shared.db import Work, load
from shared.journal.reference import Reference
from shared.mailbox.errors import SegmentRewritten
from shared.message.rendered import Rendered

REWRITTEN = "rewritten"  # segment.state after compaction
MAX_STATEMENT_VALUES = 15_000  # in one multi-row INSERT

sql = load("messages")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NewBlob:
    """A message in the journal that a mailbox is about to refer to."""

    entry: str
    reference: Reference
    rendered: Rendered


def lock_segments(names: Iterable[str]) -> Work[dict[str, int]]:
    """Lock segments against compaction and return the ids of those that may be referred to.

    A name that is missing in the answer was rewritten meanwhile: its records lie elsewhere now.
    """
    wanted = sorted(set(names))
    rows = yield sql.known_segments(names=wanted)
    if len(rows) < len(wanted):
        known = {row["name"] for row in rows}
        yield sql.insert_segments(rows=[(name, "open") for name in wanted if name not in known])
        rows = yield sql.known_segments(names=wanted)
    return {row["name"]: row["id"] for row in rows if row["state"] != REWRITTEN}


def insert_blobs(blobs: Sequence[NewBlob], segments: dict[str, int]) -> Work[dict[str, int]]:
    """Return the blob id of each entry, keeping blobs that exist; SegmentRewritten if one has no segment."""
    ids: dict[str, int] = {}
    rows = [_row(blob, segments) for blob in sorted(blobs, key=lambda blob: blob.entry)]
    for chunk in chunked(rows):
        for row in (yield sql.insert_blobs(rows=chunk)):
            ids[row["entry"]] = row["id"]
    return ids


def chunked(rows: Sequence[Sequence[T]]) -> Iterator[list[Sequence[T]]]:
    """Cut rows for multi-row INSERTs, so that no statement has too many values."""
    iterator = iter(rows)
    count = MAX_STATEMENT_VALUES // len(rows[0]) if rows else 1
    while chunk := list(islice(iterator, count)):
        yield chunk


def _row(blob: NewBlob, segments: dict[str, int]) -> tuple[Any, ...]:
    reference, rendered = blob.reference, blob.rendered
    segment = segments.get(reference.segment)
    if segment is None:
        raise SegmentRewritten(f"segment {reference.segment} was rewritten")
    return (
        blob.entry,
        segment,
        reference.offset,
        reference.length,
        reference.body,
        reference.inline,
        reference.size,
        reference.large,
        rendered.header_size,
        rendered.sent_at,
        rendered.sent_day,
        rendered.envelope,
        rendered.bodystructure,
        rendered.body,
        rendered.parts,
        rendered.preview,
        rendered.message_id,
        rendered.subject,
        rendered.refs,
    )
