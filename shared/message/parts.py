"""Where the parts of a message lie, in a compact form that is stored and read without reparsing."""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.message.structure import Part

# One record a part, parents before children: header start, body start, body end, records in this
# subtree (its own included), kind.
_RECORD = Struct("<QQQIB")
_VERSION = b"\x01"


class PartKind(IntEnum):
    """What the children of a part are."""

    LEAF = 0
    MULTIPART = 1
    MESSAGE = 2


class PartRange(NamedTuple):
    """Where a part lies, in octets from the message's start; the header's empty line belongs to the header."""

    header_start: int
    header_end: int
    body_start: int
    body_end: int


class PartNode(NamedTuple):
    """A part and its children, as stored."""

    range: PartRange
    kind: PartKind
    children: tuple[PartNode, ...]


class _Record(NamedTuple):
    header_start: int
    body_start: int
    body_end: int
    records: int
    kind: int


def encode_parts(root: Part) -> bytes:
    """The stored form of a structure: 29 octets a part."""
    if not root.children:
        return _VERSION + _RECORD.pack(root.header_start, root.body_start, root.body_end, 1, PartKind.LEAF)
    records = list[bytes]()
    _encode(root, records)
    return _VERSION + b"".join(records)


def decode_parts(parts: bytes) -> PartNode:
    """The tree of parts from its stored form; ValueError when it isn't one."""
    _check(parts)
    return _decode(parts, 0)


def section(parts: bytes, path: Sequence[int]) -> PartRange | None:
    """Where the part that IMAP numbers so lies, the message itself for (); None when there is none such."""
    index = part_index(parts, path)
    return None if index is None else part_range(parts, index)


def part_index(parts: bytes, path: Sequence[int]) -> int | None:
    """The index of a part's record by its number (RFC 3501 §6.4.5), or None when there is none such."""
    _check(parts)
    index: int | None = 0
    as_message = True
    for number in path:
        if index is None:
            break
        index = _child(parts, index, number, as_message)
        as_message = False
    return index


def nested_message(parts: bytes, index: int) -> int | None:
    """The index of the message inside a message/rfc822 part, or None when the part is no such."""
    return index + 1 if _record(parts, index).kind == PartKind.MESSAGE else None


def part_range(parts: bytes, index: int) -> PartRange:
    """Where the part with this index lies."""
    record = _record(parts, index)
    return PartRange(record.header_start, record.body_start, record.body_start, record.body_end)


def _child(parts: bytes, index: int, number: int, as_message: bool) -> int | None:
    """A message that is no multipart has one part, itself; a nested message's parts count as its part's."""
    record = _record(parts, index)
    if record.kind == PartKind.MULTIPART:
        return _nth_child(parts, index, record, number)
    if as_message:
        return index if number == 1 else None
    if record.kind == PartKind.MESSAGE:
        return _child(parts, index + 1, number, True)
    return None


def _nth_child(parts: bytes, index: int, record: _Record, number: int) -> int | None:
    child, end = index + 1, index + record.records
    while child < end and number > 1:
        child += _record(parts, child).records
        number -= 1
    return child if child < end and number == 1 else None


def _record(parts: bytes, index: int) -> _Record:
    record = _Record._make(_RECORD.unpack_from(parts, 1 + index * _RECORD.size))
    if record.records < 1:
        raise ValueError("stored part offsets are damaged")
    return record


def _check(parts: bytes) -> None:
    if parts[:1] != _VERSION or len(parts) <= 1 or (len(parts) - 1) % _RECORD.size:
        raise ValueError("stored part offsets are of no known version")


def _encode(part: Part, records: list[bytes]) -> int:
    """Append the records of a part and all below it; return how many."""
    own = len(records)
    records.append(b"")
    count = 1
    for child in part.children:
        count += _encode(child, records)
    kind = PartKind.LEAF
    if part.children:
        kind = PartKind.MULTIPART if part.is_multipart else PartKind.MESSAGE
    records[own] = _RECORD.pack(part.header_start, part.body_start, part.body_end, count, kind)
    return count


def _decode(parts: bytes, index: int) -> PartNode:
    record = _record(parts, index)
    children = list[PartNode]()
    child, end = index + 1, index + record.records
    while child < end:
        children.append(_decode(parts, child))
        child += _record(parts, child).records
    return PartNode(part_range(parts, index), PartKind(record.kind), tuple(children))
