"""Responses about mailboxes: quotas (RFC 9208), rights (RFC 4314) and annotations (RFC 5464).

Mailbox names come as `response.mailbox` gives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shared.imap.acl import show_rights
from shared.imap.response import CRLF, NIL, astring, literal, string

UNIT = 1024  # octets in which STORAGE is counted (RFC 9208 §5.1)
USEATTR = b"USEATTR"  # RFC 6154 §3


def quota(root: str, resources: Mapping[bytes, tuple[int, int]]) -> bytes:
    """Return the QUOTA response: use and limit of what is limited."""
    triplets = [b"%s %d %d" % (name, used, limit) for name, (used, limit) in resources.items()]
    return b"* QUOTA %s (%s)\r\n" % (_text(root), b" ".join(triplets))


def quota_root(mailbox: bytes, *roots: str) -> bytes:
    """Return the QUOTAROOT response."""
    return b" ".join((b"* QUOTAROOT", mailbox, *map(_text, roots))) + CRLF


def acl(mailbox: bytes, entries: Iterable[tuple[str, str]]) -> bytes:
    """Return the ACL response."""
    parts = [_text(identifier) + b" " + show_rights(rights) for identifier, rights in entries]
    return b" ".join((b"* ACL", mailbox, *parts)) + CRLF


def my_rights(mailbox: bytes, rights: str) -> bytes:
    """Return the MYRIGHTS response."""
    return b"* MYRIGHTS %s %s\r\n" % (mailbox, show_rights(rights))


def list_rights(mailbox: bytes, identifier: str, mandatory: str, optional: Iterable[str]) -> bytes:
    """Return the LISTRIGHTS response: rights that are always granted, and groups that may be."""
    required = mandatory.encode("ascii") or b'""'
    groups = [group.encode("ascii") for group in optional]
    return b" ".join((b"* LISTRIGHTS", mailbox, _text(identifier), required, *groups)) + CRLF


def metadata(mailbox: bytes, values: Mapping[str, bytes | None]) -> bytes:
    """Return the METADATA response with values, NIL for entries that there aren't."""
    pairs = [entry.encode("ascii") + b" " + _value(value) for entry, value in values.items()]
    return b"* METADATA %s (%s)\r\n" % (mailbox, b" ".join(pairs))


def metadata_changed(mailbox: bytes, entries: Iterable[str]) -> bytes:
    """Return the unsolicited METADATA response: which entries changed (RFC 5464 §4.4.2)."""
    return b" ".join((b"* METADATA", mailbox, *(entry.encode("ascii") for entry in entries))) + CRLF


def code_long_entries(size: int) -> bytes:
    """Return the code that tells the size of the largest value that was left out."""
    return b"METADATA LONGENTRIES %d" % size


def _value(value: bytes | None) -> bytes:
    if value is None:
        return NIL
    return b"~" + literal(value) if b"\0" in value else string(value)


def _text(text: str) -> bytes:
    octets = text.encode("utf-8")
    return astring(octets) if octets else b'""'
