"""The bytes of a message as its recipient has it: the row's prefix, then the journal's record (DESIGN §3).

Everything here counts octets of the two together; stored part offsets are shifted on the way.
Rows are those of `fetch_rows(…, Want.CONTENT)` (with or without further wishes); Want.WHOLE does for whole messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, TypeAlias

from shared.db import Database, Work, load
from shared.journal.reader import Reader, Span
from shared.journal.reader import RecordUnavailable as RecordUnavailable
from shared.journal.reference import Reference
from shared.mailbox.errors import MessageGone
from shared.mailbox.rows import BLOB_ID, PREFIX, REFERENCE, SIZE
from shared.message.body import SectionText, locate, select_fields

STREAM_CHUNK = 256 * 1024  # octets of a long literal in memory at a time
BATCH_BYTES = 8 * 1024 * 1024  # octets of messages in memory at a time, unless a single one is longer

sql = load("messages")

Failure: TypeAlias = RecordUnavailable | MessageGone
Row: TypeAlias = Any


@dataclass(frozen=True, slots=True)
class Extent:
    """Octets of a message as its recipient has it."""

    start: int
    length: int


class Content:
    """Reads messages; one per process. Reading happens in threads.

    A record that isn't where a row says is looked up again once, since compaction may have moved it.
    MessageGone: expunged and no longer kept. RecordUnavailable: try later, an operator has to look.
    """

    def __init__(self, database: Database, reader: Reader) -> None:
        self._database = database
        self._reader = reader

    def extent(self, row: Row, path: Sequence[int] = (), text: SectionText = SectionText.WHOLE) -> Extent | None:
        """Say where a section lies, None if there is none such; for header fields, where the header does."""
        if not path and text is SectionText.WHOLE:
            return Extent(0, row[SIZE])
        span = locate(row["parts"], path, text)
        if span is None:
            return None
        prefix = len(row[PREFIX])
        return Extent(0, prefix + span.length) if span.prefixed else Extent(prefix + span.start, span.length)

    async def read(self, row: Row) -> bytes:
        """Return a whole message, verified."""
        return await self._attempt(row, lambda ref: row[PREFIX] + self._reader.read(ref))

    async def pread(self, row: Row, start: int, length: int) -> bytes:
        """Return up to `length` octets from `start` on, fewer only at the message's end."""
        return await self._attempt(row, lambda ref: _pread(self._reader, row[PREFIX], ref, start, length))

    async def section(
        self,
        row: Row,
        path: Sequence[int] = (),
        text: SectionText = SectionText.WHOLE,
        names: Collection[bytes] = (),
    ) -> bytes | None:
        """Return the octets of a section, None if there is none such (NIL)."""
        extent = self.extent(row, path, text)
        if extent is None:
            return None
        found = await self.pread(row, extent.start, extent.length)
        return _picked(found, text, names)

    async def stream(self, row: Row, start: int, length: int) -> AsyncGenerator[bytes, None]:
        """Yield octets in chunks, for literals of any length with bounded memory."""
        end = min(start + length, row[SIZE])
        for position in range(start, end, STREAM_CHUNK):
            yield await self.pread(row, position, min(STREAM_CHUNK, end - position))

    async def read_many(self, rows: Sequence[Row]) -> list[bytes | Failure]:
        """Return whole messages, verified, or why one can't be had; BATCH_BYTES is the caller's limit."""
        return await self._whole(rows, self._reader.read_many)

    async def view_many(self, rows: Sequence[Row]) -> list[bytes | memoryview | Failure]:
        """Return whole messages like `read_many`, some as views of what was read: for who only sends them."""
        return await self._whole(rows, self._reader.view_many)

    async def _whole(self, rows: Sequence[Row], read: Callable[[Sequence[Reference]], Sequence[Any]]) -> list[Any]:
        found = await asyncio.to_thread(lambda: _prefixed(rows, read(_references(rows))))
        for place, failure in _failed(found):
            found[place] = await self._again(rows[place], failure, self._reader.read)
        return found

    def read_now(self, rows: Sequence[Row], data: bytes, start: int) -> list[bytes | Failure]:
        """Like `read_many`, in a thread, of rows that lie in what `stretch` gave from `start` on.

        For who looks again by himself for what isn't where its row says.
        """
        return _prefixed(rows, self._reader.cut(data, start, _references(rows)))

    def stretch(self, segment: str, start: int, length: int) -> bytes:
        """Return octets of a segment as they lie, unverified; in a thread. RecordUnavailable: read one by one."""
        return self._reader.stretch(segment, start, length)

    async def sections(
        self,
        rows: Sequence[Row],
        path: Sequence[int] = (),
        text: SectionText = SectionText.WHOLE,
        names: Collection[bytes] = (),
    ) -> list[bytes | Failure | None]:
        """Return one section of many messages with one thread's hop; BATCH_BYTES is the caller's limit."""
        extents = [self.extent(row, path, text) for row in rows]
        found = await asyncio.to_thread(self._read_extents, rows, extents)
        results: list[bytes | Failure | None] = []
        for row, extent, first in zip(rows, extents, found, strict=True):
            result: bytes | Failure | None = first
            if isinstance(first, RecordUnavailable):
                result = await self._section_again(row, extent)
            results.append(_picked(result, text, names) if isinstance(result, bytes) else result)
        return results

    def _read_extents(
        self, rows: Sequence[Row], extents: Sequence[Extent | None]
    ) -> list[bytes | RecordUnavailable | None]:
        results: list[bytes | RecordUnavailable | None] = [None] * len(rows)
        wanted = [(index, extent) for index, extent in enumerate(extents) if extent is not None]
        prefixes = [rows[index][PREFIX] for index, _ in wanted]
        spans = [
            Span(reference_of(rows[index]), max(extent.start - len(prefix), 0), _beyond(extent, len(prefix)))
            for (index, extent), prefix in zip(wanted, prefixes, strict=True)
        ]
        for (index, extent), prefix, found in zip(wanted, prefixes, self._reader.pread_many(spans), strict=True):
            before = prefix[extent.start : extent.start + extent.length]
            results[index] = before + found if before and isinstance(found, bytes) else found
        return results

    async def _section_again(self, row: Row, extent: Extent | None) -> bytes | Failure:
        assert extent is not None
        try:
            return await self.pread(row, extent.start, extent.length)
        except (RecordUnavailable, MessageGone) as again:
            return again

    async def _attempt(self, row: Row, read: Callable[[Reference], bytes]) -> bytes:
        try:
            return await asyncio.to_thread(read, reference_of(row))
        except RecordUnavailable:
            return await asyncio.to_thread(read, await self._reload(row))

    async def _again(self, row: Row, failure: RecordUnavailable, read: Callable[[Reference], bytes]) -> bytes | Failure:
        try:
            reference = await self._reload(row, failure)
            return bytes(row[PREFIX]) + await asyncio.to_thread(read, reference)
        except (RecordUnavailable, MessageGone) as again:
            return again

    async def _reload(self, row: Row, failure: RecordUnavailable | None = None) -> Reference:
        """Return where the record lies now; MessageGone if no row refers to it any more."""
        reference = await self._database.read(find_reference, row[BLOB_ID])
        if reference is None:
            raise MessageGone("The message was expunged") from failure
        return reference


