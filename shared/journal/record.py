"""The journal's record: how one message with its envelope lies in a segment.

Format, version 1; integers are unsigned and big-endian, lengths are bytes:

    header, 56 bytes
        magic             4   "PBJR"
        nonce            16   the segment's random 128 bits, also in its file name: bytes inside a mail that
                              look like a record never have the nonce of the segment that the mail is in
        version           1   1
        kind              1   1 = entry, 2 = end: the last record of a segment sealed by its writer
        key id            2   0; reserved for encryption
        envelope length   4
        inline length     4   message bytes in this record
        large size        8   message bytes in the large file, 0 without one
        large CRC         4   CRC-32 of the large file, 0 without one
        envelope CRC      4   CRC-32 of the envelope
        name length       1   of the large file's name, 0 without one
        padding           3   0
        header CRC        4   CRC-32 of the 52 bytes before
    envelope                  JSON, see shared.message.envelope
    large file's name         ASCII
    message bytes             trace headers, then the message unless it is large
    body CRC              4   CRC-32 of the large file's name and the message bytes

An end record has no envelope, name or message. The message that a record holds is its inline bytes followed
by the large file's bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from zlib_ng.zlib_ng import crc32

from shared.journal.reference import Reference, check_large, nonce_of
from shared.message.envelope import Envelope

B = TypeVar("B", bytes, memoryview)

MAGIC = b"PBJR"
VERSION = 1
MAX_ENVELOPE = 32 * 1024 * 1024  # bytes: MAX_RECIPIENTS with long addresses and DSN fields
MAX_INLINE = 32 * 1024 * 1024  # bytes; a body over LARGE_THRESHOLD belongs into a large file
LARGE_THRESHOLD = 256 * 1024  # bytes of message from which on it is streamed to its own file
MAX_PARTS = 64  # buffers of one body that are written as they are; more are joined first

_FIELDS = struct.Struct(">4s16sBBHIIQIIB3x")
_CRC = struct.Struct(">I")
_HEADER = struct.Struct(_FIELDS.format + "I")
_BEGINNING = struct.calcsize(">4s16sBBH")  # what is the same in all entries of a segment
_ENTRY_HEADER = struct.Struct(f">{_BEGINNING}sIIQ8xB3xI")  # a header for who compares its beginning as a whole
HEADER_LENGTH = _HEADER.size
TRAILER_LENGTH = _CRC.size


class RecordKind(IntEnum):
    """What a record is for."""

    ENTRY = 1
    END = 2


class BadRecord(Exception):
    """Bytes that are not the record they should be; the message says why."""


@dataclass(frozen=True, slots=True)
class LargeFile:
    """A body that was streamed to its own file, durable before a record names it."""

    name: str
    size: int  # bytes
    crc: int  # CRC-32 of the whole file


@dataclass(frozen=True, slots=True)
class Header:
    """The fixed part of a record; lengths are bytes."""

    nonce: bytes
    kind: RecordKind
    envelope_length: int
    inline_length: int
    large_size: int
    large_crc: int
    envelope_crc: int
    name_length: int

    @property
    def body(self) -> int:
        """Offset in the record of the first inline message byte."""
        return HEADER_LENGTH + self.envelope_length + self.name_length

    @property
    def length(self) -> int:
        """Of the whole record."""
        return self.body + self.inline_length + TRAILER_LENGTH

    def reference(self, segment: str, offset: int, large: str) -> Reference:
        """Return the reference to this record."""
        inline = self.inline_length
        return Reference(segment, offset, self.length, offset + self.body, inline, inline + self.large_size, large)


class Draft:
    """A record that doesn't know its segment yet: everything but the nonce is computed."""

    __slots__ = ("envelope", "envelope_crc", "inline", "large", "length", "name", "parts", "trailer")

    def __init__(self, envelope: bytes, body: bytes | Sequence[bytes], large: LargeFile | None) -> None:
        """Take the envelope's JSON and the inline bytes; ValueError when a limit is passed."""
        self.envelope = envelope
        self.parts = _parts(body)
        self.large = large
        self.name = check_large(large.name).encode() if large else b""
        self.inline = sum(map(len, self.parts))
        if len(envelope) > MAX_ENVELOPE or self.inline > MAX_INLINE:
            raise ValueError(
                f"a record of {len(envelope)} + {self.inline} bytes is over {MAX_ENVELOPE} or {MAX_INLINE}"
            )
        self.envelope_crc = crc32(envelope)
        self.trailer = _CRC.pack(body_crc(self.name, self.parts))
        self.length = HEADER_LENGTH + len(envelope) + len(self.name) + self.inline + TRAILER_LENGTH

    def buffers(self, nonce: bytes) -> list[bytes]:
        """Return the record's bytes for a segment, in pieces to be written in order."""
        size, crc = (self.large.size, self.large.crc) if self.large else (0, 0)
        head = encode_header(
            Header(
                nonce,
                RecordKind.ENTRY,
                len(self.envelope),
                self.inline,
                size,
                crc,
                self.envelope_crc,
                len(self.name),
            )
        )
        return [head + self.envelope + self.name, *self.parts, self.trailer]

    def reference(self, segment: str, offset: int) -> Reference:
        """Return the reference to this record once it is written."""
        body = offset + self.length - TRAILER_LENGTH - self.inline
        large, size = (self.large.name, self.large.size) if self.large else ("", 0)
        return Reference(segment, offset, self.length, body, self.inline, self.inline + size, large)


