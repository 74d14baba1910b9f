"""From the names that clients use to mailboxes, with the rights the session's account has in them (RFC 2342, 4314).

Every command that names a mailbox finds it here; what may be done in the selected one is in `Selected.rights`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.access.imap.outcome import Outcome, done
from shared.errors import TemporaryFailure
from shared.imap import command as commands
from shared.imap import response
from shared.imap.acl import ALL_RIGHTS
from shared.imap.mailbox_name import OTHER_USERS, SEPARATOR, parents, split_shared
from shared.mailbox import messages
from shared.mailbox.acl import Access
from shared.mailbox.errors import NoSuchMailbox, NotAllowed

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mailbox is to be: the account, and its own name for it."""

    account_id: int
    name: str


async def namespace(session: ImapSession, command: commands.Namespace) -> Outcome:
    """Tell of the personal namespace and that of other users; there is no third one."""
    other = b'((%s "%s"))' % (response.string(f"{OTHER_USERS}{SEPARATOR}".encode("ascii")), SEPARATOR.encode("ascii"))
    session.write(response.namespace(other=other))
    return done(b"NAMESPACE completed")


async def find(session: ImapSession, name: str, needed: str = "r") -> Access:
    """Return a mailbox in which the account has all needed rights; NoSuchMailbox, NotPermitted."""
    account = session.the_account()
    shared = split_shared(name)
    if shared is None or shared[0] == account.address:
        own = await session.desk.mailboxes.get(account.id, name if shared is None else shared[1])
        return Access(own, ALL_RIGHTS, account.address)
    access = await session.desk.acl.find(account, *shared)
    access.require(needed)
    return access


async def open_mailbox(session: ImapSession, name: str, *, since: int | None = None) -> tuple[messages.Selected, str]:
    """Return what a session begins with in a mailbox, and its rights there; NoSuchMailbox, NotPermitted."""
    account = session.the_account()
    if split_shared(name) is None:
        return await session.desk.messages.open(account.id, name, since=since), ALL_RIGHTS
    access = await find(session, name)
    return await session.desk.messages.select(access.mailbox.id, since=since), access.rights


async def look_again(session: ImapSession) -> bool:
    """Take the rights in another account's selected mailbox as they are now; False: the session ends.

    So a change of rights counts from the next command on (RFC 4314 §5.1.1).
    """
    selected, account = session.selected, session.account
    if selected is None or account is None or selected.account_id == account.id:
        return True
    try:
        rights = await session.desk.acl.rights(account, selected.mailbox_id)
    except (NoSuchMailbox, TemporaryFailure):
        return True  # what comes next finds that out, and has an answer to it
    if "r" not in rights:
        session.end(b"The selected mailbox is shared no longer")
        return False
    if rights != selected.rights:
        before = selected.known_flags()
        selected.rights = rights
        if selected.known_flags() != before:
            session.write(selected.known_flags())
    return True


async def place(session: ImapSession, name: str) -> Place:
    """Return where a new mailbox of this name would be; NotAllowed, NoSuchMailbox, NotPermitted.

    In another account that takes the right to create in the nearest mailbox above it that there is.
    """
    account = session.the_account()
    shared = split_shared(name)
    if shared is None:
        return Place(account.id, name)
    address, inner = shared
    if not inner:
        raise NotAllowed("There can be no mailbox of that name")
    if address == account.address:
        return Place(account.id, inner)
    for parent in reversed(parents(inner)):
        try:
            access = await session.desk.acl.find(account, address, parent)
        except NoSuchMailbox:
            continue
        access.require("k")
        return Place(access.mailbox.account_id, inner)
    raise NotAllowed("A mailbox of another account can only be made below one that is shared")
