"""The messages that scripts have us write: answers (RFC 5230 §5) and notifications (RFC 5436 §2.7)."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from shared.message.date import format_date
from shared.message.header import find_header_end
from shared.sieve.addresses import address_field
from shared.sieve.headertext import header_field, one_line
from shared.sieve.revision import split_header

if TYPE_CHECKING:
    from datetime import datetime

    from shared.sieve.actions import Notify, Vacation

MAX_LINE = 998
"""Octets of a line that may be sent as it is (RFC 5322 §2.1.1)."""
BASE64_LINE = 76

_PRIORITY = {1: ("1 (Highest)", "High"), 2: ("3 (Normal)", "Normal"), 3: ("5 (Lowest)", "Low")}


def compose_vacation(action: Vacation, *, message_id: str, date: datetime) -> bytes:
    """The answer that vacation sends, to be sent from `<>`; `message_id` comes with its angle brackets."""
    fields = [
        address_field("From", action.from_ or action.recipient),
        address_field("To", action.sender),
        header_field("Subject", action.subject),
        header_field("Date", format_date(date)),
        header_field("Message-ID", message_id),
        header_field("Auto-Submitted", "auto-replied (vacation)"),
    ]
    if action.in_reply_to:
        fields.append(header_field("In-Reply-To", action.in_reply_to))
        fields.append(header_field("References", action.references))
    fields.append(b"MIME-Version: 1.0\r\n")
    return b"".join(fields) + (_entity(action.reason) if action.mime else text_entity(action.reason))


def compose_notification(action: Notify, *, owner: str, message_id: str, date: datetime) -> bytes:
    """The mail that notify sends for the account `owner`, to be sent from `<>` (RFC 5436 §2.2)."""
    priority, importance = _PRIORITY[action.importance]
    mailto = action.mailto
    fields = [
        address_field("From", action.from_ or owner),
        header_field("To", ", ".join(mailto.to)) if mailto.to else b"",
        header_field("Cc", ", ".join(mailto.cc)) if mailto.cc else b"",
        header_field("Subject", mailto.subject or one_line(action.message)),
        header_field("Date", format_date(date)),
        header_field("Message-ID", message_id),
        header_field("Auto-Submitted", f'auto-notified; owner-email="{_quoted(owner)}"'),
        header_field("X-Priority", priority),
        header_field("Importance", importance),
        *[header_field(name, value) for name, value in mailto.headers],
        b"MIME-Version: 1.0\r\n",
    ]
    return b"".join(fields) + text_entity(mailto.body or action.message)


def text_entity(text: str) -> bytes:
    """MIME fields, empty line and body of plain text: as it is where it may be, else in base64."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    body = "\r\n".join(lines).encode("utf-8", "replace")
    if not body.endswith(b"\r\n"):
        body += b"\r\n"
    if body.isascii() and b"\0" not in body and max(map(len, lines)) <= MAX_LINE:
        return b"Content-Type: text/plain; charset=us-ascii\r\n\r\n" + body
    encoded = b64encode(body)
    cut = [encoded[at : at + BASE64_LINE] for at in range(0, len(encoded), BASE64_LINE)]
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head + b"\r\n".join(cut) + b"\r\n"


def _entity(text: str) -> bytes:
    """A MIME entity as the script has it, of whose fields only those of MIME are taken (RFC 5230 §4.7)."""
    data = text.encode("utf-8", "replace")
    end = find_header_end(data)
    fields = [line.raw for line in split_header(data[:end]) if line.name.lower().startswith(b"content-")]
    return b"".join(fields) + b"\r\n" + data[end:]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
