r"""CATENATE's URLs: octets of messages that the client could FETCH, copied without setting \Seen (RFC 4469)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from services.access.imap import namespace
from services.access.imap.outcome import refused
from services.access.imap.upload import Arriving, Refused
from shared.imap import response
from shared.imap.url import BadUrl, MessageUrl, parse_url
from shared.mailbox.errors import MailboxError
from shared.mailbox.rows import Want
from shared.message.body import SectionText

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession
    from shared.imap.fetch import BodySection

_UNSHOWABLE = re.compile(rb"[^\x20-\x7e]|[\]\\]")
MAX_SHOWN = 500  # octets of a URL in BADURL
_HEADER_LISTS = (SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT)


async def copy_url(session: ImapSession, message: Arriving, text: bytes, held: int) -> None:
    """Add the octets that a URL stands for to a message; Refused with BADURL or TOOBIG."""
    try:
        url = parse_url(text)
        row = await _find(session, url)
    except (BadUrl, MailboxError) as error:
        raise Refused(_bad_url(text, str(error))) from error
    if not await _copy(session, message, row, url.section, held):
        raise Refused(_bad_url(text, "there is no such section"))


async def _find(session: ImapSession, url: MessageUrl) -> Any:
    desk = session.desk
    if url.mailbox is None:
        selected = session.selected
        if selected is None:
            raise BadUrl("no mailbox is selected")
        mailbox_id, uidvalidity = selected.mailbox_id, selected.uidvalidity
    else:
        mailbox = (await namespace.find(session, url.mailbox)).mailbox
        mailbox_id, uidvalidity = mailbox.id, mailbox.uidvalidity
    if url.uidvalidity not in (None, uidvalidity):
        raise BadUrl("the mailbox has another UIDVALIDITY")
    async for rows in desk.messages.fetch_rows(mailbox_id, ((url.uid, url.uid),), Want.CONTENT):
        return rows[0]
    raise BadUrl("there is no such message")


async def _copy(session: ImapSession, message: Arriving, row: Any, section: BodySection, held: int) -> bool:
    """Copy a section as FETCH would give it; False if there is none such."""
    content, text = session.desk.content, SectionText(section.text.value)
    if text in _HEADER_LISTS:
        found = await content.section(row, section.path, text, section.fields)
        if found is None:
            return False
        if section.partial is not None:
            found = found[section.partial.start : section.partial.start + section.partial.length]
        await message.expect(len(found), held)
        await message.take(found)
        return True
    extent = content.extent(row, section.path, text)
    if extent is None:
        return False
    start, end = extent.start, extent.start + extent.length
    if section.partial is not None:
        start = min(start + section.partial.start, end)
        end = min(start + section.partial.length, end)
    await message.expect(end - start, held)
    async for piece in content.stream(row, start, end - start):
        await message.take(piece)
    return True


def _bad_url(text: bytes, why: str) -> Any:
    shown = _UNSHOWABLE.sub(b"?", text[:MAX_SHOWN])
    return refused(b"CATENATE failed: " + why.encode("ascii", "replace"), response.BADURL + b" " + shown)
