"""A message whose parsing failed: shown as plain text, so that it can at least be read."""

from __future__ import annotations

from shared.message.header import parse_headers
from shared.message.imap_bodystructure import render_bodystructure
from shared.message.imap_envelope import render_envelope
from shared.message.media import TEXT_PLAIN
from shared.message.parts import encode_parts
from shared.message.rendered import Rendered
from shared.message.structure import Part


def unparsed(message: bytes) -> Rendered:
    """Return the least that a mailbox needs: an empty ENVELOPE, one part of text/plain."""
    headers = parse_headers(b"")
    end = message.find(b"\r\n\r\n")
    start = end + 4 if end >= 0 else 0
    part = Part(0, start, len(message), TEXT_PLAIN, headers, message.count(b"\n", start))
    forms = render_bodystructure(part)
    return Rendered(
        envelope=render_envelope(headers),
        bodystructure=forms.bodystructure,
        body=forms.body,
        header_size=start,
        size=len(message),
        parts=encode_parts(part),
        message_id="",
        subject="",
        sent_at=None,
        sent_day=None,
        preview="",
        refs="",
    )
