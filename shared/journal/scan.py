"""Going through a segment record by record, past damage, to its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from shared.journal.record import (
    HEADER_LENGTH,
    MAGIC,
    BadRecord,
    Header,
    RecordKind,
    check_body,
    large_name,
    parse_envelope,
    parse_header,
)
from shared.journal.reference import Reference, nonce_of
from shared.message.envelope import Envelope

_WINDOW = 1024 * 1024  # bytes read at a time


@dataclass(frozen=True, slots=True)
class ScannedRecord:
    """A whole record with right CRCs."""

    reference: Reference
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Corruption:
    """A stretch of a segment that should be records and isn't: alarm, quarantine, go on."""

    segment: str
    offset: int
    length: int  # bytes until the next good header
    reason: str


@dataclass(frozen=True, slots=True)
class TornTail:
    """What a writer had not finished when it died: never acknowledged."""

    segment: str
    offset: int
    length: int  # bytes until the end of the file
    reason: str


Scanned = ScannedRecord | Corruption | TornTail


class Window:
    """A file read front to back in pieces of a megabyte, or of one record if that is longer."""

    def __init__(self, descriptor: int, size: int) -> None:
        self.size = size
        self._descriptor = descriptor
        self._start = 0
        self._data = b""

    def read(self, offset: int, length: int) -> memoryview:
        """Return up to `length` bytes at `offset`, fewer at the end of the file."""
        end = min(offset + length, self.size)
        if offset < self._start or end > self._start + len(self._data):
            self._data = os.pread(self._descriptor, max(end - offset, _WINDOW), offset)
            self._start = offset
        begin = offset - self._start
        return memoryview(self._data)[begin : begin + max(end - offset, 0)]


def scan(segment: str, descriptor: int, size: int) -> Iterator[Scanned]:
    """Yield what lies in the first `size` bytes of a segment's file.

    A bad stretch is a torn tail only if nothing good follows it and no end record says that the writer
    had acknowledged everything below. Zeros up to the end are what a writer puts ahead of its records.
    """
    window = Window(descriptor, size)
    nonce = nonce_of(segment)
    offset = 0
    while offset < size:
        try:
            header = _header(window, nonce, offset)
        except BadRecord as error:
            if _is_blank(window, offset):
                return
            following = _next_header(window, nonce, offset + 1)
            yield _damage(segment, offset, following, size, str(error))
            if following is None:
                return
            offset = following
            continue
        if header.kind is RecordKind.END:
            return
        yield _record(window, header, segment, offset)
        offset += header.length


def _header(window: Window, nonce: bytes, offset: int) -> Header:
    """Return the header of a record that fits into the file."""
    header = parse_header(window.read(offset, HEADER_LENGTH), nonce)
    if offset + header.length > window.size:
        raise BadRecord("cut off within the record")
    return header


def _record(window: Window, header: Header, segment: str, offset: int) -> ScannedRecord | Corruption:
    record = window.read(offset, header.length)
    try:
        check_body(header, record)
        envelope = parse_envelope(header, record)
        return ScannedRecord(header.reference(segment, offset, large_name(header, record)), envelope)
    except BadRecord as error:
        return Corruption(segment, offset, header.length, str(error))


def _damage(segment: str, offset: int, following: int | None, size: int, reason: str) -> Corruption | TornTail:
    if following is None:
        return TornTail(segment, offset, size - offset, reason)
    return Corruption(segment, offset, following - offset, reason)


def _is_blank(window: Window, offset: int) -> bool:
    """Say whether nothing but zeros follows."""
    while data := bytes(window.read(offset, _WINDOW)):
        if data.count(0) != len(data):
            return False
        offset += len(data)
    return True


def _next_header(window: Window, nonce: bytes, offset: int) -> int | None:
    """Return where the next good header of this segment starts, at or behind `offset`."""
    mark = MAGIC + nonce
    while offset < window.size:
        data = bytes(window.read(offset, _WINDOW))
        if not data:
            return None  # shorter than when its size was asked: sealed meanwhile, without the zeros ahead
        found = data.find(mark)
        if found < 0:
            offset += max(len(data) - len(mark) + 1, 1)
            continue
        try:
            _header(window, nonce, offset + found)
            return offset + found
        except BadRecord:
            offset += found + 1
    return None
