"""CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE (RFC 3501 §6.3.3-7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.imap.outcome import Outcome, done, refused
from shared.imap import command as commands
from shared.imap import response
from shared.imap.mailbox_name import UnusableMailboxName, check_new_name
from shared.imap.state import SessionState

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession


async def create(session: ImapSession, command: commands.Create) -> Outcome:
    """Create a mailbox and the parents it lacks."""
    try:
        name = check_new_name(command.mailbox)
    except UnusableMailboxName as error:
        return _unusable(error)
    await session.desk.mailboxes.create(session.the_account().id, name)
    return done(b"CREATE completed")


async def delete(session: ImapSession, command: commands.Delete) -> Outcome:
    """Delete a mailbox; if it is selected, it no longer is."""
    await session.desk.mailboxes.delete(session.the_account().id, command.mailbox)
    if session.selected is not None and session.selected.name == command.mailbox:
        session.selected = None
        session.state = SessionState.AUTHENTICATED
    return done(b"DELETE completed")


async def rename(session: ImapSession, command: commands.Rename) -> Outcome:
    """Rename a mailbox and what is below it."""
    try:
        name = check_new_name(command.new_name)
    except UnusableMailboxName as error:
        return _unusable(error)
    await session.desk.mailboxes.rename(session.the_account().id, command.mailbox, name)
    return done(b"RENAME completed")


async def subscribe(session: ImapSession, command: commands.Subscribe) -> Outcome:
    """Subscribe to a name, whether or not there is such a mailbox."""
    try:
        name = check_new_name(command.mailbox)
    except UnusableMailboxName as error:
        return _unusable(error)
    await session.desk.mailboxes.subscribe(session.the_account().id, name)
    return done(b"SUBSCRIBE completed")


async def unsubscribe(session: ImapSession, command: commands.Unsubscribe) -> Outcome:
    """End a subscription."""
    await session.desk.mailboxes.unsubscribe(session.the_account().id, command.mailbox.removesuffix("/"))
    return done(b"UNSUBSCRIBE completed")


def _unusable(error: UnusableMailboxName) -> Outcome:
    return refused(str(error).encode("ascii", "replace"), response.CANNOT)
