"""Mailboxes of an account: create, rename, delete, list, subscribe, status (RFC 3501 §6.3).

Names are canonical: UTF-8, INBOX in upper case, `/` between levels, checked by
`shared.imap.mailbox_name.check_new_name` where a client chose them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from shared.db import Database, Rows, Work
from shared.imap.acl import ALL_RIGHTS
from shared.imap.mailbox_name import INBOX, SEPARATOR, normal, parents, shared_name, split_shared
from shared.mailbox import acl, metadata, transfer, usage
from shared.mailbox.errors import HasChildren, LimitReached, MailboxExists, NoSuchMailbox, NotAllowed
from shared.mailbox.mailbox import Mailbox, find, find_by_id, lock, sql

MAX_MAILBOXES = 10_000  # of one account
MAX_SUBSCRIPTIONS = 20_000  # of one account

DEFAULT_MAILBOXES = {
    INBOX: "",
    "Drafts": "\\Drafts",
    "Sent": "\\Sent",
    "Junk": "\\Junk",
    "Trash": "\\Trash",
    "Archive": "\\Archive",
}
"""Name and special use (RFC 6154) of what an account begins with."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A name as its user sees it; `mailbox` is None for one that only is a parent, or subscribed (\\Noselect)."""

    name: str
    mailbox: Mailbox | None
    has_children: bool
    subscribed: bool
    rights: str = ALL_RIGHTS

    @property
    def exists(self) -> bool:
        """Whether there is such a mailbox."""
        return self.mailbox is not None

    @property
    def selectable(self) -> bool:
        """Whether it can be selected."""
        return self.mailbox is not None and "r" in self.rights

    @property
    def special_use(self) -> str:
        """The user's own uses of it, space-joined: those of another account mean nothing to others."""
        return self.mailbox.special_use if self.mailbox is not None and self.rights == ALL_RIGHTS else ""


def _nobody(account_ids: Iterable[int]) -> None:
    """Announce to nobody: for tools and tests."""


class Mailboxes:
    """The mailboxes of all accounts; one per process. `clock` gives Unix seconds.

    `announce` is told the account of each change after its commit (see shared.mailbox.watch.Announcer).
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
        announce: Callable[[Iterable[int]], None] = _nobody,
    ) -> None:
        self._database = database
        self._clock = clock
        self._announce = announce

    async def get(self, account_id: int, name: str) -> Mailbox:
        """Return a mailbox as it is now (SELECT, STATUS); NoSuchMailbox."""
        rows = await self._database.query(sql.mailbox_by_name(account_id=account_id, name=name))
        return Mailbox.from_row(rows[0]) if rows else await self._database.read(find, account_id, name)

    async def get_by_id(self, mailbox_id: int) -> Mailbox:
        """Return a mailbox by its id; NoSuchMailbox once it is deleted."""
        return await self._database.read(find_by_id, mailbox_id)

    async def listing(self, account_id: int) -> list[Listed]:
        """Return all names sorted, with those that are only parents; patterns are the caller's."""
        return await self._database.read(list_mailboxes, account_id)

    async def listing_for(self, user: acl.User) -> list[Listed]:
        """Return the names that an account sees, sorted: its own, what others share with it, and subscriptions."""
        return await self._database.read(list_for, user)

    async def deleted_size(self, mailbox_id: int) -> int:
        r"""Return how many octets the messages have that are flagged \Deleted (RFC 9208 §4.1.4)."""
        return await self._database.scan(_deleted_size, mailbox_id)

    async def unclaimed(self, mailbox: Mailbox) -> int:
        r"""Return how many messages there are that would be \Recent in the next session (RFC 3501 §6.3.10)."""
        return await self._database.scan(_unclaimed, mailbox.id, mailbox.claimed)

    async def subscriptions(self, account_id: int) -> list[str]:
        """Return the subscribed names, existing or not (LSUB)."""
        return await self._database.read(_subscriptions, account_id)

    async def subscribe(self, account_id: int, name: str) -> None:
        """Subscribe to a name, whether or not it exists; LimitReached."""
        await self._database.write(_subscribe, account_id, name)
        self._announce((account_id,))

    async def unsubscribe(self, account_id: int, name: str) -> None:
        """End a subscription; harmless if there is none."""
        await self._database.write(_unsubscribe, account_id, name)
        self._announce((account_id,))

    async def create(self, account_id: int, name: str, *, special_use: str = "") -> Mailbox:
        """Create a mailbox and the parents it lacks; MailboxExists, LimitReached."""
        created = await self._database.write(create, account_id, name, self._now(), special_use)
        self._announce((account_id,))
        return created

    async def rename(self, account_id: int, old: str, new: str) -> None:
        """Rename with all children; INBOX gives its messages to the new mailbox and stays (RFC 3501 §6.3.5).

        NoSuchMailbox, MailboxExists, NotAllowed, LimitReached.
        """
        await self._database.write(rename, account_id, old, new, self._now())
        self._announce((account_id,))

    async def delete(self, account_id: int, name: str) -> None:
        """Delete a mailbox with its messages, children stay; NoSuchMailbox, HasChildren, NotAllowed."""
        await self._database.write(delete, account_id, name)
        self._announce((account_id,))

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)


