"""Annotations of mailboxes, shared or each account's own, and each account's own of the server (RFC 5464)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.db import Database, Rows, Work, load
from shared.imap.metadata import SPECIAL_USE_ENTRY, is_private
from shared.mailbox.errors import MailboxError
from shared.mailbox.mailbox import Mailbox, lock
from shared.mailbox.mailbox import sql as mailbox_sql

MAX_VALUE = 64 * 1024  # octets
MAX_ENTRIES = 100  # of a mailbox or the server, shared or of one account
MAX_TOTAL = 8 * 1024 * 1024  # octets of all values in an account's mailboxes
REMEMBERED = 3600 * 1_000_000  # microseconds in which a removed entry is kept for who asks what has changed
SHARED_ACCOUNT = 0  # whose the shared entries are

sql = load("metadata")


class ValueTooLarge(MailboxError):
    """A value has more than MAX_VALUE octets."""

    code = f"METADATA MAXSIZE {MAX_VALUE}"


class TooManyEntries(MailboxError):
    """There would be more than MAX_ENTRIES, or more than MAX_TOTAL octets in all."""

    code = "METADATA TOOMANY"


Values = Mapping[str, bytes | None]
"""New values by entry; None removes it."""


@dataclass(frozen=True, slots=True)
class Changed:
    """An entry that changed: of a mailbox by its owner's name for it, or of the server with the name ""."""

    mailbox: str
    entry: str
    at: int  # microseconds


