"""BINARY: parts without their transfer encoding; long ones are decoded twice, to count and to send (RFC 3516)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.access.imap.outcome import refused
from shared.imap import response
from shared.message.body import SectionText
from shared.message.decoding import Decoder, decoder_for
from shared.message.header import parse_headers
from shared.message.structure import encoding_of

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession
    from shared.imap.fetch import BinarySection
    from shared.mailbox.content import Extent

HELD = 1024 * 1024  # octets of one response's parts in memory; longer ones are decoded again when they are sent
HEADER_LISTS = (SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT)
UNKNOWN = refused(b"The part's transfer encoding is unknown", response.UNKNOWN_CTE)


class UnknownEncoding(Exception):
    """A part can't be decoded: the FETCH ends with NO [UNKNOWN-CTE]."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A part, or what is asked for of it; `octets` is None for one that is too long to be held."""

    section: BinarySection
    extent: Extent | None = None  # where it lies, if it does so in one piece
    encoding: bytes = b"7bit"
    size: int = 0
    has_nul: bool = False
    octets: bytes | None = None


async def decode(session: ImapSession, row: Any, section: BinarySection, held: int) -> Decoded:
    """Decode a part and keep it if `held` octets leave room; UnknownEncoding, RecordUnavailable, MessageGone."""
    text = SectionText(section.text.value)
    if text in HEADER_LISTS:
        return await _picked(session, row, section, text)
    extent = session.desk.content.extent(row, section.path, text)
    if extent is None:
        return Decoded(section)
    encoding = await _encoding(session, row, section)
    if decoder_for(encoding) is None:
        raise UnknownEncoding
    kept: list[bytes] | None = [] if held + extent.length <= HELD and not section.size_only else None
    size, has_nul = 0, False
    async with aclosing(_pieces(session, row, section, extent, encoding)) as pieces:
        async for piece in pieces:
            size += len(piece)
            has_nul = has_nul or b"\0" in piece
            if kept is not None:
                kept.append(piece)
    return Decoded(section, extent, encoding, size, has_nul, None if kept is None else b"".join(kept))


async def send(session: ImapSession, row: Any, part: Decoded) -> None:
    """Send the item: a number, NIL, a literal, or a literal8 where there are NULs."""
    label = part.section.label
    if part.section.size_only:
        session.write(response.item(label, b"%d" % part.size))
        return
    if part.extent is None and part.octets is None:
        session.write(response.item(label, response.NIL))
        return
    session.write(b"%b %b{%d}\r\n" % (label, b"~" if part.has_nul else b"", part.size))
    if part.octets is not None:
        session.write(part.octets)
        return
    assert part.extent is not None
    async with aclosing(_pieces(session, row, part.section, part.extent, part.encoding)) as pieces:
        async for piece in pieces:
            session.write(piece)
            await session.connection.drain()


async def _picked(session: ImapSession, row: Any, section: BinarySection, text: SectionText) -> Decoded:
    """Return some fields of a header, or what is asked for of them."""
    found = await session.desk.content.section(row, section.path, text, section.fields)
    if found is not None and section.partial is not None:
        found = found[section.partial.start : section.partial.start + section.partial.length]
    return Decoded(section, size=len(found or b""), octets=found)


async def _encoding(session: ImapSession, row: Any, section: BinarySection) -> bytes:
    """The part's encoding; a whole message has none of its own, nor have headers."""
    if not section.path or section.text.value:
        return b"7bit"
    header = await session.desk.content.section(row, section.path, SectionText.MIME)
    return encoding_of(parse_headers(header or b""))


async def _pieces(
    session: ImapSession, row: Any, section: BinarySection, extent: Extent, encoding: bytes
) -> AsyncGenerator[bytes, None]:
    """Yield the decoded octets, or those of them that a partial asks for."""
    decoder = decoder_for(encoding)
    assert decoder is not None
    start, end = 0, None
    if section.partial is not None:
        start, end = section.partial.start, section.partial.start + section.partial.length
    position = 0
    async for piece in _decoded(session, row, extent, decoder):
        wanted = piece[max(start - position, 0) : None if end is None else max(end - position, 0)]
        position += len(piece)
        if wanted:
            yield wanted
        if end is not None and position >= end:
            return


async def _decoded(session: ImapSession, row: Any, extent: Extent, decoder: Decoder) -> AsyncGenerator[bytes, None]:
    async for chunk in session.desk.content.stream(row, extent.start, extent.length):
        yield decoder.feed(chunk)
    yield decoder.finish()