# Work: parts of transactions


def create_default_mailboxes(account_id: int, now: int) -> Work[None]:
    """Give a new account its mailboxes, subscribed; `now` in microseconds."""
    first = yield from _reserve_uidvalidities(account_id, now, len(DEFAULT_MAILBOXES))
    for number, (name, use) in enumerate(DEFAULT_MAILBOXES.items()):
        yield sql.insert_mailbox(account_id=account_id, name=name, uidvalidity=first + number, special_use=use, now=now)
        yield sql.subscribe(account_id=account_id, name=name)


def list_mailboxes(account_id: int) -> Work[list[Listed]]:
    """Return all names sorted, with those that are only parents."""
    rows = yield sql.mailboxes(account_id=account_id)
    subscribed = set((yield from _subscriptions(account_id)))
    existing = {row["name"]: Mailbox.from_row(row) for row in rows}
    superior = {parent for name in existing for parent in parents(name)}
    return [
        Listed(name, existing.get(name), name in superior, name in subscribed)
        for name in sorted(existing.keys() | superior)
    ]


def list_for(user: acl.User) -> Work[list[Listed]]:
    """Return the names that an account sees: its own, what others share with it, and subscriptions."""
    rows = yield sql.mailboxes(account_id=user.id)
    told = yield acl.sql.subscriptions_and_grants(account_id=user.id, **acl.identifiers(user.address))
    subscribed = {row[1] for row in told if not row[0]}
    grants = [row for row in told if row[0]]
    found = {row["name"]: (Mailbox.from_row(row), ALL_RIGHTS) for row in rows}
    if grants:
        for access in (yield from acl.visible(user, grants)):
            found[shared_name(access.owner, access.mailbox.name)] = (access.mailbox, access.rights)
    superior = {parent for name in found for parent in parents(name)}
    names = found.keys() | superior | subscribed
    names |= {parent for name in subscribed for parent in parents(name)}
    nothing = (None, ALL_RIGHTS)
    return [
        Listed(name, mailbox, name in superior, name in subscribed, rights)
        for name in sorted(names)
        for mailbox, rights in (found.get(name, nothing),)
    ]


def create(account_id: int, name: str, now: int, special_use: str = "") -> Work[Mailbox]:
    """Create a mailbox and the parents it lacks; `now` in microseconds."""
    if split_shared(name) is not None:
        raise NotAllowed("That name is kept for mailboxes of others")
    yield sql.lock_account(account_id=account_id)
    existing = yield from _names(account_id)
    if name in existing:
        raise MailboxExists("The mailbox exists already")
    return (yield from _create_missing(account_id, existing, name, now, special_use))


def rename(account_id: int, old: str, new: str, now: int) -> Work[None]:
    """Rename a mailbox and its children; `now` in microseconds."""
    yield sql.lock_account(account_id=account_id)
    existing = yield from _names(account_id)
    old = old if old in existing else normal(old)
    if new in existing:
        raise MailboxExists("The new name is taken")
    if split_shared(new) is not None:
        raise NotAllowed("That name is kept for mailboxes of others")
    if new.startswith(old + SEPARATOR) and old != INBOX:
        raise NotAllowed("A mailbox can't be moved below itself")
    if old == INBOX:
        target = yield from _create_missing(account_id, existing, new, now)
        yield from transfer.move_all(account_id, existing[INBOX], target.id, now)
        yield from metadata.copy_all(existing[INBOX], target.id)
    else:
        yield from _rename_tree(account_id, existing, old, new, now)


