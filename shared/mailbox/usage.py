"""What an account uses of its quota, kept in the transactions that change it."""

from __future__ import annotations

from dataclasses import dataclass

from shared.db import Work, load
from shared.mailbox.errors import NoSuchMailbox, OverQuota

sql = load("usage")


@dataclass(frozen=True, slots=True)
class Usage:
    """An account's quota and use; `quota_bytes` 0 is no limit."""

    quota_bytes: int
    used_bytes: int
    used_messages: int


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
