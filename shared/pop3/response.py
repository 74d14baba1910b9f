"""Responses as octets (RFC 1939 §3, RFC 2449 §8 and RFC 3206 for the codes)."""

from __future__ import annotations

import re
from collections.abc import Iterable

CRLF = b"\r\n"
END = b".\r\n"
MAX_RESPONSE_LINE = 512  # octets with CRLF, RFC 2449 §4

# Response codes, without their brackets
AUTH = b"AUTH"
IN_USE = b"IN-USE"
LOGIN_DELAY = b"LOGIN-DELAY"
SYS_TEMP = b"SYS/TEMP"

_UNSAFE_TEXT = re.compile(rb"[^\x20-\x7e]")


def ok(text: bytes = b"") -> bytes:
    """Return a positive response's line."""
    return _line(b"+OK", text, None)


def err(text: bytes, code: bytes | None = None) -> bytes:
    """Return a negative response."""
    return _line(b"-ERR", text, code)


def challenge(base64: bytes) -> bytes:
    """Return a SASL challenge (RFC 5034 §4)."""
    return b"+ " + base64 + CRLF


def stat(count: int, size: int) -> bytes:
    """Return the response to STAT."""
    return b"+OK %d %d\r\n" % (count, size)


def scan(number: int, size: int) -> bytes:
    """Return the response to LIST with a number."""
    return b"+OK %d %d\r\n" % (number, size)


def scan_listing(messages: Iterable[tuple[int, int]]) -> bytes:
    """Return the response to LIST for (number, size in octets)."""
    return b"".join([b"+OK\r\n", *[b"%d %d\r\n" % message for message in messages], END])


def unique_id(uidvalidity: int, uid: int) -> bytes:
    """Return a message's id for UIDL: 1 to 70 printable characters, never given again (RFC 1939 §7)."""
    return b"%08x%08x" % (uidvalidity, uid)


def uid(number: int, identifier: bytes) -> bytes:
    """Return the response to UIDL with a number."""
    return b"+OK %d %s\r\n" % (number, identifier)


def uid_listing(messages: Iterable[tuple[int, bytes]]) -> bytes:
    """Return the response to UIDL for (number, id)."""
    return b"".join([b"+OK\r\n", *[b"%d %s\r\n" % message for message in messages], END])


def capabilities(names: Iterable[bytes]) -> bytes:
    """Return the response to CAPA (RFC 2449 §5)."""
    return b"".join([b"+OK Capabilities\r\n", *[name + CRLF for name in names], END])


def mechanisms(names: Iterable[bytes]) -> bytes:
    """Return the response to an AUTH without a mechanism."""
    return b"".join([b"+OK\r\n", *[name + CRLF for name in names], END])


def languages(known: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the response to LANG for (tag, name in its own language) (RFC 6856 §4)."""
    return b"".join([b"+OK Languages\r\n", *[tag + b" " + name + CRLF for tag, name in known], END])


def _line(status: bytes, text: bytes, code: bytes | None) -> bytes:
    words = [status] + ([b"[" + code + b"]"] if code else []) + ([text] if text else [])
    return _UNSAFE_TEXT.sub(b"?", b" ".join(words))[: MAX_RESPONSE_LINE - 2] + CRLF
