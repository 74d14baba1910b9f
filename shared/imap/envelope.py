"""Reading back a rendered ENVELOPE: what SORT compares (RFC 3501 §7.4.2, RFC 5256 §3)."""

from __future__ import annotations

import re
from typing import TypeAlias

EnvelopeAddress: TypeAlias = "tuple[bytes | None, ...]"
"""Name, route, mailbox and host, None for NIL."""

FROM, TO, CC = 2, 5, 6  # places in the ENVELOPE
_DATE_AND_SUBJECT = 2

# NIL, a quoted string, or a literal's announcement
_STRING = re.compile(rb'NIL|"((?:[^"\\]|\\.)*)"|\{([0-9]+)\}\r\n')
_PLAIN_LIST = re.compile(rb'(?:NIL|\((?:\((?:(?:NIL|"[^"\\]*") ?){4}\))+\))')
_ESCAPED = re.compile(rb"\\(.)")


def first_addresses(envelope: bytes) -> dict[int, EnvelopeAddress | None]:
    """Return the first address of From, To and Cc, None for a field that has none."""
    found: dict[int, EnvelopeAddress | None] = {}
    at = 1
    for _ in range(_DATE_AND_SUBJECT):
        at = _string(envelope, at)[1] + 1
    for field in range(_DATE_AND_SUBJECT, CC + 1):
        wanted = field in (FROM, TO, CC)
        address, at = _addresses(envelope, at, wanted)
        if wanted:
            found[field] = address
        at += 1
    return found


def _addresses(data: bytes, at: int, wanted: bool) -> tuple[EnvelopeAddress | None, int]:
    """Return the first address of a list, and where the list ends."""
    plain = _PLAIN_LIST.match(data, at)
    if plain is not None and not wanted:
        return None, plain.end()
    if data.startswith(b"NIL", at):
        return None, at + 3
    first: EnvelopeAddress | None = None
    at += 1
    while data.startswith(b"(", at):
        address, at = _address(data, at)
        if first is None:
            first = address
            if plain is not None:
                return first, plain.end()
    return first, at + 1


def _address(data: bytes, at: int) -> tuple[EnvelopeAddress, int]:
    strings: list[bytes | None] = []
    for _ in range(4):
        string, at = _string(data, at + 1)
        strings.append(string)
    return tuple(strings), at + 1


def _string(data: bytes, at: int) -> tuple[bytes | None, int]:
    found = _STRING.match(data, at)
    if found is None:
        raise ValueError("not an ENVELOPE")
    if found[2] is not None:
        end = found.end() + int(found[2])
        return data[found.end() : end], end
    if found[1] is None:
        return None, found.end()
    return _ESCAPED.sub(rb"\1", found[1]) if b"\\" in found[1] else found[1], found.end()
