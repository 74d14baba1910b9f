"""IMAP URLs of messages and of sections of them, relative to a session: what CATENATE takes (RFC 5092, RFC 4469).

/Drafts;UIDVALIDITY=385759045/;UID=20/;SECTION=1.MIME      ;UID=20/;SECTION=HEADER      /Drafts/;UID=20/;PARTIAL=0.100
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from shared.imap.fetch import BodySection, Partial, parse_section
from shared.imap.grammar import Scanner, SyntaxFailure
from shared.imap.limits import MAX_NUMBER, MAX_URL
from shared.imap.mailbox_name import canonical

_URL = re.compile(
    rb"(?:/((?!/)[^;]+?)(?:;UIDVALIDITY=([1-9][0-9]{0,9}))?/)?;UID=([1-9][0-9]{0,9})"
    rb"(?:/;SECTION=([^;]+))?(?:/;PARTIAL=([0-9]{1,10})(?:\.([1-9][0-9]{0,9}))?)?",
    re.IGNORECASE,
)


class BadUrl(ValueError):
    """It isn't the URL of a message, or not one of this session's: answer NO [BADURL …]."""


@dataclass(frozen=True, slots=True)
class MessageUrl:
    """Octets of a stored message; `mailbox` is None for the selected one."""

    mailbox: str | None
    uidvalidity: int | None
    uid: int
    section: BodySection


def parse_url(text: bytes) -> MessageUrl:
    """Parse a relative URL of a message; raises BadUrl."""
    found = _URL.fullmatch(text) if len(text) <= MAX_URL else None
    if found is None:
        raise BadUrl("not the relative URL of a message")
    mailbox, uidvalidity, uid, section, start, length = found.groups()
    if int(uid) > MAX_NUMBER:
        raise BadUrl("no such UID")
    parsed = _section(section or b"")
    if start is not None:
        parsed = BodySection(
            b"", parsed.path, parsed.text, parsed.fields, Partial(int(start), int(length or MAX_NUMBER))
        )
    name = None if mailbox is None else _mailbox(mailbox)
    return MessageUrl(name, int(uidvalidity) if uidvalidity else None, int(uid), parsed)


def _mailbox(encoded: bytes) -> str:
    try:
        return canonical(unquote_to_bytes(encoded).decode())
    except UnicodeDecodeError:
        raise BadUrl("its mailbox isn't UTF-8") from None


def _section(encoded: bytes) -> BodySection:
    scanner = Scanner(b"[" + unquote_to_bytes(encoded) + b"]")
    try:
        section = parse_section(scanner, peek=True)
        scanner.end()
    except SyntaxFailure:
        raise BadUrl("its section makes no sense") from None
    if section.partial is not None:
        raise BadUrl("its section makes no sense")
    return section