def end_record(nonce: bytes) -> bytes:
    """Return the record that tells that nothing acknowledged lies behind it."""
    return encode_header(Header(nonce, RecordKind.END, 0, 0, 0, 0, 0, 0)) + _CRC.pack(0)


def encode_header(header: Header) -> bytes:
    """Return the 56 bytes of a header."""
    fields = _FIELDS.pack(
        MAGIC,
        header.nonce,
        VERSION,
        header.kind,
        0,
        header.envelope_length,
        header.inline_length,
        header.large_size,
        header.large_crc,
        header.envelope_crc,
        header.name_length,
    )
    return fields + _CRC.pack(crc32(fields))


def parse_header(data: bytes | memoryview, nonce: bytes) -> Header:
    """Read a header out of the first 56 bytes; BadRecord unless it is whole and the segment's own."""
    if len(data) < HEADER_LENGTH:
        raise BadRecord("cut off within the header")
    fields = data[: _FIELDS.size]
    if _CRC.unpack_from(data, _FIELDS.size)[0] != crc32(fields):
        raise BadRecord("CRC of the header")
    magic, found, version, kind, key, envelope, inline, size, large_crc, crc, name = _FIELDS.unpack(fields)
    if magic != MAGIC or found != nonce:
        raise BadRecord("magic or nonce of another segment")
    if version != VERSION or key or kind not in _KINDS:
        raise BadRecord(f"version {version}, kind {kind}, key {key} are unknown")
    if envelope > MAX_ENVELOPE or inline > MAX_INLINE or (size and not name):
        raise BadRecord("lengths out of range")
    return Header(nonce, _KINDS[kind], envelope, inline, size, large_crc, crc, name)


def check_body(header: Header, record: bytes | memoryview) -> None:
    """Verify the CRC of the large file's name and the message bytes; BadRecord if it differs."""
    if len(record) < header.length:
        raise BadRecord("cut off within the body")
    view = memoryview(record)[header.body - header.name_length : header.length]
    if _CRC.unpack(view[-TRAILER_LENGTH:])[0] != crc32(view[:-TRAILER_LENGTH]):
        raise BadRecord("CRC of the body")


def plain_messages(data: B, start: int, refs: Iterable[Reference]) -> Iterator[B | None]:
    """Yield the messages of records of one segment; data is what the segment has from `start` on, or a view of it.

    None for a record that isn't as its reference says and verified, or has a large file: who parses it learns what
    it is. This is the short way for many.
    """
    header_at, crc_at = _ENTRY_HEADER.unpack_from, _CRC.unpack_from
    fields_length, expected = _FIELDS.size, b""
    for segment, offset, length, body, inline, size, large in refs:
        expected = expected or _beginning(nonce_of(segment))
        at, begin = offset - start, body - start
        end = begin + inline
        if large or size != inline or body < offset + HEADER_LENGTH or end + TRAILER_LENGTH != at + length:
            yield None
            continue
        beginning, envelope, found, beyond, name, crc = header_at(data, at)
        message = data[begin:end]
        agrees = beginning == expected and envelope == begin - at - HEADER_LENGTH and found == inline
        if (
            agrees
            and not (beyond or name)
            and crc32(data[at : at + fields_length]) == crc
            and crc32(message) == crc_at(data, end)[0]
        ):
            yield message
        else:
            yield None


def _beginning(nonce: bytes) -> bytes:
    """Return what every entry's header of a segment begins with, up to the lengths."""
    return encode_header(Header(nonce, RecordKind.ENTRY, 0, 0, 0, 0, 0, 0))[:_BEGINNING]


def parse_envelope(header: Header, record: bytes | memoryview) -> Envelope:
    """Read the envelope out of a record's beginning; BadRecord if its CRC or its JSON is wrong."""
    data = bytes(memoryview(record)[HEADER_LENGTH : HEADER_LENGTH + header.envelope_length])
    if len(data) != header.envelope_length or crc32(data) != header.envelope_crc:
        raise BadRecord("CRC of the envelope")
    try:
        return Envelope.from_json(data)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadRecord(f"envelope unreadable: {error}") from error


def large_name(header: Header, record: bytes | memoryview) -> str:
    """Return the large file's name in a record whose body was checked; BadRecord if it is none."""
    name = bytes(memoryview(record)[header.body - header.name_length : header.body])
    try:
        return check_large(name.decode("ascii")) if name else ""
    except ValueError as error:
        raise BadRecord(f"large file's name: {error}") from None


def to_draft(header: Header, record: bytes) -> Draft:
    """Return what a verified record holds, to be written into another segment with the same length."""
    name = large_name(header, record)
    large = LargeFile(name, header.large_size, header.large_crc) if name else None
    envelope = record[HEADER_LENGTH : HEADER_LENGTH + header.envelope_length]
    return Draft(envelope, record[header.body : header.body + header.inline_length], large)


def body_crc(name: bytes, parts: Sequence[bytes]) -> int:
    """Return the CRC-32 that ends a record."""
    crc = crc32(name)
    for part in parts:
        crc = crc32(part, crc)
    return crc


_KINDS = {kind.value: kind for kind in RecordKind}


def _parts(body: bytes | Sequence[bytes]) -> Sequence[bytes]:
    if isinstance(body, (bytes, bytearray, memoryview)):
        return (bytes(body),) if body else ()
    if len(body) > MAX_PARTS:
        return (b"".join(body),)
    return [part for part in body if part]
