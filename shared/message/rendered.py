"""All that is shown of a message without its body, computed once when it is delivered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.message.date import parse_date
from shared.message.header import decode_words
from shared.message.imap_bodystructure import render_bodystructure
from shared.message.imap_envelope import render_envelope
from shared.message.parts import PartNode, PartRange, decode_parts, encode_parts, section
from shared.message.preview import make_preview
from shared.message.structure import parse_structure

if TYPE_CHECKING:
    from shared.message.header import Headers
    from shared.message.octets import Octets

__all__ = ["PartNode", "PartRange", "Rendered", "decode_parts", "render", "render_body", "section"]

MAX_REFERENCES = 50
"""Message ids that a message is remembered to refer to: the first, which started the thread, and the last."""
MAX_MESSAGE_ID = 250
"""Characters of a message id that are kept; an index has to take it."""
MAX_SUBJECT = 1000
"""Characters of the decoded subject that are kept."""
MAX_REFERENCES_BYTES = 64 * 1024
"""Bytes of References that are looked at, from its end."""

_MESSAGE_ID = re.compile(rb"<[^<>\s]++>")


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a mailbox keeps of a message: IMAP's forms of it, part offsets, and what to sort, thread and list by.

    Sizes in octets; `sent_at` in unix seconds and `sent_day` in days since 1970-01-01 by the sender's own
    calendar (what SENTSINCE compares), None without a sensible Date; `refs` are message ids joined by spaces.
    Text fields have no NUL and no lone surrogates.
    """

    envelope: bytes
    bodystructure: bytes
    body: bytes
    header_size: int
    size: int
    parts: bytes
    message_id: str
    subject: str
    sent_at: int | None
    sent_day: int | None
    preview: str
    refs: str


def render(data: Octets) -> Rendered:
    """Everything to be known about a message; never raises, whatever the bytes."""
    root = parse_structure(data)
    headers = root.headers
    forms = render_bodystructure(root)
    date = headers.get(b"date")
    sent = parse_date(date) if date else None
    subject = headers.get(b"subject")
    return Rendered(
        envelope=render_envelope(headers),
        bodystructure=forms.bodystructure,
        body=forms.body,
        header_size=root.header_end,
        size=len(data),
        parts=encode_parts(root),
        message_id=_message_id(headers),
        subject=decode_words(subject)[:MAX_SUBJECT] if subject else "",
        sent_at=sent.moment if sent else None,
        sent_day=sent.day if sent else None,
        preview=make_preview(data, root),
        refs=_references(headers),
    )


def render_body(data: Octets) -> bytes:
    """IMAP's BODY alone, for who kept only BODYSTRUCTURE."""
    return render_bodystructure(parse_structure(data)).body


def _message_id(headers: Headers) -> str:
    value = headers.get(b"message-id")
    if not value:
        return ""
    found = _MESSAGE_ID.search(value)
    return _text(found[0] if found else value.split()[0])


def _references(headers: Headers) -> str:
    """The ids in References, each once, or else the first in In-Reply-To (RFC 5256 §4 step 1)."""
    ids = list(dict.fromkeys(_ids(headers, b"references"))) or _ids(headers, b"in-reply-to")[:1]
    if len(ids) > MAX_REFERENCES:
        ids = ids[:1] + ids[1 - MAX_REFERENCES :]
    return " ".join(map(_text, ids))


def _ids(headers: Headers, name: bytes) -> list[bytes]:
    value = headers.get(name) or b""
    found = _MESSAGE_ID.findall(value[-MAX_REFERENCES_BYTES:])
    return [message_id for message_id in found if len(message_id) <= MAX_MESSAGE_ID]


def _text(value: bytes) -> str:
    return value[:MAX_MESSAGE_ID].decode("utf-8", "replace")
