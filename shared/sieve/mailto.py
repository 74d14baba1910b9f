"""mailto: URIs: whom to write to and what (RFC 6068)."""

from __future__ import annotations

import re
from urllib.parse import unquote

from shared.errors import PacketboatError
from shared.sieve.actions import Mailto
from shared.sieve.addresses import mail_address
from shared.sieve.headertext import is_field_name, one_line

MAX_URI = 8192
"""Characters of a URI."""
MAX_RECIPIENTS = 8
"""Addresses that one notification goes to."""
MAX_FIELDS = 32
"""Header fields that a URI may ask for."""

# What a URI may not set: who it is from, what we write ourselves, and trace (RFC 5436 §2.7, RFC 6068 §5)
_RESERVED = frozenset(
    [
        "from",
        "sender",
        "return-path",
        "received",
        "auto-submitted",
        "date",
        "message-id",
        "resent-from",
        "resent-to",
        "resent-date",
        "resent-sender",
        "resent-cc",
        "resent-bcc",
        "resent-message-id",
        "delivered-to",
        "content-type",
        "content-transfer-encoding",
        "content-disposition",
        "mime-version",
        "dkim-signature",
        "list-id",
    ]
)
_URI = re.compile(r"mailto:([^?#]*)(?:\?([^#]*))?\Z", re.IGNORECASE)
_CHARACTERS = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*\Z")


class MailtoError(PacketboatError):
    """A URI that isn't a mailto: URI, or asks for too much."""


def parse_mailto(uri: str) -> Mailto:
    """What a mailto: URI means; MailtoError says what is wrong with it."""
    match = _URI.match(uri)
    if match is None:
        raise MailtoError(f'"{uri[:60]}" is not a mailto: URI, and no other method is there')
    if len(uri) > MAX_URI or not _CHARACTERS.match(uri[7:]):
        raise MailtoError(f'"{uri[:60]}" has characters that must be written as %XX, or is too long')
    to = _addresses(match[1], encoded=True)
    cc, bcc, subject, body = list[str](), list[str](), "", ""
    headers = list[tuple[str, str]]()
    for field in match[2].split("&") if match[2] else ():
        name, equals, value = field.partition("=")
        name, value = unquote(name), unquote(value)
        if not equals or not is_field_name(name):
            raise MailtoError(f'"{field[:60]}" in a mailto: URI is not a field and its value')
        match name.lower():
            case "to":
                to += _addresses(value)
            case "cc":
                cc += _addresses(value)
            case "bcc":
                bcc += _addresses(value)
            case "subject":
                subject = one_line(value)
            case "body":
                body = value
            case other if other not in _RESERVED and len(headers) < MAX_FIELDS:
                headers.append((name, one_line(value)))
    if not to and not cc and not bcc:
        raise MailtoError("a mailto: URI names nobody to write to")
    if len(to) + len(cc) + len(bcc) > MAX_RECIPIENTS:
        raise MailtoError(f"a mailto: URI names more than {MAX_RECIPIENTS} addresses")
    return Mailto(tuple(to), tuple(cc), tuple(bcc), subject, body, tuple(headers))


def _addresses(text: str, *, encoded: bool = False) -> list[str]:
    found = list[str]()
    for item in text.split(",") if text else ():
        written = unquote(item) if encoded else item
        address = mail_address(written)
        # RFC 2368 §2 has %2C between two addresses, RFC 6068 §2 within a quoted local part
        several = [address] if address else [mail_address(one) for one in written.split(",")]
        if not all(several):
            raise MailtoError(f'"{item[:60]}" in a mailto: URI is not a mail address')
        found += map(str, several)
    return found
