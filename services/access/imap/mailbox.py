"""CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE (RFC 3501 §6.3.3-7, RFC 6154, RFC 8474, RFC 4314 §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.imap import namespace
from services.access.imap.outcome import Outcome, done, refused
from shared.imap import command as commands
from shared.imap import response
from shared.imap.mailbox_name import INBOX, SEPARATOR, UnusableMailboxName, check_new_name, normal, split_shared
from shared.imap.mailbox_response import USEATTR
from shared.imap.special_use import UnknownUse, parse_uses
from shared.imap.state import Extension, SessionState
from shared.mailbox.errors import NotAllowed

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession


async def create(session: ImapSession, command: commands.Create) -> Outcome:
    """Create a mailbox and the parents it lacks; what is below a shared mailbox is shared like it."""
    try:
        name = check_new_name(command.mailbox)
        uses = parse_uses(command.uses)
    except UnusableMailboxName as error:
        return _unusable(error)
    except UnknownUse as error:
        return refused(str(error).encode("ascii"), USEATTR)
    place = await namespace.place(session, name)
    if uses and place.account_id != session.the_account().id:
        return refused(b"Only mailboxes of one's own have special uses", USEATTR)
    created = await session.desk.mailboxes.create(place.account_id, place.name, special_use=uses)
    given = command.mailbox.removesuffix(SEPARATOR)
    if name != given:
        _tell_name(session, name, given)
    return done(b"CREATE completed", response.code_mailboxid(created.object_id))


async def delete(session: ImapSession, command: commands.Delete) -> Outcome:
    """Delete a mailbox; if it is selected, it no longer is."""
    account_id, name = session.the_account().id, command.mailbox
    if split_shared(name) is not None:
        mailbox = (await namespace.find(session, name, "x")).mailbox
        account_id, name = mailbox.account_id, mailbox.name
    await session.desk.mailboxes.delete(account_id, name)
    if session.selected is not None and session.selected.name in (command.mailbox, normal(command.mailbox)):
        session.selected = None
        session.state = SessionState.AUTHENTICATED
    return done(b"DELETE completed")


async def rename(session: ImapSession, command: commands.Rename) -> Outcome:
    """Rename a mailbox and what is below it; it stays its account's."""
    try:
        name = check_new_name(command.new_name)
    except UnusableMailboxName as error:
        return _unusable(error)
    account_id, old = session.the_account().id, command.mailbox
    if split_shared(old) is not None:
        mailbox = (await namespace.find(session, old, "x")).mailbox
        account_id, old = mailbox.account_id, mailbox.name
    place = await namespace.place(session, name)
    if place.account_id != account_id:
        raise NotAllowed("A mailbox can't become another account's")
    await session.desk.mailboxes.rename(account_id, old, place.name)
    _follow(session, command.mailbox, name)
    if command.mailbox != INBOX:
        _tell_name(session, name, command.mailbox)
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
    name = command.mailbox.removesuffix(SEPARATOR)
    for given in {name, normal(name)}:
        await session.desk.mailboxes.unsubscribe(session.the_account().id, given)
    return done(b"UNSUBSCRIBE completed")


def _tell_name(session: ImapSession, name: str, old_name: str) -> None:
    """Tell a client of IMAP4rev2 what a mailbox is called now (RFC 9051 §6.3.9.7)."""
    if Extension.REV2 in session.enabled:
        session.write(response.list_line(name, utf8=session.utf8, old_name=old_name))


def _follow(session: ImapSession, old: str, new: str) -> None:
    """Know the selected mailbox by its new name; INBOX keeps its own, and only its messages went."""
    selected = session.selected
    if selected is not None and old != INBOX and (selected.name + SEPARATOR).startswith(old + SEPARATOR):
        selected.name = new + selected.name[len(old) :]


def _unusable(error: UnusableMailboxName) -> Outcome:
    return refused(str(error).encode("ascii", "replace"), response.CANNOT)
