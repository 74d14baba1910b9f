"""Where a message's bytes lie in the journal: what the queue, the ledger and the mailboxes keep of it."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from shared.ids import ALPHABET

# "<yyyy-mm-dd>/<writer>-<nonce as 26 characters>-<n>"; the nonce is the one in every record's header
_SEGMENT = re.compile(r"\d{4}-\d\d-\d\d/[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}-([0-7][0-9A-HJKMNP-TV-Z]{25})-\d{1,9}\Z")
_LARGE = re.compile(r"[0-9A-Za-z][0-9A-Za-z\-]{2,63}\Z")
_FIELDS = 7
_MAX_DIGITS = 18  # below 2**63

OPEN_SUFFIX = ".open"
SEALED_SUFFIX = ".seg"
LARGE_FOLDER = "large"
LARGE_SUFFIX = ".msg"


class Reference(NamedTuple):
    """A record's place; all numbers are bytes. References sort by their places."""

    segment: str  # "2026-11-23/mta-1-<nonce>-3": path below the journal's root, without suffix
    offset: int  # of the record in the segment
    length: int  # of the whole record
    body: int  # absolute offset in the segment of the first inline message byte
    inline: int  # message bytes in the record: trace headers, and the message unless it is large
    size: int  # message bytes in all: inline + the large file's
    large: str = ""  # name of the large file that holds the rest of the message, or ""

    def encode(self) -> str:
        """Return the compact text that Redis keeps."""
        return f"{self.segment}:{self.offset}:{self.length}:{self.body}:{self.inline}:{self.size}:{self.large}"

    @classmethod
    def decode(cls, text: str) -> Reference:
        """Read `encode`'s text; ValueError if it is none."""
        fields = text.split(":", _FIELDS)
        segment, numbers, large = fields[0], fields[1:-1], fields[-1]
        if len(fields) != _FIELDS or not all(map(_is_number, numbers)):
            raise ValueError(f"not a journal reference: {text[:200]!r}")
        check_segment(segment)
        if large:
            check_large(large)
        offset, length, body, inline, size = map(int, numbers)
        if not offset <= body <= body + inline <= offset + length or size < inline:
            raise ValueError(f"not a journal reference: {text[:200]!r}")
        return cls(segment, offset, length, body, inline, size, large)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def check_segment(segment: str) -> str:
    """Return a segment's name as it is; ValueError if it could lead anywhere else on the disk."""
    if not _SEGMENT.match(segment):
        raise ValueError(f"not a segment's name: {segment[:200]!r}")
    return segment


def check_large(large: str) -> str:
    """Return a large file's name as it is; ValueError if it could lead anywhere else on the disk."""
    if not _LARGE.match(large):
        raise ValueError(f"not a large file's name: {large[:200]!r}")
    return large


@lru_cache(maxsize=1024)
def nonce_of(segment: str) -> bytes:
    """Return the 16 random bytes that every record of a segment bears."""
    match = _SEGMENT.match(segment)
    if match is None:
        raise ValueError(f"not a segment's name: {segment[:200]!r}")
    value = 0
    for character in match[1]:
        value = value << 5 | ALPHABET.index(character)
    return value.to_bytes(16, "big")


def open_path(root: Path, segment: str) -> Path:
    """Return the path of a segment that is being appended to."""
    return root / (check_segment(segment) + OPEN_SUFFIX)


def sealed_path(root: Path, segment: str) -> Path:
    """Return the path of a segment that never changes again."""
    return root / (check_segment(segment) + SEALED_SUFFIX)


def large_path(root: Path, large: str) -> Path:
    """Return the path of a large body, spread over folders by the name's random end."""
    return root / LARGE_FOLDER / check_large(large)[-2:].lower() / (large + LARGE_SUFFIX)
