"""The journal's reading end: messages by reference, whole segments in order."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

from zlib_ng.zlib_ng import crc32

from shared.journal.descriptors import Descriptors, OpenFile
from shared.journal.errors import RecordUnavailable
from shared.journal.record import (
    HEADER_LENGTH,
    BadRecord,
    Draft,
    Header,
    RecordKind,
    check_body,
    large_name,
    parse_envelope,
    parse_header,
    plain_messages,
    to_draft,
)
from shared.journal.reference import Reference, large_path, nonce_of, open_path, sealed_path
from shared.journal.scan import Corruption, ScannedRecord, TornTail, scan
from shared.message.envelope import Envelope

__all__ = ["Corruption", "Reader", "RecordUnavailable", "ScannedRecord", "TornTail"]

B = TypeVar("B", bytes, memoryview)

COALESCE_GAP = 64 * 1024  # bytes between two records that are cheaper read than skipped
COALESCE_SIZE = 512 * 1024  # bytes of one coalesced read: what fits into a core's cache is verified and cut up there


class Span(NamedTuple):
    """Octets of a message."""

    ref: Reference
    start: int
    length: int

    @property
    def place(self) -> int:
        """Where it starts in the segment, if it is there."""
        return self.ref.body + self.start


class Reader:
    """Reads records; synchronous and thread-safe, so it belongs into threads of an asyncio process.

    Sealed segments and large files stay open in a bounded cache; an `.open` segment is opened, read and
    closed each time, since another host may write it. Every failure is RecordUnavailable (451 4.3.0).
    """

    def __init__(self, root: Path, *, descriptors: Descriptors | None = None) -> None:
        self._root = root
        self._descriptors = Descriptors() if descriptors is None else descriptors

    def close(self) -> None:
        """Close the cached files."""
        self._descriptors.close()

    def expire(self) -> None:
        """Close cached files that were opened long ago, so that removed ones free their space."""
        self._descriptors.expire()

    def read(self, ref: Reference) -> bytes:
        """Return the whole message, CRCs verified."""
        return self._verified(ref)[2]

    def record(self, ref: Reference) -> tuple[Envelope, bytes]:
        """Return the envelope and the whole message, CRCs verified."""
        return _with_envelope(ref, *self._verified(ref))

    def draft(self, ref: Reference) -> Draft:
        """Return a record to be written again elsewhere, its envelope byte by byte, all but a large file verified."""
        record = self._record_bytes(ref)
        try:
            header = _header(ref, record)
            check_body(header, record)
            parse_envelope(header, record)
            return to_draft(header, record)
        except BadRecord as error:
            raise _unavailable(ref, str(error)) from error

    def envelope(self, ref: Reference) -> Envelope:
        """Return the envelope without reading the message; header and envelope are verified."""
        data = self._segment_bytes(ref.segment, ref.offset, ref.body - ref.offset)
        try:
            return parse_envelope(_header(ref, data), data)
        except BadRecord as error:
            raise _unavailable(ref, str(error)) from error

    def pread(self, ref: Reference, start: int, length: int) -> bytes:
        """Return up to `length` bytes of the message from `start` on, fewer only at its end.

        What doesn't read the whole isn't verified by a CRC.
        """
        start, end = max(start, 0), min(start + length, ref.size)
        pieces: list[bytes] = []
        if start < min(end, ref.inline):
            inline_end = min(end, ref.inline)
            pieces.append(self._segment_bytes(ref.segment, ref.body + start, inline_end - start))
        if end > max(start, ref.inline):
            begin = max(start - ref.inline, 0)
            pieces.append(self._large_bytes(ref, begin, end - ref.inline - begin))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def pread_many(self, spans: Sequence[Span]) -> list[bytes | RecordUnavailable]:
        """Return octets of messages in the order of `spans`, neighbours read at once; each as `pread` has it.

        All of what lies between neighbours is in memory for a moment, at most COALESCE_SIZE.
        """
        results: list[bytes | RecordUnavailable] = [b""] * len(spans)
        for run in _span_runs(spans):
            for index, result in self._spans(spans, run):
                results[index] = result
        return results

    def read_many(self, refs: Sequence[Reference]) -> list[bytes | RecordUnavailable]:
        """Return the messages in the order of `refs`, neighbours read at once, each verified or its failure.

        All of them are in memory at once: the caller bounds the batch.
        """
        return self._read_runs(refs, bytes)

    def view_many(self, refs: Sequence[Reference]) -> list[bytes | memoryview | RecordUnavailable]:
        """Return messages as `read_many` does, most of them as views: what was read stays as long as any of them."""
        return self._read_runs(refs, memoryview)

    def cut(self, data: bytes, start: int, refs: Sequence[Reference]) -> list[bytes | RecordUnavailable]:
        """Return messages as `read_many` has them, of records that lie in what `stretch` gave from `start` on."""
        found = plain_messages(data, start, refs)
        return [self._alone(ref) if message is None else message for ref, message in zip(refs, found, strict=True)]

    def record_many(self, refs: Sequence[Reference]) -> list[tuple[Envelope, bytes] | RecordUnavailable]:
        """Return envelopes and messages as `read_many` returns messages."""
        results: dict[int, tuple[Envelope, bytes] | RecordUnavailable] = {}
        for run in _runs(refs):
            results.update(self._records(refs, run))
        return [results[index] for index in range(len(refs))]

    def stretch(self, segment: str, start: int, length: int) -> bytes:
        """Return octets of a segment as they are, nothing verified: to find out which records are worth reading."""
        return self._segment_bytes(segment, start, length)

    def scan(self, segment: str, length: int | None = None) -> Iterator[ScannedRecord | Corruption | TornTail]:
        """Yield a segment's records and damage, up to `length` bytes or the file's end.

        RecordUnavailable when the file is missing or fails.
        """
        try:
            with self._segment(segment) as file:
                size = os.fstat(file.descriptor).st_size
                yield from scan(segment, file.descriptor, size if length is None else min(size, length))
        except OSError as error:
            raise RecordUnavailable(f"segment {segment}: {error.strerror}") from error

    def _verified(self, ref: Reference) -> tuple[Header, bytes, bytes]:
        return self._checked(ref, self._record_bytes(ref))

    def _checked(self, ref: Reference, record: bytes) -> tuple[Header, bytes, bytes]:
        try:
            header = _header(ref, record)
            check_body(header, record)
            if large_name(header, record) != ref.large:
                raise BadRecord("large file's name")
        except BadRecord as error:
            raise _unavailable(ref, str(error)) from error
        message = record[header.body : header.body + header.inline_length]
        if ref.large:
            message += self._whole_large(ref, header)
        return header, record, message

    def _whole_large(self, ref: Reference, header: Header) -> bytes:
        data = self._large_bytes(ref, 0, header.large_size)
        if crc32(data) != header.large_crc:
            raise _unavailable(ref, "CRC of the large file")
        return data

    def _read_runs(self, refs: Sequence[Reference], hold: Callable[[bytes], B]) -> list[bytes | B | RecordUnavailable]:
        results: list[bytes | B | RecordUnavailable] = [b""] * len(refs)
        for run in _runs(refs):
            for index, message in zip(run, self._messages(refs, run, hold), strict=True):
                results[index] = self._alone(refs[index]) if message is None else message
        return results

    def _messages(
        self, refs: Sequence[Reference], run: Sequence[int], hold: Callable[[bytes], B]
    ) -> Iterable[B | None]:
        """Return the messages of neighbours, None for one that takes a closer look."""
        try:
            start, data = self._run_bytes(refs, run)
        except RecordUnavailable:
            return [None] * len(run)  # one by one, so that each gets its own failure or its bytes
        return plain_messages(hold(data), start, [refs[index] for index in run])

    def _alone(self, ref: Reference) -> bytes | RecordUnavailable:
        try:
            return self.read(ref)
        except RecordUnavailable as failure:
            return failure

    def _records(
        self, refs: Sequence[Reference], run: Sequence[int]
    ) -> Iterator[tuple[int, tuple[Envelope, bytes] | RecordUnavailable]]:
        try:
            start, data = self._run_bytes(refs, run)
        except RecordUnavailable:
            start, data = 0, b""
        for index in run:
            ref = refs[index]
            try:
                at = ref.offset - start
                record = data[at : at + ref.length] if data else self._record_bytes(ref)
                yield index, _with_envelope(ref, *self._checked(ref, record))
            except RecordUnavailable as failure:
                yield index, failure

    def _run_bytes(self, refs: Sequence[Reference], run: Sequence[int]) -> tuple[int, bytes]:
        """Return where neighbours begin, and the octets of them all."""
        segment, start = refs[run[0]][:2]
        end = max([refs[index].offset + refs[index].length for index in run])
        return start, self._segment_bytes(segment, start, end - start)

    def _record_bytes(self, ref: Reference) -> bytes:
        return self._segment_bytes(ref.segment, ref.offset, ref.length)

    def _spans(self, spans: Sequence[Span], run: list[int]) -> Iterator[tuple[int, bytes | RecordUnavailable]]:
        start = spans[run[0]].place
        end = max(spans[index].place + spans[index].length for index in run)
        try:
            data = self._segment_bytes(spans[run[0]].ref.segment, start, end - start) if len(run) > 1 else b""
        except RecordUnavailable:
            data = b""  # one by one, so that each gets its own failure or its bytes
        for index in run:
            span = spans[index]
            begin = span.place - start
            try:
                yield index, (data[begin : begin + span.length] if data else self.pread(*span))
            except RecordUnavailable as failure:
                yield index, failure

    def _segment_bytes(self, segment: str, offset: int, length: int) -> bytes:
        for attempt in range(2):
            try:
                with self._segment(segment) as file:
                    data = os.pread(file.descriptor, length, offset)
                break
            except OSError as error:
                self._descriptors.forget(sealed_path(self._root, segment))
                if attempt or error.errno != errno.ESTALE:
                    raise _unreadable(segment, offset, error.strerror or "unreadable") from error
        if len(data) != length:
            raise _unreadable(segment, offset, f"{len(data)} of {length} bytes")
        return data

    def _large_bytes(self, ref: Reference, offset: int, length: int) -> bytes:
        path = large_path(self._root, ref.large)
        for attempt in range(2):
            try:
                data = os.pread(self._descriptors.open(path).descriptor, length, offset)
                break
            except OSError as error:
                self._descriptors.forget(path)
                if attempt or error.errno != errno.ESTALE:
                    raise _unavailable(ref, f"large file: {error.strerror}") from error
        if len(data) != length:
            raise _unavailable(ref, f"large file: {len(data)} of {length} bytes at {offset}")
        return data

    @contextmanager
    def _segment(self, segment: str) -> Iterator[OpenFile]:
        """Have the segment's file open: the sealed one, or the one being written, for this read only."""
        sealed = sealed_path(self._root, segment)
        try:
            file = self._descriptors.open(sealed)
        except FileNotFoundError:
            try:
                file = OpenFile(open_path(self._root, segment), 0.0)
            except FileNotFoundError:
                file = self._descriptors.open(sealed)  # sealed between the two looks, or gone
        yield file


