"""SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS (RFC 4314 §3).

The owner of a mailbox always has all rights in it; flags are shared by all who see a message, \\Seen too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.imap import namespace
from services.access.imap.outcome import Outcome, done
from shared.imap import command as commands
from shared.imap import mailbox_response, response
from shared.imap.acl import ALL_RIGHTS, ANYONE, NEGATIVE
from shared.mailbox.acl import Access, Change
from shared.mailbox.errors import NoSuchMailbox, NotAllowed

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

_KNOWING = frozenset("lrikxa")  # any of these lets one's own rights be asked for (§4)


async def set_acl(session: ImapSession, command: commands.SetAcl) -> Outcome:
    """Change the rights of an identifier."""
    access = await namespace.find(session, command.mailbox, "a")
    identifier = await _identifier(session, command.identifier)
    change = Change(command.sign)
    if identifier.removeprefix(NEGATIVE) != access.owner:
        await session.desk.acl.change(access.mailbox, identifier, change, command.rights)
    elif identifier != access.owner or change is Change.REMOVE or (not change.value and command.rights != ALL_RIGHTS):
        raise NotAllowed("The owner of a mailbox always has all rights in it")
    return done(b"SETACL completed")


async def delete_acl(session: ImapSession, command: commands.DeleteAcl) -> Outcome:
    """Remove an identifier's entry."""
    access = await namespace.find(session, command.mailbox, "a")
    identifier = await _identifier(session, command.identifier)
    if identifier == access.owner:
        raise NotAllowed("The owner of a mailbox always has all rights in it")
    await session.desk.acl.remove(access.mailbox, identifier)
    return done(b"DELETEACL completed")


async def get_acl(session: ImapSession, command: commands.GetAcl) -> Outcome:
    """Tell who may do what: the owner, and the entries."""
    access = await namespace.find(session, command.mailbox, "a")
    entries = await session.desk.acl.entries(access.mailbox.id)
    session.write(mailbox_response.acl(_name(session, command.mailbox), [(access.owner, ALL_RIGHTS), *entries]))
    return done(b"GETACL completed")


async def list_rights(session: ImapSession, command: commands.ListRights) -> Outcome:
    """Tell which rights an identifier can be given: each by itself, and the owner none more."""
    access = await namespace.find(session, command.mailbox, "a")
    identifier = await _identifier(session, command.identifier)
    mandatory, optional = (ALL_RIGHTS, "") if identifier == access.owner else ("", ALL_RIGHTS)
    name = _name(session, command.mailbox)
    session.write(mailbox_response.list_rights(name, command.identifier, mandatory, optional))
    return done(b"LISTRIGHTS completed")


async def my_rights(session: ImapSession, command: commands.MyRights) -> Outcome:
    """Tell the session's own rights."""
    access: Access = await namespace.find(session, command.mailbox, "")
    if _KNOWING.isdisjoint(access.rights):
        raise NoSuchMailbox("There is no such mailbox")
    session.write(mailbox_response.my_rights(_name(session, command.mailbox), access.rights))
    return done(b"MYRIGHTS completed")


async def _identifier(session: ImapSession, text: str) -> str:
    """Return an identifier whole: a bare name is an account's in the own domain, if there is one."""
    bare = text.removeprefix(NEGATIVE)
    if bare == ANYONE or "@" in bare:
        return text
    address = f"{bare}@{session.the_account().domain}"
    try:
        await session.desk.acl.owner(address)
    except NoSuchMailbox:
        return text
    return text[: len(text) - len(bare)] + address


def _name(session: ImapSession, name: str) -> bytes:
    return response.mailbox(name, utf8=session.utf8)
