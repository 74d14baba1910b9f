"""DELE, RSET, NOOP and QUIT (RFC 1939 §5, §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.imap.sequence import compact
from shared.pop3 import command as commands
from shared.pop3 import response

if TYPE_CHECKING:
    from services.access.pop3.session import Pop3Session


async def delete(session: Pop3Session, command: commands.Dele) -> bytes:
    """Mark a message; it goes at QUIT."""
    session.maildrop.delete(command.number)
    return response.ok(b"Marked")


async def reset(session: Pop3Session, command: commands.Rset) -> bytes:
    """Unmark all messages."""
    session.maildrop.reset()
    return response.ok()


async def nothing(session: Pop3Session, command: commands.Noop) -> bytes:
    """Do nothing."""
    return response.ok()


async def leave(session: Pop3Session, command: commands.Quit) -> bytes:
    """Remove what is marked, and end the session."""
    marked = session.maildrop.deleted_uids() if session.account is not None else []
    if session.account is not None and marked:
        await session.desk.messages.remove(session.account.id, session.mailbox_id, compact(marked))
    if session.claim is not None:
        await session.claim.give_up()  # before the client hears of it: it may come back at once
        session.claim = None
    return response.ok(b"Bye")