def _with_envelope(ref: Reference, header: Header, record: bytes, message: bytes) -> tuple[Envelope, bytes]:
    try:
        return parse_envelope(header, record), message
    except BadRecord as error:
        raise _unavailable(ref, str(error)) from error


def _header(ref: Reference, data: bytes) -> Header:
    header = parse_header(data[:HEADER_LENGTH], nonce_of(ref.segment))
    agrees = (header.length, header.body, header.inline_length, header.inline_length + header.large_size)
    if header.kind is not RecordKind.ENTRY or agrees != (
        ref.length,
        ref.body - ref.offset,
        ref.inline,
        ref.size,
    ):
        raise BadRecord("not the record that the reference names")
    return header


def _runs(refs: Sequence[Reference]) -> Iterator[list[int]]:
    """Yield the indexes of records of one segment that are worth one read."""
    run: list[int] = []
    segment, begin, end = "", 0, 0
    for index in sorted(range(len(refs)), key=refs.__getitem__):
        its, offset, length, *_ = refs[index]
        after = offset + length
        if run and not (offset - end <= COALESCE_GAP and after - begin <= COALESCE_SIZE and its == segment):
            yield run
            run = []
        if not run:
            segment, begin = its, offset
        run.append(index)
        end = after
    if run:
        yield run


def _span_runs(spans: Sequence[Span]) -> Iterator[list[int]]:
    """Yield the indexes of spans of one segment that are worth one read; what isn't all in a segment alone."""
    run: list[int] = []
    segment, begin, end = "", 0, 0
    for index in sorted(range(len(spans)), key=lambda index: (spans[index].ref.segment, spans[index].place)):
        span = spans[index]
        place, stop = span.place, span.place + span.length
        inside = span.start >= 0 and span.start + span.length <= span.ref.inline
        near = inside and span.ref.segment == segment and place - end <= COALESCE_GAP
        if run and not (near and stop - begin <= COALESCE_SIZE):
            yield run
            run = []
        if not run:
            segment, begin, end = (span.ref.segment if inside else ""), place, place
        run.append(index)
        end = max(end, stop)
    if run:
        yield run


def _unavailable(ref: Reference, reason: str) -> RecordUnavailable:
    return _unreadable(ref.segment, ref.offset, reason)


def _unreadable(segment: str, offset: int, reason: str) -> RecordUnavailable:
    return RecordUnavailable(f"record {segment}:{offset}: {reason}")
