"""Delivery status notifications: what we tell a sender about a message (RFC 3461, 3464, 6522; 6533 for UTF-8)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.message.date import format_date
from shared.message.header import find_header_end

if TYPE_CHECKING:
    from datetime import datetime

MAX_RETURNED_BYTES = 100 * 1024
"""Octets up to which a message is returned whole; of a larger one the header comes back."""
MAX_RETURNED_HEADER_BYTES = 64 * 1024
"""Octets of header that are returned; cut at a line's end."""
MAX_REPLY = 1000
"""Characters of a server's reply that are quoted."""
MAX_VALUE = 500
"""Characters of any other value."""
LINE_LENGTH = 78
"""Lines are broken at about this many characters where they can be."""
MAX_WORD = 200
"""Longer words are broken, so that no line exceeds 998 octets in UTF-8 (RFC 5322 §2.1.1)."""

_UNSAFE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]+")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_WORD_BREAK = re.compile(r"(?<=\S) (?=\S)")


class DsnKind(StrEnum):
    """What a notification reports; one about several kinds is sent as several."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"


@dataclass(frozen=True, slots=True)
class DsnRecipient:
    """One recipient's fate: a group of per-recipient fields (RFC 3464 §2.3).

    `orcpt` is RCPT's ORCPT parameter as it came, "rfc822;alice+40example.org"; `status` an enhanced status
    (RFC 3463); `remote_mta` a host name; `diagnostic` the remote's reply, or our own reason when
    `diagnostic_is_smtp` is false.
    """

    final: str
    status: str
    orcpt: str = ""
    remote_mta: str = ""
    diagnostic: str = ""
    diagnostic_is_smtp: bool = True
    last_attempt: datetime | None = None
    will_retry_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class DsnReport:
    """A notification to be built; `boundary` is given, so that equal input gives equal octets.

    `original` is the message as accepted (or its header alone); it is returned whole only when `ret` is FULL, the
    report is of a failure and the size within MAX_RETURNED_BYTES (RFC 3461 §6.2). `smtputf8` says that the
    original came with SMTPUTF8: only then does the notification use UTF-8 where plain mail may not (RFC 6533).
    """

    kind: DsnKind
    sender: str
    recipients: tuple[DsnRecipient, ...]
    reporting_mta: str
    date: datetime
    arrival: datetime
    message_id: str
    boundary: str
    original: bytes
    entry_id: str = ""
    envid: str = ""
    ret: str = ""
    smtputf8: bool = False


def build_dsn(report: DsnReport) -> bytes:
    """The whole notification, CRLF throughout, to be sent from the null reverse-path to report.sender.

    ValueError when that is null: a notification is never answered by another (RFC 5321 §6.1).
    """
    if not report.sender:
        raise ValueError("a message from the null reverse-path is never reported on")
    utf8 = _needs_utf8(report)
    delimiter = f"--{report.boundary}\r\n".encode()
    text = _explanation(report)
    parts = [
        _part("text/plain; charset=utf-8", "Notification", _encoding_of(text), text),
        _part(
            "message/global-delivery-status" if utf8 else "message/delivery-status",
            "Delivery report",
            "8bit" if utf8 else "7bit",
            _status_fields(report, utf8=utf8),
        ),
        _returned(report, utf8=utf8),
    ]
    head = _message_header(report, eight_bit=any(not part.isascii() for part in parts))
    body = b"".join(delimiter + part for part in parts)
    return head + body + f"--{report.boundary}--\r\n".encode()


_SUBJECTS = {
    DsnKind.FAILED: "Undelivered mail returned to sender",
    DsnKind.DELAYED: "Delayed mail (still being retried)",
    DsnKind.DELIVERED: "Your mail was delivered",
    DsnKind.RELAYED: "Your mail was relayed",
    DsnKind.EXPANDED: "Your mail was passed on to a list",
}

_FIRST_WORDS = {
    DsnKind.FAILED: (
        "Your message could not be delivered to the recipients below.",
        "It will not be tried again. If you know another way to reach them, please use it.",
    ),
    DsnKind.DELAYED: (
        "Your message has not yet been delivered to the recipients below.",
        "There is nothing that you need to do: delivery will be tried again.",
    ),
    DsnKind.DELIVERED: ("Your message has been delivered to the recipients below.",),
    DsnKind.RELAYED: (
        "Your message was passed on for the recipients below to a server that sends no",
        "confirmations. You may not hear of it again.",
    ),
    DsnKind.EXPANDED: (
        "Your message was passed on to all members behind the addresses below.",
        "No confirmation comes from each of them.",
    ),
}


def _message_header(report: DsnReport, *, eight_bit: bool) -> bytes:
    host = _value(report.reporting_mta)
    lines = [
        f"From: Mail Delivery System <MAILER-DAEMON@{host}>",
        f"To: <{_value(report.sender)}>",
        f"Subject: {_SUBJECTS[report.kind]}",
        f"Date: {format_date(report.date)}",
        f"Message-ID: {_value(report.message_id)}",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="{report.boundary}"',
    ]
    if eight_bit:
        lines.append("Content-Transfer-Encoding: 8bit")
    return _lines([*lines, "", "This is a delivery status notification in MIME format.", ""])


def _explanation(report: DsnReport) -> bytes:
    lines = [f"This is the mail system at {_value(report.reporting_mta)}.", "", *_FIRST_WORDS[report.kind], ""]
    for recipient in report.recipients:
        lines += _recipient_lines(report, recipient)
    lines.append(f"Your message was accepted on {format_date(report.arrival)}.")
    if report.entry_id:
        lines.append(f"When you ask for help, please name the message's id here: {_value(report.entry_id)}")
    return _lines(lines)


def _recipient_lines(report: DsnReport, recipient: DsnRecipient) -> list[str]:
    lines = [f"  <{_value(recipient.final)}>"]
    original = _original_address(recipient.orcpt)
    if original and original.lower() != recipient.final.lower():
        lines.append(f"    (you wrote to <{original}>)")
    if recipient.diagnostic:
        where = f"{_value(recipient.remote_mta)} said: " if recipient.remote_mta else ""
        reason = _value(recipient.diagnostic, MAX_REPLY)
        lines += _wrap(where + reason, "    ")
    if report.kind is DsnKind.DELAYED and recipient.will_retry_until:
        lines.append(f"    It will be tried until {format_date(recipient.will_retry_until)}.")
    return [*lines, ""]


def _status_fields(report: DsnReport, *, utf8: bool) -> bytes:
    """Per-message fields, then a group for each recipient (RFC 3464 §2.1)."""
    lines = []
    if report.envid:
        lines.append(f"Original-Envelope-Id: {_ascii(_decode_xtext(report.envid))}")
    lines += [
        f"Reporting-MTA: dns; {_ascii(report.reporting_mta)}",
        f"Arrival-Date: {format_date(report.arrival)}",
    ]
    for recipient in report.recipients:
        lines += ["", *_recipient_fields(report, recipient, utf8=utf8)]
    return _lines(lines)


def _recipient_fields(report: DsnReport, recipient: DsnRecipient, *, utf8: bool) -> list[str]:
    fields = []
    if recipient.orcpt:
        fields.append(f"Original-Recipient: {_typed_original(recipient.orcpt, utf8=utf8)}")
    fields += [
        f"Final-Recipient: {_typed_address(_value(recipient.final), utf8=utf8)}",
        f"Action: {report.kind}",
        f"Status: {_ascii(recipient.status)}",
    ]
    if recipient.remote_mta:
        fields.append(f"Remote-MTA: dns; {_ascii(recipient.remote_mta)}")
    if recipient.diagnostic:
        kind = "smtp" if recipient.diagnostic_is_smtp else "x-packetboat"
        reply = _value(recipient.diagnostic, MAX_REPLY)
        text = reply if utf8 else _ascii(reply)
        fields.append("\r\n".join(_wrap(f"Diagnostic-Code: {kind}; {text}", "", "\t")))
    if recipient.last_attempt:
        fields.append(f"Last-Attempt-Date: {format_date(recipient.last_attempt)}")
    if recipient.will_retry_until and report.kind is DsnKind.DELAYED:
        fields.append(f"Will-Retry-Until: {format_date(recipient.will_retry_until)}")
    return fields


def _returned(report: DsnReport, *, utf8: bool) -> bytes:
    """The message or its header; UTF-8 in headers needs the types of RFC 6533 §4."""
    original = report.original
    end = find_header_end(original)
    whole = report.ret.upper() == "FULL" and report.kind is DsnKind.FAILED and len(original) <= MAX_RETURNED_BYTES
    global_header = report.smtputf8 and (utf8 or not original[:end].isascii())
    if whole:
        content = original if original.endswith(b"\r\n") else original + b"\r\n"
        media = "message/global" if global_header else "message/rfc822"
        return _part(media, "Undelivered message", _encoding_of(content), content)
    content = _cut_header(original[:end])
    media = "message/global-headers" if global_header else "text/rfc822-headers"
    return _part(media, "Header of the message", _encoding_of(content), content)


def _cut_header(header: bytes) -> bytes:
    if len(header) > MAX_RETURNED_HEADER_BYTES:
        header = header[: header.rfind(b"\n", 0, MAX_RETURNED_HEADER_BYTES) + 1]
    return header if header.endswith(b"\r\n") else header + b"\r\n"


def _part(media: str, description: str, encoding: str, content: bytes) -> bytes:
    head = [f"Content-Type: {media}", f"Content-Description: {description}"]
    if encoding != "7bit":
        head.append(f"Content-Transfer-Encoding: {encoding}")
    return _lines([*head, ""]) + content + b"\r\n"


def _needs_utf8(report: DsnReport) -> bool:
    """Whether the report is to be in UTF-8: its receiver can take it and it isn't all ASCII (RFC 6533 §3)."""
    texts = [text for r in report.recipients for text in (r.final, r.orcpt, r.diagnostic)]
    return report.smtputf8 and not all(text.isascii() for text in texts)