def delete(account_id: int, name: str) -> Work[None]:
    """Delete a mailbox with its messages."""
    if name == INBOX:
        raise NotAllowed("INBOX can't be deleted")
    yield sql.lock_account(account_id=account_id)
    existing = yield from _names(account_id)
    name = name if name in existing else normal(name)
    if name not in existing:
        if any(other.startswith(name + SEPARATOR) for other in existing):
            raise HasChildren("The name has only mailboxes below it")
        raise NoSuchMailbox("There is no such mailbox")
    mailbox = (yield from lock(existing[name]))[existing[name]]
    yield from usage.give_back(account_id, mailbox.bytes, mailbox.messages)
    for step in (sql.delete_messages, sql.delete_keywords, sql.delete_mailbox):
        yield step(id=mailbox.id)


def _rename_tree(account_id: int, existing: dict[str, int], old: str, new: str, now: int) -> Work[None]:
    below = old + SEPARATOR
    moved = {name: new + name[len(old) :] for name in existing if name == old or name.startswith(below)}
    if not moved:
        raise NoSuchMailbox("There is no such mailbox")
    if any(name in existing for name in moved.values()):
        raise MailboxExists("A mailbox below the new name exists already")
    superior = parents(new)
    if superior and superior[-1] not in existing:
        yield from _create_missing(account_id, existing, superior[-1], now)
    yield sql.rename_mailbox.many([{"id": existing[name], "name": name_} for name, name_ in moved.items()])


def _create_missing(
    account_id: int, existing: dict[str, int], name: str, now: int, special_use: str = ""
) -> Work[Mailbox]:
    missing = [parent for parent in parents(name) if parent not in existing]
    if len(existing) + len(missing) >= MAX_MAILBOXES:
        raise LimitReached("The account has too many mailboxes")
    first = yield from _reserve_uidvalidities(account_id, now, len(missing) + 1)
    made: Rows = []
    for number, parent in enumerate(missing, 1):
        made += yield sql.insert_mailbox(
            account_id=account_id, name=parent, uidvalidity=first + number, special_use="", now=now
        )
    made += yield sql.insert_mailbox(
        account_id=account_id, name=name, uidvalidity=first, special_use=special_use, now=now
    )
    superior = [existing[parent] for parent in parents(name) if parent in existing]
    if superior:
        yield from acl.inherit(superior[-1], (row["id"] for row in made))
    return Mailbox.from_row(made[-1])


def _reserve_uidvalidities(account_id: int, now: int, count: int) -> Work[int]:
    """Return the first of `count` values that no mailbox of the account ever had."""
    rows = yield sql.reserve_uidvalidities(account_id=account_id, now=now // 1_000_000, count=count)
    return int(rows[0]["uidvalidity"]) - count + 1 if rows else 1


def _deleted_size(mailbox_id: int) -> Work[int]:
    rows = yield sql.deleted_size(id=mailbox_id)
    return int(rows[0]["size"])


def _unclaimed(mailbox_id: int, claimed: int) -> Work[int]:
    rows = yield sql.unclaimed(id=mailbox_id, claimed=claimed)
    return int(rows[0]["messages"])


def _names(account_id: int) -> Work[dict[str, int]]:
    rows = yield sql.mailboxes(account_id=account_id)
    return {row["name"]: row["id"] for row in rows}


def _subscriptions(account_id: int) -> Work[list[str]]:
    rows = yield sql.subscriptions(account_id=account_id)
    return [row["name"] for row in rows]


def _subscribe(account_id: int, name: str) -> Work[None]:
    yield sql.lock_account(account_id=account_id)
    names = yield from _subscriptions(account_id)
    if len(names) >= MAX_SUBSCRIPTIONS:
        raise LimitReached("Too many subscriptions")
    yield sql.subscribe(account_id=account_id, name=name)


def _unsubscribe(account_id: int, name: str) -> Work[None]:
    yield sql.unsubscribe(account_id=account_id, name=name)
