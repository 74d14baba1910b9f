"""Who may do what in whose mailboxes (RFC 4314): an owner everything, others what an entry grants them.

An identifier is the address of an account, that of an alias (then it is everybody whom the alias leads to
directly), `@domain` (all of its accounts) or `anyone`; with `-` before it, its rights are taken away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from shared.db import Database, Work, load
from shared.imap.acl import ALL_RIGHTS, ANYONE, NEGATIVE, canonical, effective
from shared.mailbox.errors import LimitReached, NoSuchMailbox, NotPermitted
from shared.mailbox.mailbox import Mailbox, find, find_by_id
from shared.mailbox.mailbox import sql as mailbox_sql

MAX_ENTRIES = 1_000  # of one mailbox
MAX_SHARED = 20_000  # mailboxes of others that one account is shown
MAX_TOLD = 10_000  # accounts that are told at once of a change of rights; the poll covers the rest

sql = load("acl")


class User(Protocol):
    """Who wants to do something: an account."""

    @property
    def id(self) -> int: ...

    @property
    def address(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Access:
    """A mailbox, and what somebody may do in it."""

    mailbox: Mailbox
    rights: str
    owner: str  # the address of its account

    def require(self, needed: str) -> None:
        """Raise NotPermitted unless all these rights are held, NoSuchMailbox where not even looking is (§6)."""
        require(self.rights, needed)


class Change(Enum):
    """What SETACL does with the rights it names (§3.1)."""

    REPLACE = ""
    ADD = "+"
    REMOVE = "-"


def _nobody(account_ids: Iterable[int]) -> None:
    """Announce to nobody: for tools and tests."""


class Acl:
    """Rights on all mailboxes; one per process.

    `announce` is told the accounts that a change concerns, after its commit.
    """

    def __init__(self, database: Database, announce: Callable[[Iterable[int]], None] = _nobody) -> None:
        self._database = database
        self._announce = announce

    async def find(self, user: User, address: str, name: str) -> Access:
        """Return a mailbox of some account and the user's rights in it; NoSuchMailbox also if there are none."""
        return await self._database.read(find_access, user, address, name)

    async def rights(self, user: User, mailbox_id: int) -> str:
        """Return the user's rights in a mailbox as they are now; NoSuchMailbox once it is deleted."""
        return await self._database.read(_rights_now, user, mailbox_id)

    async def shared_with(self, user: User) -> list[Access]:
        """Return the mailboxes of other accounts that the user may look up, by owner and name."""
        return await self._database.read(shared_with, user)

    async def owner(self, address: str) -> int:
        """Return the id of an account that there is; NoSuchMailbox."""
        return await self._database.read(_owner, address)

    async def address(self, account_id: int) -> str:
        """Return an account's address."""
        return await self._database.read(_address, account_id)

    async def entries(self, mailbox_id: int) -> list[tuple[str, str]]:
        """Return the (identifier, rights) entries of a mailbox, its owner's left out."""
        return await self._database.read(entries, mailbox_id)

    async def change(self, mailbox: Mailbox, identifier: str, change: Change, rights: str) -> None:
        """Set, add or take away rights of an identifier; LimitReached."""
        self._announce(await self._database.write(change_entry, mailbox, identifier, change, rights))

    async def remove(self, mailbox: Mailbox, identifier: str) -> None:
        """Remove an entry; harmless if there is none."""
        self._announce(await self._database.write(change_entry, mailbox, identifier, Change.REPLACE, ""))


def require(rights: str, needed: str) -> None:
    """Raise NotPermitted unless all needed rights are held, NoSuchMailbox where not even looking is (§6)."""
    if not set(needed) <= set(rights):
        if "l" not in rights:
            raise NoSuchMailbox("There is no such mailbox")
        raise NotPermitted("You may not do that in this mailbox")


def identifiers(address: str) -> dict[str, str]:
    """Return what names an account, beside everyone and the aliases, as the queries want it."""
    domain = "@" + address.rpartition("@")[2]
    return {
        "address": address,
        "domain": domain,
        "no_address": NEGATIVE + address,
        "no_domain": NEGATIVE + domain,
    }


# Work: parts of transactions


