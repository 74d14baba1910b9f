"""What we write into a message's header: trace fields (RFC 5321 §4.4) and what submission adds (RFC 6409 §8)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from shared.message.date import format_date
from shared.message.header import find_header_end, iterate_fields

if TYPE_CHECKING:
    from datetime import datetime, timedelta

MAX_WORD = 255
"""Octets of a host name, HELO argument or the like that go into a trace field."""
MAX_PATH = 512
"""Octets of an address that go into a trace field."""
LINE_LENGTH = 78
"""Trace fields are folded to lines of about this many characters (RFC 5322 §2.1.1)."""

_BLIND = (b"bcc", b"resent-bcc")
# What a peer told us goes into a field only as letters, digits and what host names and literals need.
_UNSAFE_WORD = re.compile(r"[^A-Za-z0-9._:\[\]+=/~-]")
_UNSAFE_UTF8_WORD = re.compile(r"[^A-Za-z0-9._:\[\]+=/~\u00a1-\ud7ff\ue000-\U0010ffff-]")
_UNSAFE_PATH = re.compile(r"[\x00-\x1f\x7f<>\ud800-\udfff]")
_COMMENT_SPECIAL = re.compile(r"[^\x20-\x27\x2a-\x5b\x5d-\x7e]")


def complete_headers(data: bytes, *, message_id: str, date: datetime) -> bytes:
    """The message with Date and Message-ID put in front if missing, and without Bcc and Resent-Bcc.

    Every other octet stays. `data` may be the beginning of a message if it has the whole header;
    `message_id` comes with its angle brackets.
    """
    end = find_header_end(data)
    names, blind = set[bytes](), list[tuple[int, int]]()
    for field in iterate_fields(data, 0, end):
        name = field.name.lower()
        names.add(name)
        if name in _BLIND:
            blind.append((field.start, field.end))
    added = b""
    if b"date" not in names:
        added += b"Date: %b\r\n" % format_date(date).encode()
    if b"message-id" not in names:
        added += b"Message-ID: %b\r\n" % message_id.encode()
    if not names and not data.startswith((b"\r\n", b"\n")):
        added += b"\r\n"  # all of it is body
    return added + _without(data, blind) if added or blind else data


def received_header(
    *,
    helo: str,
    ip: str,
    by: str,
    protocol: str,
    entry_id: str,
    date: datetime,
    name: str = "",
    recipients: tuple[str, ...] = (),
    tls: str = "",
) -> bytes:
    """A Received field (RFC 5321 §4.4), sanitised and folded, with its line end.

    `name` is the client's verified host name, `protocol` comes from `protocol_name`, `tls` (version and
    cipher) is shown in a comment. The recipient is named only when there is just one, so that none
    learns of another.
    """
    opening = _opening(helo, ip, by, protocol, name, tls)
    words = [f"id {entry_id if entry_id.isalnum() and entry_id.isascii() else _word(entry_id)}"]
    if len(recipients) == 1:
        words.append(f"for <{_path(recipients[0], utf8=protocol.startswith('UTF8'))}>")
    words[-1] += ";"
    words.append(_date_text(date, date.utcoffset()))
    return _fold(opening, words).encode("utf-8", "replace") + b"\r\n"


@lru_cache(maxsize=1024)  # the same clients again and again
def _opening(helo: str, ip: str, by: str, protocol: str, name: str, tls: str) -> str:
    """Return what one client's Received fields begin with, folded."""
    utf8 = protocol.startswith("UTF8")
    words = [
        f"({_word(name, utf8=utf8)} {_ip_literal(ip)})" if name else f"({_ip_literal(ip)})",
        f"by {_word(by, utf8=utf8)}",
        f"with {_word(protocol)}",
    ]
    if tls:
        words.append(f"({_COMMENT_SPECIAL.sub('?', _clip(tls, MAX_WORD))})")
    return _fold(f"Received: from {_word(helo, utf8=utf8)}", words)


@lru_cache(maxsize=4)
def _date_text(moment: datetime, _zone: timedelta | None) -> str:
    # the zone is a part of the key: moments are equal in all zones
    return format_date(moment)


def protocol_name(
    *, extended: bool = True, tls: bool = False, authenticated: bool = False, utf8: bool = False, lmtp: bool = False
) -> str:
    """The "with" protocol of a Received field (RFC 3848, RFC 6531 §4.3): SMTP, ESMTPSA, UTF8SMTPS, …"""
    if not extended and not lmtp:
        return "SMTP"
    if lmtp:
        base = "UTF8LMTP" if utf8 else "LMTP"
    else:
        base = "UTF8SMTP" if utf8 else "ESMTP"
    return base + ("S" if tls else "") + ("A" if authenticated else "")


def return_path_header(sender: str) -> bytes:
    """A Return-Path field (RFC 5321 §4.4) with its line end; "" is the null reverse-path."""
    return f"Return-Path: <{_path(sender, utf8=True)}>\r\n".encode("utf-8", "replace")


def delivered_to_header(recipient: str) -> bytes:
    """A Delivered-To field (RFC 9228) with its line end."""
    return f"Delivered-To: {_path(recipient, utf8=True)}\r\n".encode("utf-8", "replace")


def _without(data: bytes, ranges: list[tuple[int, int]]) -> bytes:
    kept, at = list[bytes](), 0
    for start, end in ranges:
        kept.append(data[at:start])
        at = end
    kept.append(data[at:])
    return b"".join(kept)


@lru_cache(maxsize=1024)  # our own name, the same clients again and again
def _word(text: str, *, utf8: bool = False) -> str:
    unsafe = _UNSAFE_UTF8_WORD if utf8 else _UNSAFE_WORD
    return unsafe.sub("?", _clip(text, MAX_WORD)) or "unknown"


@lru_cache(maxsize=1024)
def _path(address: str, *, utf8: bool) -> str:
    address = _UNSAFE_PATH.sub("?", _clip(address, MAX_PATH))
    return address if utf8 else address.encode("ascii", "replace").decode()


def _clip(text: str, octets: int) -> str:
    return text.encode("utf-8", "replace")[:octets].decode("utf-8", "ignore")


def _ip_literal(ip: str) -> str:
    """An address literal (RFC 5321 §4.1.3)."""
    ip = _word(ip).strip("[]")
    return f"[IPv6:{ip}]" if ":" in ip else f"[{ip}]"


def _fold(text: str, words: list[str]) -> str:
    """Text with words behind it, on lines of about LINE_LENGTH characters, continuation lines with a tab."""
    room = LINE_LENGTH - (len(text) - text.rfind("\n") - 1)
    for word in words:
        if len(word) < room:
            text += f" {word}"
            room -= len(word) + 1
        else:
            text += f"\r\n\t{word}"
            room = LINE_LENGTH - len(word) - 1
    return text
