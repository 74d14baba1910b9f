"""Entry ids: ULIDs, 48 bits of milliseconds and 80 random bits in 26 Crockford characters."""

from __future__ import annotations

import hashlib
import os
import time

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ID_LENGTH = 26
_DECODE = {character: value for value, character in enumerate(ALPHABET)}
_PAIRS = [high + low for high in ALPHABET for low in ALPHABET]


def new_id(now_ms: int | None = None) -> str:
    """Return a fresh entry id; `now_ms` is Unix time in milliseconds."""
    milliseconds = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    return encode(milliseconds << 80 | int.from_bytes(os.urandom(10), "big"))


def child_id(parent: str, *parts: str) -> str:
    """Return the id of a message made from `parent`, the same for the same parts at each repeat.

    It bears the parent's time, so that a day's segments hold it wherever the parent's repeat runs.
    """
    digest = hashlib.blake2b("\0".join((parent, *parts)).encode(), digest_size=10).digest()
    return encode(timestamp_ms(parent) << 80 | int.from_bytes(digest, "big"))


def encode(value: int) -> str:
    """Return the 26 characters of a 128-bit value."""
    pairs = [_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)]
    return "".join(pairs)


def is_id(text: str) -> bool:
    """Say whether `text` has the form of an entry id."""
    return len(text) == ID_LENGTH and text[0] in "01234567" and all(c in _DECODE for c in text)


def timestamp_ms(entry_id: str) -> int:
    """Return the Unix time in milliseconds that an id was made at; ValueError if it is none."""
    if not is_id(entry_id):
        raise ValueError(f"not an entry id: {entry_id!r}")
    value = 0
    for character in entry_id[:10]:
        value = value << 5 | _DECODE[character]
    return value
