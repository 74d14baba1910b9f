"""Octets of IMAP's BODY[section] out of a stored message (RFC 3501 §6.4.5), without parsing it again."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from shared.message.header import iterate_fields
from shared.message.octets import cut
from shared.message.parts import nested_message, part_index, part_range

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from shared.message.octets import Octets


class SectionText(Enum):
    """Which octets of a part a section means; the value is its name on the wire."""

    WHOLE = b""
    HEADER = b"HEADER"
    HEADER_FIELDS = b"HEADER.FIELDS"
    HEADER_FIELDS_NOT = b"HEADER.FIELDS.NOT"
    TEXT = b"TEXT"
    MIME = b"MIME"


class Span(NamedTuple):
    """Octets of the stored message; `prefixed` says that the recipient's own prefix comes before them."""

    start: int
    length: int
    prefixed: bool = False


def locate(parts: bytes, path: Sequence[int], text: SectionText = SectionText.WHOLE) -> Span | None:
    """Where the octets of a section lie, so that only they need be read; None when there is no such section.

    For HEADER.FIELDS and HEADER.FIELDS.NOT it is the header that `select_fields` then picks from.
    """
    index = part_index(parts, path)
    if index is None:
        return None
    if path and text not in (SectionText.WHOLE, SectionText.MIME):
        index = nested_message(parts, index)
        if index is None:
            return None
    place = part_range(parts, index)
    if text is SectionText.WHOLE and not path:
        return Span(place.header_start, place.body_end - place.header_start, prefixed=True)
    if text in (SectionText.WHOLE, SectionText.TEXT):
        return Span(place.body_start, place.body_end - place.body_start)
    return Span(place.header_start, place.header_end - place.header_start, prefixed=index == 0)


def fetch_section(
    data: Octets,
    parts: bytes,
    path: Sequence[int] = (),
    text: SectionText = SectionText.WHOLE,
    names: Collection[bytes] = (),
    prefix: bytes = b"",
) -> bytes | None:
    """The octets of a section of the message prefix + data, or None (NIL) when it has no such section."""
    span = locate(parts, path, text)
    if span is None:
        return None
    found = cut(data, span.start, span.start + span.length)
    if prefix and span.prefixed:
        found = prefix + found
    if text in (SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT):
        return select_fields(found, names, without=text is SectionText.HEADER_FIELDS_NOT)
    return found


def select_fields(header: bytes, names: Collection[bytes], *, without: bool = False) -> bytes:
    """The fields of a header with (or without) these names, as they stand, and the empty line."""
    wanted = {name.lower() for name in names}
    chosen = [
        header[field.start : field.end]
        for field in iterate_fields(header)
        if (field.name.lower() in wanted) is not without
    ]
    if chosen and not chosen[-1].endswith(b"\n"):
        chosen[-1] = chosen[-1].removesuffix(b"\r") + b"\r\n"
    return b"".join(chosen) + b"\r\n"
