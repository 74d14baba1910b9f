"""RETR and TOP (RFC 1939 §5, §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.pop3.answer import GONE
from services.access.pop3.readahead import LONG, ReadAhead, Row
from shared.mailbox.errors import MessageGone
from shared.pop3 import command as commands
from shared.pop3 import response
from shared.pop3.multiline import DotStuffer, TopSlicer, stuff
from shared.pop3.multiline import top as slice_top

if TYPE_CHECKING:
    from services.access.pop3.session import Pop3Session

_HEAD = response.ok(b"Message follows")


async def retrieve(session: Pop3Session, command: commands.Retr) -> bytes | None:
    """Send a message."""
    return await _send(session, command.number, None)


async def top(session: Pop3Session, command: commands.Top) -> bytes | None:
    """Send a message's header and the first lines of its body."""
    return await _send(session, command.number, command.lines)


async def _send(session: Pop3Session, number: int, lines: int | None) -> bytes | None:
    following = session.maildrop.following(number)
    try:
        found = await _ahead(session).take(following)
    except MessageGone:
        return GONE
    if isinstance(found, bytes):
        return _HEAD + stuff(found if lines is None else slice_top(found, lines))
    await _stream(session, found, lines)
    return None


def _ahead(session: Pop3Session) -> ReadAhead:
    assert session.ahead is not None
    return session.ahead


async def _stream(session: Pop3Session, row: Row, lines: int | None) -> None:
    """Send a long message in pieces; once it is begun only closing can end it early."""
    stuffer = DotStuffer()
    slicer = None if lines is None else TopSlicer(lines)
    assert row["size"] >= LONG
    session.write(_HEAD)
    try:
        async for chunk in session.desk.content.stream(row, 0, row["size"]):
            session.write(stuffer.feed(chunk if slicer is None else slicer.feed(chunk)))
            await session.connection.drain()
            if slicer is not None and slicer.done:
                break
    except Exception as error:
        session.desk.log.trouble("message broke off", error=repr(error), exc_info=error)
        session.connection.cut_off()
        raise ConnectionAbortedError("a response can't be finished") from error
    session.write(stuffer.end())
