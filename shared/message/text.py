"""The text of a message for people and for SEARCH: transfer encodings and charsets undone."""

from __future__ import annotations

import re
from binascii import a2b_qp
from typing import TYPE_CHECKING, TypeGuard

from shared.message.charset import decode_text
from shared.message.collation import casemap
from shared.message.header import MAX_HEADER_BYTES, decode_base64, decode_words
from shared.message.octets import cut
from shared.message.structure import parse_structure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.message.octets import Octets
    from shared.message.structure import Part

MAX_TEXT_BYTES = 16 * 1024 * 1024
"""Octets of one text part that are searched."""
MAX_RAW_SEARCH_BYTES = 1024 * 1024
"""Larger messages are mostly attachments: parsing pays."""

_FOLD = re.compile(rb"\r?\n(?=[ \t])")
# What a message without any of these says, it says in plain octets.
_ENCODED_WORD = b"=?"
_OPAQUE = (b"base64", b"utf-16", b"utf-7", b"utf-32", b"\x1b", b"~{")
_ENCODED = (b"quoted-printable", _ENCODED_WORD, *_OPAQUE)


def contains_text(data: Octets, needle: str, *, headers: bool = True) -> bool:
    """Whether a message has this text, in any case (RFC 5051): SEARCH TEXT, or SEARCH BODY with headers=False."""
    found = _contains_plainly(data, needle) if headers else None
    if found is not None:
        return found
    wanted = casemap(needle)
    return any(needle in text or wanted in casemap(text) for text in searchable_text(data, headers=headers))


def searchable_text(data: Octets, *, headers: bool = True) -> Iterator[str]:
    """The decoded headers (unless headers=False) and decoded text parts of a message, piece by piece.

    The headers of its parts and of messages within count as body (RFC 3501 §6.4.4).
    """
    root = parse_structure(data)
    for part in root.walk():
        if headers or part is not root:
            end = min(part.header_end, part.header_start + MAX_HEADER_BYTES)
            yield header_text(cut(data, part.header_start, end))
        if part.media.type == b"text":
            yield part_text(data, part)


def header_text(header: bytes) -> str:
    """A whole header for people: each field on one line, encoded words decoded."""
    return decode_words(_FOLD.sub(b"", header), MAX_HEADER_BYTES)


def printable(text: str) -> str:
    """What others wrote, for a terminal or PostgreSQL: control characters are neither obeyed nor stored."""
    return "".join(character if character.isprintable() else "?" for character in text)


def part_text(data: Octets, part: Part, limit: int = MAX_TEXT_BYTES) -> str:
    """The text of a leaf, from at most `limit` octets of its body."""
    raw = cut(data, part.body_start, min(part.body_end, part.body_start + limit))
    return decode_text(decode_body(raw, part.encoding), part.charset)


def decode_body(raw: bytes, encoding: bytes) -> bytes:
    """A body without its Content-Transfer-Encoding (lower case); as it is when the encoding is unknown."""
    match encoding:
        case b"base64":
            return decode_base64(raw)
        case b"quoted-printable":
            return a2b_qp(raw)
        case _:
            return raw


def is_plain(data: Octets) -> TypeGuard[bytes]:
    """Whether a message is searched as it stands for ASCII, whatever its parts are."""
    return isinstance(data, bytes) and len(data) <= MAX_RAW_SEARCH_BYTES and not _has_marks(data.lower())


def _has_marks(lowered: bytes) -> bool:
    return any(mark in lowered for mark in _ENCODED)


def _contains_plainly(data: Octets, needle: str) -> bool | None:
    """The answer from the octets as they stand, or None when these don't tell."""
    if not needle.isascii() or not isinstance(data, bytes) or len(data) > MAX_RAW_SEARCH_BYTES:
        return None
    needle, lowered = needle.lower(), data.lower()
    if _has_marks(lowered):
        return True if _is_quoted_plainly(lowered, needle.encode()) else None
    if needle.encode() in lowered:
        return True
    if not data.isascii():
        return None  # letters may have accents
    words = needle.split()
    if not all(word.encode() in lowered for word in words):
        return False
    return None if words != [needle] else False  # its words are there: perhaps a line is folded between them


def _is_quoted_plainly(lowered: bytes, needle: bytes) -> bool:
    """Whether a body, of which at most quoted-printable was made, has a text that is the same in it."""
    body = lowered.find(b"\n\r\n")
    if body < 0 or b"=" in needle or lowered.find(needle, body) < 0:
        return False
    return lowered.find(_ENCODED_WORD, body) < 0 and not any(mark in lowered for mark in _OPAQUE)
