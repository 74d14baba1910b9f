"""The first words of a message, as a list of messages shows them (RFC 8970)."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

from shared.message.charset import decode_text
from shared.message.octets import cut
from shared.message.text import decode_body

if TYPE_CHECKING:
    from shared.message.octets import Octets
    from shared.message.structure import Part

MAX_PREVIEW = 200
"""Characters of a preview (RFC 8970 §4.1 allows 256)."""
MAX_PLAIN_BYTES = 2048
"""Octets of a plain text body that are looked at."""
MAX_HTML_BYTES = 16 * 1024
"""Octets of an HTML body that are looked at: style sheets come first."""

_INVISIBLE = re.compile(
    r"(?is)<!--.*?(?:-->|\Z)|<(style|script|title|head)\b.*?(?:</\1\s*>|\Z)|</?[a-z!?][^>]*+(?:>|\Z)"
)
_LAST_CHARACTER = re.compile(rb"[\xc0-\xff][\x80-\xbf]{0,3}\Z")
_RARE = re.compile("[\u00ad\u034f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def make_preview(data: Octets, root: Part) -> str:
    """Up to MAX_PREVIEW characters of the first plain text part, or else the first HTML part, on one line."""
    part = _shown_part(root)
    if part is None:
        return ""
    plain = part.media.subtype != b"html"
    text = _text(data, part, MAX_PLAIN_BYTES if plain else MAX_HTML_BYTES)
    if not plain:
        text = unescape(_INVISIBLE.sub(" ", text))
    short = _one_line(text[: 2 * MAX_PREVIEW])
    return (short if len(short) >= MAX_PREVIEW else _one_line(text))[:MAX_PREVIEW].rstrip()


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    if not line.isascii():
        line = _RARE.sub("", line)
    return line if line.isprintable() else "".join(filter(str.isprintable, line))


def _shown_part(root: Part) -> Part | None:
    """The first text/plain part that isn't attached, or the first such text/html, or any text."""
    if not root.children:
        return root if root.media.type == b"text" else None
    html = other = None
    for part in root.walk():
        if part.media.type != b"text" or _is_attached(part):
            continue
        if part.media.subtype == b"plain":
            return part
        if part.media.subtype == b"html":
            html = html or part
        other = other or part
    return html or other


def _is_attached(part: Part) -> bool:
    disposition = part.disposition
    return disposition is not None and disposition.kind == b"attachment"


def _text(data: Octets, part: Part, limit: int) -> str:
    raw = cut(data, part.body_start, min(part.body_end, part.body_start + limit))
    decoded = decode_body(raw, part.encoding)
    if len(raw) < part.octets:
        decoded = decoded[:-4] + _LAST_CHARACTER.sub(b"", decoded[-4:])  # it may be cut in the middle
    return decode_text(decoded, part.charset)