def find_access(user: User, address: str, name: str) -> Work[Access]:
    """Return a mailbox of some account and the user's rights in it; NoSuchMailbox also if there are none."""
    owner = yield from _owner(address)
    mailbox = yield from find(owner, name)
    rights = yield from rights_in(user, mailbox)
    if not rights:
        raise NoSuchMailbox("There is no such mailbox")
    return Access(mailbox, rights, address)


def rights_in(user: User, mailbox: Mailbox) -> Work[str]:
    """Return the user's rights in a mailbox."""
    if mailbox.account_id == user.id:
        return ALL_RIGHTS
    rows = yield sql.grants_on(mailbox_id=mailbox.id, **identifiers(user.address))
    return effective((row["identifier"], row["rights"]) for row in rows)


def shared_with(user: User) -> Work[list[Access]]:
    """Return the mailboxes of other accounts that the user may look up, by owner and name."""
    rows = yield sql.grants(**identifiers(user.address))
    return (yield from visible(user, rows)) if rows else []


def visible(user: User, rows: Iterable[Any]) -> Work[list[Access]]:
    """Return the mailboxes that (mailbox id, identifier, rights) rows let the user look up."""
    granted: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for mailbox_id, identifier, rights in rows:
        granted[mailbox_id].append((identifier, rights))
    held = {mailbox_id: effective(entries) for mailbox_id, entries in granted.items()}
    ids = sorted(mailbox_id for mailbox_id, rights in held.items() if "l" in rights)[:MAX_SHARED]
    if not ids:
        return []
    found = yield sql.shared(ids=ids, account_id=user.id)
    return [Access(Mailbox(*row[1:]), held[row[1]], row[0]) for row in map(tuple, found)]


def entries(mailbox_id: int) -> Work[list[tuple[str, str]]]:
    """Return the (identifier, rights) entries of a mailbox."""
    rows = yield sql.entries(mailbox_id=mailbox_id)
    return [(row["identifier"], row["rights"]) for row in rows]


def change_entry(mailbox: Mailbox, identifier: str, change: Change, rights: str) -> Work[set[int]]:
    """Set, add or take away rights, and return whose sessions may see it; an entry without any is removed."""
    yield mailbox_sql.lock_account(account_id=mailbox.account_id)
    yield from find(mailbox.account_id, mailbox.name)
    present = dict((yield from entries(mailbox.id)))
    wanted = _changed(present.get(identifier, ""), change, rights)
    if not wanted:
        yield sql.delete_entry(mailbox_id=mailbox.id, identifier=identifier)
    elif identifier not in present and len(present) >= MAX_ENTRIES:
        raise LimitReached("The mailbox has too many entries")
    else:
        yield sql.set_entry(mailbox_id=mailbox.id, identifier=identifier, rights=wanted)
    return {mailbox.account_id} | (yield from _meant(identifier.removeprefix(NEGATIVE)))


def inherit(parent_id: int, children: Iterable[int]) -> Work[None]:
    """Give new mailboxes the entries of the one they are below."""
    for child in children:
        yield sql.copy_entries(source_id=parent_id, target_id=child)


def _meant(identifier: str) -> Work[set[int]]:
    """Return the accounts that an identifier means, some of them if there are very many."""
    if identifier == ANYONE:
        rows = yield sql.everyone(most=MAX_TOLD)
    elif identifier.startswith("@"):
        rows = yield sql.of_domain(domain=identifier[1:], most=MAX_TOLD)
    else:
        rows = yield sql.behind(address=identifier, most=MAX_TOLD)
    return {row["id"] for row in rows}


def _changed(held: str, change: Change, rights: str) -> str:
    match change:
        case Change.REPLACE:
            return canonical(rights)
        case Change.ADD:
            return canonical(held + rights)
        case Change.REMOVE:
            return canonical(set(held) - set(rights))


def _rights_now(user: User, mailbox_id: int) -> Work[str]:
    mailbox = yield from find_by_id(mailbox_id)
    return (yield from rights_in(user, mailbox))


def _owner(address: str) -> Work[int]:
    rows = yield sql.owner(address=address)
    if not rows:
        raise NoSuchMailbox("There is no such mailbox")
    return int(rows[0]["id"])


def _address(account_id: int) -> Work[str]:
    rows = yield sql.owner_of(account_id=account_id)
    return str(rows[0]["address"]) if rows else ""
