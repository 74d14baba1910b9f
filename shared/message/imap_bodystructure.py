"""IMAP's BODY and BODYSTRUCTURE of a message as bytes ready to be sent (RFC 3501 §7.4.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shared.message.imap_envelope import render_envelope, render_nstring, render_string
from shared.message.media import TEXT_PLAIN

if TYPE_CHECKING:
    from shared.message.media import Parameters
    from shared.message.structure import Part


class BodyStructure(NamedTuple):
    """BODY (without extension data) and BODYSTRUCTURE (with it)."""

    body: bytes
    bodystructure: bytes


def render_bodystructure(part: Part) -> BodyStructure:
    """Both forms of a part and all below it, in one walk."""
    if part.is_multipart:
        return _render_multipart(part)
    basic = _basic_fields(part)
    if part.is_message:
        nested = render_bodystructure(part.children[0])
        envelope = render_envelope(part.children[0].headers)
        body = b"%b %b %b %d" % (basic, envelope, nested.body, part.lines)
        extended = b"%b %b %b %d" % (basic, envelope, nested.bodystructure, part.lines)
    else:
        body = extended = b"%b %d" % (basic, part.lines) if part.media.type == b"text" else basic
    return BodyStructure(b"(" + body + b")", b"(%b %b %b)" % (extended, render_nstring(part.md5), _shared(part)))


def _render_multipart(part: Part) -> BodyStructure:
    children = [render_bodystructure(child) for child in part.children]
    subtype = render_string((part.media.written or (b"", part.media.subtype))[1])
    body = b"(%b %b)" % (b"".join([child.body for child in children]), subtype)
    extended = b"(%b %b %b %b)" % (
        b"".join([child.bodystructure for child in children]),
        subtype,
        _parameters(part.media.params),
        _shared(part),
    )
    return BodyStructure(body, extended)


def _basic_fields(part: Part) -> bytes:
    """body-fields after the media type: parameters, id, description, encoding, octets."""
    media = part.media
    maintype, subtype = media.written or (media.type, media.subtype)
    params, encoding = media.params, part.written_encoding
    if media.type == b"text" and not (params and any(name.lower() in _CHARSETS for name, _ in params)):
        params = (*params, *TEXT_PLAIN.params)  # RFC 2046 §4.1.2
    if part.header_start == 0 and _is_plainest(part, params, encoding):
        maintype, subtype, params, encoding = media.type, media.subtype, TEXT_PLAIN.params, b"7bit"
    return b"%b %b %b %b %b %b %d" % (
        render_string(maintype),
        render_string(subtype),
        _parameters(params),
        render_nstring(part.content_id),
        render_nstring(part.description),
        render_string(encoding),
        part.octets,
    )


_CHARSETS = (b"charset", b"charset*")
_SAYS_MORE = (
    b"content-id",
    b"content-description",
    b"content-md5",
    b"content-disposition",
    b"content-language",
    b"content-location",
)


def _is_plainest(part: Part, params: Parameters, encoding: bytes) -> bool:
    """Whether it is a message of nothing but ASCII text, with capitals: of these Dovecot remembers none."""
    if params == TEXT_PLAIN.params and encoding == b"7bit" and part.media.written in (None, (b"text", b"plain")):
        return False
    return (
        (part.media.type, part.media.subtype) == (b"text", b"plain")
        and len(params) == 1
        and (params[0][0].lower(), params[0][1].lower()) == TEXT_PLAIN.params[0]
        and encoding.lower() == b"7bit"
        and not any(name in part.headers for name in _SAYS_MORE)
    )


def _shared(part: Part) -> bytes:
    """The extension data that single parts and multiparts have in common: disposition, language, location."""
    if not any(name in part.headers for name in _SHARED_FIELDS):
        return b"NIL NIL NIL"
    disposition = part.disposition
    dsp = b"NIL"
    if disposition is not None:
        dsp = b"(%b %b)" % (render_string(disposition.written), _parameters(disposition.params))
    languages = part.languages
    language = b"(" + b" ".join(map(render_string, languages)) + b")" if languages else b"NIL"
    return b"%b %b %b" % (dsp, language, render_nstring(part.location))


_SHARED_FIELDS = (b"content-disposition", b"content-language", b"content-location")


def _parameters(params: Parameters) -> bytes:
    if not params:
        return b"NIL"
    return b"(" + b" ".join([render_string(text) for pair in params for text in pair]) + b")"
