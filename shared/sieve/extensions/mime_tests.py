"""The mime extension: header, address and exists on MIME parts (RFC 5703 §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.message.media import decode_parameter, parse_disposition, parse_media
from shared.sieve.declare import STRINGS, Extension, Tag
from shared.sieve.extensions.index import index_of, pick
from shared.sieve.extensions.subaddress import part_of
from shared.sieve.message import decoded_values, field_addresses, field_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from shared.message.header import Headers
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check
    from shared.sieve.message import MailAddress
    from shared.sieve.run import Run
    from shared.sieve.template import Texts

COST_OF_PART = 1000
"""Characters that looking at one part's header counts for."""

_TYPE, _DISPOSITION = b"content-type", b"content-disposition"


def mime_header(call: Call, compiler: Compiler) -> Check:
    """Header with :mime: the fields of the present part, whole or the part of them that is asked for (§4.1)."""
    names, match, values_of = call.texts(0), call.matcher(call.texts(1), compiler), _values(call)
    anychild = call.has("anychild")
    index, last = index_of(call)

    def header(run: Run) -> bool:
        found = list[str]()
        for headers in _headers(run, anychild):
            for name in names(run):
                values = values_of(run, headers, name)
                found += values if index is None else pick(values, index, last)
        return match(run, found)

    return header


def mime_address(call: Call, compiler: Compiler) -> Check:
    """Address with :mime (§4.2)."""
    names, match, part = call.texts(0), call.matcher(call.texts(1), compiler), call.address_part()
    anychild = call.has("anychild")
    index, last = index_of(call)

    def address(run: Run) -> bool:
        values = list[str]()
        for headers in _headers(run, anychild):
            for name in names(run):
                fields: Sequence[list[MailAddress]] = field_addresses(headers, name)
                if index is not None:
                    fields = pick(fields, index, last)
                entries = (entry for field in fields for entry in field)
                parts = (part_of(entry, part, run.context.separator) for entry in entries)
                values += [value for value in parts if value is not None]
        return match(run, values)

    return address


def mime_exists(call: Call, compiler: Compiler) -> Check:
    """Exists with :mime: every field in the present part, or in some part below it (§4.3)."""
    names, anychild = call.texts(0), call.has("anychild")

    def exists(run: Run) -> bool:
        parts = list(_headers(run, anychild))
        return all(any(field_key(name) in headers for headers in parts) for name in names(run))

    return exists


def _headers(run: Run, anychild: bool) -> Iterator[Headers]:
    """The headers of the part that foreverypart is at, or of the message, and with :anychild of all below."""
    view = run.view
    part = run.loop[-1] if run.loop else view.root
    parts = part.walk() if anychild else (part,)
    for child in parts:
        run.charge(COST_OF_PART)
        yield view.headers_of(child)


def _values(call: Call) -> Callable[[Run, Headers, str], list[str]]:
    tag = call.given("mimeopts")
    if tag is None:
        return lambda run, headers, name: decoded_values(headers, name)
    if tag.name == "param":
        wanted = call.tag_texts("param")
        assert wanted is not None
        return lambda run, headers, name: _parameters(headers, name, wanted, run)
    option = tag.name
    return lambda run, headers, name: _media(headers, name, option)


def _media(headers: Headers, name: str, option: str) -> list[str]:
    """:type, :subtype or :contenttype; a disposition has a type only, other fields "" (§4.1)."""
    key, found = field_key(name), list[str]()
    for value in headers.get_all(key):
        kind = subtype = b""
        if key == _DISPOSITION:
            disposition = parse_disposition(value)
            kind = disposition.kind if disposition else b""
        elif key == _TYPE and (media := parse_media(value)):
            kind, subtype = media.type, media.subtype
        whole = kind + b"/" + subtype if subtype else kind
        shown = {"type": kind, "subtype": subtype, "contenttype": whole}[option]
        found.append(shown.decode("utf-8", "replace"))
    return found


def _parameters(headers: Headers, name: str, wanted: Texts, run: Run) -> list[str]:
    key, found = field_key(name), list[str]()
    for value in headers.get_all(key):
        parsed = parse_disposition(value) if key == _DISPOSITION else parse_media(value)
        for parameter in wanted(run) if parsed else ():
            text = decode_parameter(parsed.params, field_key(parameter)) if parsed else None
            if text is not None:
                found.append(text)
    return found


_MIME = ("mime",)
_PLACE = (Tag("mime", extensions=_MIME), Tag("anychild", needs="mime", extensions=_MIME))
_OPTIONS = (
    Tag("type", group="mimeopts", needs="mime", extensions=_MIME),
    Tag("subtype", group="mimeopts", needs="mime", extensions=_MIME),
    Tag("contenttype", group="mimeopts", needs="mime", extensions=_MIME),
    Tag("param", STRINGS, group="mimeopts", needs="mime", extensions=_MIME),
)

EXTENSION = Extension("mime", tags={"header": _PLACE + _OPTIONS, "address": _PLACE, "exists": _PLACE})