# for thousands of rows, without a call of Python's for each
_make_reference: Callable[[tuple[Any, ...]], Reference] = partial(tuple.__new__, Reference)
_fields, _prefix = itemgetter(REFERENCE), itemgetter(PREFIX)


def _references(rows: Sequence[Row]) -> list[Reference]:
    return list(map(_make_reference, map(_fields, rows)))


def _prefixed(rows: Sequence[Row], found: Sequence[Any]) -> list[Any]:
    """Return what was read of rows with what their recipients have before it."""
    prefixes = list(map(_prefix, rows))
    if not any(prefixes):
        return list(found)
    if not _failed(found):
        return list(map(bytes.__add__, prefixes, found))
    return [
        result if isinstance(result, RecordUnavailable) else prefix + result
        for prefix, result in zip(prefixes, found, strict=True)
    ]


def _failed(found: Sequence[object]) -> list[tuple[int, RecordUnavailable]]:
    """Return the places of what couldn't be read, and why."""
    if set(map(type, found)) <= {bytes, memoryview}:
        return []
    return [(place, result) for place, result in enumerate(found) if isinstance(result, RecordUnavailable)]


def reference_of(row: Row) -> Reference:
    """Return where a row's record lies in the journal, as far as the row knows."""
    return Reference(*row[REFERENCE])


def find_reference(blob_id: int) -> Work[Reference | None]:
    """Return where a blob's record lies; None if there is no such blob."""
    rows = yield sql.blob_reference(blob_id=blob_id)
    return Reference(*rows[0]) if rows else None


def _beyond(extent: Extent, prefix: int) -> int:
    """Return how many octets of an extent lie beyond a prefix of this length."""
    return max(extent.start + extent.length - max(extent.start, prefix), 0)


def _pread(reader: Reader, prefix: bytes, reference: Reference, start: int, length: int) -> bytes:
    end = start + length
    if end <= len(prefix):
        return prefix[start:end]
    from_record = max(start - len(prefix), 0)
    found = reader.pread(reference, from_record, end - len(prefix) - from_record)
    return prefix[start:] + found if start < len(prefix) else found


def _picked(found: bytes, text: SectionText, names: Collection[bytes]) -> bytes:
    if text in (SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT):
        return select_fields(found, names, without=text is SectionText.HEADER_FIELDS_NOT)
    return found
