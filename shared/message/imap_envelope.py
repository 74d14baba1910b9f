"""IMAP's ENVELOPE of a message as bytes ready to be sent (RFC 3501 §7.4.2), and IMAP strings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shared.message.addresslist import parse_addresses

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.message.header import Headers

MAX_STRING_BYTES = 32 * 1024
"""Bytes of one string that ENVELOPE and BODYSTRUCTURE show; the whole is in the header."""
MAX_QUOTED_BYTES = 1000
"""Longer strings go as literals, since clients limit their lines."""

_NEEDS_CARE = re.compile(rb"[\x00\r\n\"\\\x80-\xff]")
_NEEDS_LITERAL = re.compile(rb"[\x80-\xff]")
_FORBIDDEN = re.compile(rb"[\x00\r\n]")
_QUOTED_SPECIAL = re.compile(rb"([\"\\])")


def render_envelope(headers: Headers) -> bytes:
    """The parenthesised ENVELOPE; Sender and Reply-To are From's when missing or empty.

    Of fields that may be there once only the last one counts, as it does for Dovecot.
    """
    last = headers.last
    sender = render_addresses(headers.get_all(b"from"))
    subject = last(b"subject")
    parts = (
        render_nstring(last(b"date")),
        b"NIL" if subject is None else render_human(subject),
        sender,
        _addresses_or(headers, b"sender", sender),
        _addresses_or(headers, b"reply-to", sender),
        _addresses_or(headers, b"to", b"NIL"),
        _addresses_or(headers, b"cc", b"NIL"),
        _addresses_or(headers, b"bcc", b"NIL"),
        render_nstring(last(b"in-reply-to")),
        render_nstring(last(b"message-id")),
    )
    return b"(" + b" ".join(parts) + b")"


def render_addresses(values: Iterable[bytes]) -> bytes:
    """A parenthesised address list from unfolded field values, NIL when there is none."""
    rendered = [
        b"(%b %b %b %b)"
        % (
            b"NIL" if name is None else render_human(name),
            render_nstring(route),
            render_nstring(mailbox),
            render_nstring(host),
        )
        for value in values
        for name, route, mailbox, host, _ in parse_addresses(value, to_the_end=False)
    ]
    return b"(" + b"".join(rendered) + b")" if rendered else b"NIL"


def render_human(value: bytes) -> bytes:
    """A string for people: white space at its ends doesn't count, and inside it is one space."""
    return render_string(b" ".join(value.split()))


def render_nstring(value: bytes | None) -> bytes:
    """NIL or a string."""
    return b"NIL" if value is None else render_string(value)


def render_string(value: bytes) -> bytes:
    """A quoted string, or a literal where RFC 3501 §9 wants one: 8-bit text or very long."""
    if len(value) <= MAX_QUOTED_BYTES and not _NEEDS_CARE.search(value):
        return b'"' + value + b'"'
    value = _FORBIDDEN.sub(b" ", value[:MAX_STRING_BYTES])
    if len(value) > MAX_QUOTED_BYTES or _NEEDS_LITERAL.search(value):
        return b"{%d}\r\n%b" % (len(value), value)
    return b'"' + _QUOTED_SPECIAL.sub(rb"\\\1", value) + b'"'


def _addresses_or(headers: Headers, name: bytes, default: bytes) -> bytes:
    if name not in headers:
        return default
    rendered = render_addresses(headers.get_all(name))
    return default if rendered == b"NIL" else rendered