class Metadata:
    """The annotations of all mailboxes; one per process. `clock` gives Unix seconds."""

    def __init__(
        self, database: Database, announce: Callable[[Iterable[int]], None], *, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._announce = announce
        self._clock = clock

    async def of_mailboxes(
        self, account_id: int, mailboxes: Sequence[Mailbox], entries: Sequence[str] | None = None
    ) -> dict[int, dict[str, bytes]]:
        """Return the entries (all, or some) of mailboxes that an account sees, by the mailbox's id and the name."""
        return await self._database.read(_of_mailboxes, account_id, mailboxes, entries)

    async def of_server(self, account_id: int) -> dict[str, bytes]:
        """Return an account's own entries of the server."""
        return await self._database.read(_of_server, account_id)

    async def set_of_mailbox(self, account_id: int, mailbox: Mailbox, values: Values, uses: str | None) -> int:
        """Change entries of a mailbox, all or none, and return when (µs); ValueTooLarge, TooManyEntries, NoSuchMailbox.

        `uses` is its new special use, None to leave that.
        """
        now = int(self._clock() * 1_000_000)
        stamp = await self._database.write(_set_of_mailbox, account_id, mailbox, values, uses, now)
        self._announce((mailbox.account_id,))
        return stamp

    async def set_of_server(self, account_id: int, values: Values) -> int:
        """Change an account's own entries of the server, all or none, and return when (µs); errors as before."""
        stamp = await self._database.write(_set_of_server, account_id, values, int(self._clock() * 1_000_000))
        self._announce((account_id,))
        return stamp

    async def changed(self, account_id: int, since: int) -> list[Changed]:
        """Return the entries of an account's own mailboxes, and of the server, that changed after `since` (µs)."""
        return await self._database.read(_changed, account_id, since)

    async def changed_in(self, account_id: int, since: Mapping[int, int]) -> list[tuple[int, str, int]]:
        """Return (mailbox id, entry, µs) of what an account may see in mailboxes and changed after each one's `since`.

        Each mailbox has a moment of its own, because clocks of accounts go each by itself.
        """
        return await self._database.read(_changed_in, account_id, since) if since else []


def copy_all(source_id: int, target_id: int) -> Work[None]:
    """Give a new mailbox the entries of another one (RENAME of INBOX, RFC 5464 §4.1)."""
    yield sql.copy_all(source_id=source_id, target_id=target_id)


def _of_mailboxes(
    account_id: int, mailboxes: Sequence[Mailbox], entries: Sequence[str] | None
) -> Work[dict[int, dict[str, bytes]]]:
    found: dict[int, dict[str, bytes]] = {mailbox.id: {} for mailbox in mailboxes}
    which: dict[str, Any] = {"mailboxes": sorted(found), "accounts": [SHARED_ACCOUNT, account_id]}
    if found:
        query = sql.of_mailboxes(**which) if entries is None else sql.some_of_mailboxes(**which, entries=list(entries))
        for row in (yield query):
            found[row[0]][row[1]] = bytes(row[2])
    for mailbox in mailboxes:
        if mailbox.special_use and mailbox.account_id == account_id:
            found[mailbox.id][SPECIAL_USE_ENTRY] = mailbox.special_use.encode("ascii")
    return found


def _of_server(account_id: int) -> Work[dict[str, bytes]]:
    rows = yield sql.of_account(account_id=account_id)
    return {row[0]: bytes(row[1]) for row in rows}


def _set_of_mailbox(account_id: int, mailbox: Mailbox, values: Values, uses: str | None, now: int) -> Work[int]:
    _check_values(values)
    stamp, mailbox_id = (yield from _stamp(mailbox.account_id, now)), mailbox.id
    yield from lock(mailbox_id)
    for whose in (SHARED_ACCOUNT, account_id):
        part = {entry: value for entry, value in values.items() if is_private(entry) == (whose == account_id)}
        if not part:
            continue
        rows: Rows = yield sql.of_mailboxes(mailboxes=[mailbox_id], accounts=[whose])
        _check_number((row[1] for row in rows), part)
        before = now - REMEMBERED
        yield sql.drop_removed_of_mailbox(mailbox_id=mailbox_id, account_id=whose, before=before)
        yield sql.set_of_mailbox(rows=[(mailbox_id, whose, entry, value, stamp) for entry, value in part.items()])
    if uses is not None:
        yield mailbox_sql.set_special_use(id=mailbox_id, special_use=uses)
    total = yield sql.total(account_id=mailbox.account_id)
    if total[0]["size"] > MAX_TOTAL:
        raise TooManyEntries("The annotations of the account's mailboxes would take too much room")
    return stamp


def _set_of_server(account_id: int, values: Values, now: int) -> Work[int]:
    _check_values(values)
    stamp = yield from _stamp(account_id, now)
    rows = yield sql.of_account(account_id=account_id)
    _check_number((row[0] for row in rows), values)
    yield sql.drop_removed_of_account(account_id=account_id, before=now - REMEMBERED)
    yield sql.set_of_account(rows=[(account_id, entry, value, stamp) for entry, value in values.items()])
    return stamp


def _stamp(account_id: int, now: int) -> Work[int]:
    """Lock an account; return when its next change of annotations is: after all others, whatever clocks say."""
    yield mailbox_sql.lock_account(account_id=account_id)
    rows = yield sql.latest(account_id=account_id)
    return max([now, *(int(row["latest"]) + 1 for row in rows if row["latest"] is not None)])


def _changed(account_id: int, since: int) -> Work[list[Changed]]:
    of_server = yield sql.changed_of_account(account_id=account_id, since=since)
    found = [Changed("", row[0], row[1]) for row in of_server]
    rows = yield sql.changed_in(account_id=account_id, accounts=[SHARED_ACCOUNT, account_id], since=since)
    return found + [Changed(*row) for row in map(tuple, rows)]


def _changed_in(account_id: int, since: Mapping[int, int]) -> Work[list[tuple[int, str, int]]]:
    accounts, mailboxes = [SHARED_ACCOUNT, account_id], sorted(since)
    rows = yield sql.changed_in_some(mailboxes=mailboxes, accounts=accounts, since=min(since.values()))
    return [(row[0], row[1], row[2]) for row in rows if row[2] > since[row[0]]]


def _check_values(values: Values) -> None:
    if any(value is not None and len(value) > MAX_VALUE for value in values.values()):
        raise ValueTooLarge(f"A value has at most {MAX_VALUE} octets")


def _check_number(present: Iterable[str], values: Values) -> None:
    remaining = set(present) - {entry for entry, value in values.items() if value is None}
    if len(remaining | {entry for entry, value in values.items() if value is not None}) > MAX_ENTRIES:
        raise TooManyEntries(f"There can be at most {MAX_ENTRIES} entries")