def _typed_address(address: str, *, utf8: bool) -> str:
    """An address with its type; where only ASCII may go, in RFC 6533 §3's form, \\x{FC} for ü."""
    if address.isascii():
        return f"rfc822; {address}"
    return f"utf-8; {address if utf8 else _escape(address)}"


def _escape(address: str) -> str:
    return "".join(c if c.isascii() else f"\\x{{{ord(c):X}}}" for c in address)


def _typed_original(orcpt: str, *, utf8: bool) -> str:
    """ORCPT's address type and its address with the xtext undone (RFC 3461 §4.2)."""
    kind, separator, _ = orcpt.partition(";")
    address = _original_address(orcpt)
    if not separator or not kind.strip():
        return _typed_address(address, utf8=utf8)
    return f"{_ascii(kind.strip())}; {address if utf8 else _escape(address)}"


def _original_address(orcpt: str) -> str:
    _, separator, encoded = orcpt.partition(";")
    return _value(_decode_xtext(encoded if separator else orcpt))


def _decode_xtext(text: str) -> str:
    return _XTEXT.sub(lambda match: chr(int(match[1], 16)), text)


def _encoding_of(content: bytes) -> str:
    return "7bit" if content.isascii() else "8bit"


def _value(text: str, limit: int = MAX_VALUE) -> str:
    """Text from elsewhere on one line, without control characters."""
    return _UNSAFE.sub(" ", text[:limit]).strip()


def _ascii(text: str) -> str:
    return _value(text).encode("ascii", "replace").decode()


def _wrap(text: str, indent: str, more: str | None = None) -> list[str]:
    """Lines of about LINE_LENGTH characters, broken at single spaces."""
    lines = [indent]
    more = indent if more is None else more
    for number, word in enumerate(_words(text)):
        if number and len(lines[-1]) + 1 + len(word) > LINE_LENGTH:
            lines.append(more + word)
        else:
            lines[-1] += (" " if number else "") + word
    return lines


def _words(text: str) -> list[str]:
    return [word[at : at + MAX_WORD] for word in _WORD_BREAK.split(text) for at in range(0, len(word), MAX_WORD)]


def _lines(lines: list[str]) -> bytes:
    return "".join(line + "\r\n" for line in lines).encode("utf-8", "replace")
