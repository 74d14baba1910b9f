"""UNAUTHENTICATE: everything but TLS is as it was when the client connected (RFC 8437)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.imap import notify
from services.access.imap.outcome import Outcome, done, rejected
from shared.imap import command as commands
from shared.imap.limits import BEFORE_LOGIN
from shared.imap.state import Extension

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

_FORBIDDEN = rejected(b"UNAUTHENTICATE isn't offered")


async def unauthenticate(session: ImapSession, command: commands.Unauthenticate) -> Outcome | None:
    """Forget the account, the mailbox and what was enabled; compression ends with the answer."""
    if not session.desk.limits.unauthenticate:
        return _FORBIDDEN
    notify.stop(session)
    session.selected = None
    session.enabled = Extension.NONE
    session.account = None
    session.buffer.limits = BEFORE_LOGIN
    await session.finish(command, done(b"Not authenticated any more"))
    if session.compression is not None:
        session.buffer.feed(session.compression.inflater.take_rest())
        session.compression = None
    session.connection.expect_within(session.desk.limits.login_time)
    return None
