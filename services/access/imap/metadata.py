"""GETMETADATA and SETMETADATA: annotations of mailboxes and of the server (RFC 5464)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.access.imap import namespace
from services.access.imap.outcome import Outcome, done, refused
from shared.errors import TemporaryFailure
from shared.imap import command as commands
from shared.imap import mailbox_response, response
from shared.imap.metadata import ADMIN_ENTRY, SPECIAL_USE_ENTRY, Depth, Query, is_private
from shared.imap.special_use import UnknownUse, parse_uses
from shared.mailbox.acl import Access, require
from shared.mailbox.errors import NotPermitted

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession
    from shared.directory import Account

_READING = frozenset("rswip")  # any of these lets annotations be seen and set (§3.3)


@dataclass(slots=True)
class Followed:
    """How far a client that enabled METADATA has been told of changes: µs of the last one, and its own ones."""

    since: int
    own: set[int]


async def get_metadata(session: ImapSession, command: commands.GetMetadata) -> Outcome:
    """Tell entries with their values, NIL for those that there aren't."""
    account = session.the_account()
    if command.mailbox:
        access = await _find(session, command.mailbox)
        present = (await session.desk.metadata.of_mailboxes(account.id, [access.mailbox]))[access.mailbox.id]
    else:
        present = await session.desk.metadata.of_server(account.id) | _of_operator(account)
    told, largest = answer(command.query, present)
    if told:
        session.write(mailbox_response.metadata(response.mailbox(command.mailbox, utf8=session.utf8), told))
    return done(b"GETMETADATA completed", mailbox_response.code_long_entries(largest) if largest else None)


async def set_metadata(session: ImapSession, command: commands.SetMetadata) -> Outcome:
    """Change entries, all or none; the server's shared ones are the operator's."""
    account, values = session.the_account(), dict(command.values)
    if not command.mailbox:
        if not all(map(is_private, values)):
            raise NotPermitted("The server's shared annotations are set by the operator")
        _note(session, await session.desk.metadata.set_of_server(account.id, values))
        return done(b"SETMETADATA completed")
    access = await _find(session, command.mailbox)
    if not all(map(is_private, values)):
        access.require("w")
    uses: str | None = None
    if SPECIAL_USE_ENTRY in values:
        try:
            uses = _uses(account, access, values.pop(SPECIAL_USE_ENTRY))
        except UnknownUse as error:
            return refused(str(error).encode("ascii"), mailbox_response.USEATTR)
    _note(session, await session.desk.metadata.set_of_mailbox(account.id, access.mailbox, values, uses))
    return done(b"SETMETADATA completed")


async def follow(session: ImapSession) -> None:
    """Begin to tell of changes that others make (§4.4)."""
    changed = await session.desk.metadata.changed(session.the_account().id, 0)
    session.annotations = Followed(max((change.at for change in changed), default=0), set())


async def report(session: ImapSession) -> None:
    """Tell which of the account's annotations others have changed, without their values (§4.4.2)."""
    followed = session.annotations
    if followed is None or session.account is None:
        return
    try:
        changed = await session.desk.metadata.changed(session.account.id, followed.since)
    except TemporaryFailure:
        return  # the next report tells of it
    told: dict[str, list[str]] = {}
    for change in changed:
        followed.since = max(followed.since, change.at)
        if change.at not in followed.own:
            told.setdefault(change.mailbox, []).append(change.entry)
    followed.own.clear()
    for name, entries in told.items():
        session.write(mailbox_response.metadata_changed(response.mailbox(name, utf8=session.utf8), entries))


def _note(session: ImapSession, stamp: int) -> None:
    if session.annotations is not None:
        session.annotations.own.add(stamp)


def may_read(rights: str) -> bool:
    """Say whether rights let annotations of a mailbox be seen and set (§3.3)."""
    return "l" in rights and not _READING.isdisjoint(rights)


def answer(query: Query, present: Mapping[str, bytes]) -> tuple[dict[str, bytes | None], int]:
    """Return what is told, and the size of the largest value that is too long for the client (else 0)."""
    told: dict[str, bytes | None] = {entry: value for entry, value in present.items() if query.covers(entry)}
    if query.depth is Depth.NONE or not told:
        told = {entry: present.get(entry) for entry in query.entries}
    if query.max_size is None:
        return told, 0
    limit = query.max_size
    long = {entry: len(value) for entry, value in told.items() if value is not None and len(value) > limit}
    return {entry: value for entry, value in told.items() if entry not in long}, max(long.values(), default=0)


async def _find(session: ImapSession, name: str) -> Access:
    access = await namespace.find(session, name, "l")
    if not may_read(access.rights):
        require(access.rights, "r")
    return access


def _uses(account: Account, access: Access, value: bytes | None) -> str:
    if access.mailbox.account_id != account.id:
        raise NotPermitted("Only mailboxes of one's own have special uses")
    return parse_uses((value or b"").split())


def _of_operator(account: Account) -> dict[str, bytes]:
    """Return the server's shared entries: whom to write to."""
    return {ADMIN_ENTRY: f"mailto:postmaster@{account.domain}".encode("ascii", "replace")}
