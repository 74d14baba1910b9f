"""What an account uses of its quota, kept in the transactions that change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from shared.db import Work, load
from shared.mailbox.errors import NoSuchMailbox, OverQuota

sql = load("usage")


@dataclass(frozen=True, slots=True)
class Usage:
    """An account's quota and use; a quota of 0 is no limit."""

    quota_bytes: int
    used_bytes: int
    used_messages: int
    quota_messages: int = 0


@dataclass(slots=True)
class Room:
    """A locked account in a batch: its free room, infinite without a quota, and what the batch takes of it."""

    free: float  # octets
    places: float  # messages
    bytes: int = 0
    messages: int = 0

    @classmethod
    def from_row(cls, row: Any) -> Room:
        """Read a row of `lock_accounts` of deliver.sql."""
        quota, most = row["quota_bytes"], row["quota_messages"]
        return cls(
            quota - row["used_bytes"] if quota else float("inf"), most - row["used_messages"] if most else float("inf")
        )

    def fits(self, size: int) -> bool:
        """Say whether there is room for one more message."""
        return size <= self.free and self.places >= 1

    def take(self, size: int) -> bool:
        """Take room for a message; False if there isn't enough."""
        if not self.fits(size):
            return False
        self._add(size, 1)
        return True

    def put_back(self, size: int) -> None:
        """Give back the room of a message that was taken for it."""
        self._add(-size, -1)

    def _add(self, size: int, messages: int) -> None:
        self.free -= size
        self.places -= messages
        self.bytes += size
        self.messages += messages


def charge(account_id: int, size: int, messages: int) -> Work[None]:
    """Take room for messages, locking the account; OverQuota if there isn't enough."""
    rows = yield sql.charge(account_id=account_id, bytes=size, messages=messages)
    if not rows:
        raise OverQuota("There is not enough room in the account")


def give_back(account_id: int, size: int, messages: int) -> Work[None]:
    """Free the room of messages that are expunged, locking the account."""
    yield sql.give_back(account_id=account_id, bytes=size, messages=messages)


def usage_of(account_id: int) -> Work[Usage]:
    """Return an account's quota and use."""
    rows = yield sql.quota(account_id=account_id)
    if not rows:
        raise NoSuchMailbox("There is no such account")
    return Usage(*rows[0])
