"""A mailbox's row, and the one way to lock it: accounts first, then mailboxes in order of id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared.db import Work, load
from shared.imap.mailbox_name import normal
from shared.mailbox.errors import NoSuchMailbox

sql = load("mailboxes")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox's row: all that SELECT and STATUS tell."""

    id: int
    account_id: int
    name: str
    uidvalidity: int
    uidnext: int
    modseq: int  # HIGHESTMODSEQ
    messages: int
    unseen: int
    deleted: int  # flagged \Deleted
    bytes: int
    special_use: str  # "\\Sent" or ""
    expunge_modseq: int  # expunges up to this one are no longer remembered
    claimed: int = 0  # UIDs up to this one aren't \Recent any more, but in the session that claimed them

    @property
    def object_id(self) -> str:
        """The lasting name that a rename doesn't change, nor is it given again (RFC 8474)."""
        return f"F{self.id}-{self.uidvalidity}"

    @classmethod
    def from_row(cls, row: Any) -> Mailbox:
        """Read any row that `SELECT id, account_id, …` of mailboxes.sql gives."""
        return cls(*row)


def find(account_id: int, name: str) -> Work[Mailbox]:
    """Return a mailbox by name, or else by the name's normal form; NoSuchMailbox."""
    rows = yield sql.mailbox_by_name(account_id=account_id, name=name)
    if not rows and (other := normal(name)) != name:
        rows = yield sql.mailbox_by_name(account_id=account_id, name=other)
    if not rows:
        raise NoSuchMailbox("There is no such mailbox")
    return Mailbox.from_row(rows[0])


def find_by_id(mailbox_id: int) -> Work[Mailbox]:
    """Return a mailbox by id; NoSuchMailbox."""
    rows = yield sql.mailbox_by_id(id=mailbox_id)
    if not rows:
        raise NoSuchMailbox("The mailbox was deleted")
    return Mailbox.from_row(rows[0])


def lock(*mailbox_ids: int) -> Work[dict[int, Mailbox]]:
    """Lock mailboxes in order of id, after the accounts; NoSuchMailbox if one is gone."""
    rows = yield sql.lock_mailboxes(ids=sorted(set(mailbox_ids)))
    locked = {row["id"]: Mailbox.from_row(row) for row in rows}
    if len(locked) != len(set(mailbox_ids)):
        raise NoSuchMailbox("The mailbox was deleted")
    return locked


def next_modseq(last: int, now: int) -> int:
    """Return the mod-sequence of a change at `now` (microseconds): never one that was given before."""
    return max(last + 1, now)
