"""The messages of a mailbox, as IMAP, POP3 and webmail sessions use them.

async for rows in messages.fetch_rows(mailbox.id, ranges, Want.ENVELOPE):
    for uid, flags, modseq, internal_date, size, envelope in rows: ...
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from shared.db import Database, Rows, Work
from shared.imap.flags import FlagSet, Keywords
from shared.imap.sequence import Range, count, iterate, subtract
from shared.journal.reference import Reference
from shared.mailbox import transfer, usage
from shared.mailbox.appending import Appended, Appender, NewMessage, append_all, replace
from shared.mailbox.blobs import NewBlob, sql
from shared.mailbox.errors import NoSuchMailbox
from shared.mailbox.flags import ALL_FLAGS, FlagChange, StoreMode, changes_nothing, find_unchanged, store
from shared.mailbox.keywords import keywords_of
from shared.mailbox.keywords import sql as flag_sql
from shared.mailbox.mailbox import Mailbox, find, find_by_id
from shared.mailbox.mailbox import sql as mailbox_sql
from shared.mailbox.rows import Fetched, Want, fetch_rows
from shared.mailbox.transfer import Expunged, Transferred
from shared.mailbox.usage import Usage
from shared.message.rendered import Rendered

__all__ = [
    "Appended",
    "Changes",
    "Difference",
    "Expunged",
    "FlagChange",
    "Messages",
    "Selected",
    "StoreMode",
    "Transferred",
    "Want",
]

ALL: tuple[Range, ...] = ((1, transfer.MAX_UID),)
SMALL_MAILBOX = 1_000  # messages, in which the first unseen one is found in well under a millisecond
FEW = 32  # messages whose flags are looked at first: who changes nothing needs no turn to write


@dataclass(frozen=True, slots=True)
class Difference:
    """UIDs of messages that changed after a mod-sequence, and of those that went.

    If `is_exact` is False expunges since then have been forgotten: `vanished` then has every UID below
    UIDNEXT that isn't there (RFC 7162 §3.2.5.1).
    """

    changed: tuple[Range, ...]
    vanished: tuple[Range, ...]
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Selected:
    """A mailbox in one snapshot: what SELECT tells, and the UIDs for the session's view."""

    mailbox: Mailbox
    keywords: Keywords
    uids: tuple[Range, ...]
    first_unseen: int  # UID, 0 if all are seen
    difference: Difference | None = None  # from the mod-sequence that was asked about


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since a mod-sequence, in one snapshot with the mailbox's `modseq`.

    `rows` are (uid, flags, modseq, expunged_at) by ascending UID; a row is new to a session that
    doesn't know its UID, and gone when `expunged_at` isn't None. If `is_complete` is False, expunges
    since then have been forgotten: whatever isn't in the mailbox now is gone (take `select` again).
    """

    modseq: int
    keywords: Keywords | None  # None if nothing changed
    rows: Rows
    is_complete: bool
    claimed: int = 0  # the mailbox's


def _nobody(account_ids: Iterable[int]) -> None:
    """Announce to nobody: for tools and tests."""


class Messages:
    """The messages of all mailboxes; one per process. `clock` gives Unix seconds.

    `announce` is told the account of each change after its commit (see shared.mailbox.watch.Announcer).

    Ranges are sorted, disjoint UID ranges; UIDs without a message are passed over. Every method raises
    NoSuchMailbox once the mailbox is deleted and DatabaseUnavailable when SQL is away.
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
        self._appender = Appender(database, self._now)

    # Reading

    async def open(self, account_id: int, name: str, *, since: int | None = None) -> Selected:
        """Return what a session begins with, in one snapshot; the difference from `since` if it is given."""
        found = await self._database.read(_open_small, account_id, name, since)
        return found if isinstance(found, Selected) else await self.select(found.id, since=since)

    async def select(self, mailbox_id: int, *, since: int | None = None) -> Selected:
        """Return a mailbox as it is now, in one snapshot."""
        return await self._database.scan(_select, mailbox_id, since)

    async def difference(self, mailbox_id: int, since: int) -> Difference:
        """Return which messages changed, and which went, after mod-sequence `since`."""
        return await self._database.scan(_difference_of, mailbox_id, since)

    async def changes(self, mailbox_id: int, since: int) -> Changes:
        """Return what changed after mod-sequence `since` (the last `changes` or `select` had)."""
        rows = await self._database.query(mailbox_sql.modseq_of(id=mailbox_id))
        if not rows:
            raise NoSuchMailbox("The mailbox was deleted")
        if rows[0][0] <= since:
            return Changes(rows[0][0], None, [], True)
        return await self._database.read(_changes, mailbox_id, since)

    async def keywords(self, mailbox_id: int) -> Keywords:
        """Return a mailbox's keywords as they are now."""
        return await self._database.read(keywords_of, mailbox_id)

    def fetch_rows(self, mailbox_id: int, ranges: Iterable[Range], want: Want = Want.BASE) -> Fetched:
        """Yield lists of rows by ascending UID; see shared.mailbox.rows for their columns."""
        return fetch_rows(self._database, mailbox_id, ranges, want)

    async def usage(self, account_id: int) -> Usage:
        """Return an account's quota and use."""
        return await self._database.read(usage.usage_of, account_id)

    # Changing

    async def store_flags(
        self,
        account_id: int,
        mailbox_id: int,
        ranges: Iterable[Range],
        mode: StoreMode,
        flags: FlagSet,
        *,
        unchanged_since: int | None = None,
        known: int | None = None,
        settable: int = ALL_FLAGS,
    ) -> FlagChange:
        """Add, remove or replace flags, learning new keywords; LimitReached. Only `settable` ones change.

        It isn't fsynced (DESIGN §7). Messages that had these flags already keep their mod-sequence; those
        with one above `unchanged_since` are left alone. `known`: tell which had one above that.
        """
        ranges, limits = tuple(ranges), (unchanged_since, known, settable)
        if not flags.keywords and 0 < count(ranges) <= FEW:
            uids = tuple(iterate(ranges))
            rows = await self._database.query(flag_sql.flags_in(mailbox_id=mailbox_id, uids=uids))
            if changes_nothing(rows, mode, flags.system, settable):
                unchanged = await self._database.read(find_unchanged, mailbox_id, uids, mode, flags.system, *limits)
                if unchanged is not None:
                    return unchanged
        done = await self._database.write_relaxed(store, mailbox_id, ranges, mode, flags, self._now(), *limits)
        self._announce((account_id,))
        return done

    async def claim(self, mailbox_id: int, last: int) -> tuple[Range, ...]:
        r"""Return the UIDs up to `last` that no session had claimed: they are \Recent in this one (RFC 3501 §2.3.2).

        It isn't fsynced: after a crash they may be so in another one.
        """
        return await self._database.write_relaxed(_claim, mailbox_id, last)

    async def copy(
        self,
        account_id: int,
        source_id: int,
        ranges: Iterable[Range],
        target_id: int,
        *,
        target_account_id: int | None = None,
        settable: int = ALL_FLAGS,
    ) -> Transferred:
        """Copy messages, within an account or to another one's mailbox; OverQuota, LimitReached (keywords).

        The target's account is charged. Copies have only those flags that are `settable` (RFC 4314 §4).
        """
        route = transfer.Route(source_id, target_id, account_id, target_account_id or account_id, settable)
        done = await self._database.write(transfer.copy, route, tuple(ranges), self._now())
        self._announce({route.target_account_id})
        return done

    async def move(
        self,
        account_id: int,
        source_id: int,
        ranges: Iterable[Range],
        target_id: int,
        *,
        target_account_id: int | None = None,
        settable: int = ALL_FLAGS,
    ) -> Transferred:
        """Move messages in one step, else as `copy`; OverQuota only between accounts."""
        route = transfer.Route(source_id, target_id, account_id, target_account_id or account_id, settable)
        done = await self._database.write(transfer.move, route, tuple(ranges), self._now())
        self._announce({account_id, route.target_account_id})
        return done

    async def expunge(self, account_id: int, mailbox_id: int, ranges: Iterable[Range] = ALL) -> Expunged:
        r"""Expunge the messages among `ranges` that are flagged \Deleted (EXPUNGE, UID EXPUNGE, CLOSE)."""
        rows = await self._database.query(mailbox_sql.deleted_of(id=mailbox_id))
        if rows and not rows[0]["deleted"]:  # as most often when a client closes a mailbox
            return Expunged((), rows[0]["modseq"])
        done = await self._database.write(transfer.expunge, account_id, mailbox_id, tuple(ranges), self._now())
        self._announce((account_id,))
        return done

    async def remove(self, account_id: int, mailbox_id: int, ranges: Iterable[Range]) -> Expunged:
        """Expunge messages whatever their flags (POP3's QUIT after DELE)."""
        done = await self._database.write(transfer.remove, account_id, mailbox_id, tuple(ranges), self._now())
        self._announce((account_id,))
        return done

    async def append(
        self,
        account_id: int,
        mailbox_id: int,
        entry: str,
        reference: Reference,
        rendered: Rendered,
        flags: FlagSet,
        internal_date: int,
    ) -> Appended:
        """Add a message that the caller appended to the journal as `entry` (Kind.APPEND, no recipients).

        `internal_date` in Unix seconds. OverQuota, LimitReached, SegmentRewritten (append the bytes again).
        """
        blob = NewBlob(entry, reference, rendered)
        return await self.append_message(NewMessage(account_id, mailbox_id, blob, flags, internal_date))

    async def append_message(self, message: NewMessage) -> Appended:
        """The same; NoSuchMailbox too if the mailbox isn't called `message.mailbox_name` any more."""
        done = await self._appender.append(message)
        self._announce((message.account_id,))
        return done

    async def append_all(self, messages: Sequence[NewMessage]) -> list[Appended]:
        """Add all messages, which may be of several mailboxes, or none (RFC 3502); errors as of `append`."""
        done = await self._database.write(append_all, messages, self._now())
        self._announce({message.account_id for message in messages})
        return done

    async def replace(self, message: NewMessage, account_id: int, mailbox_id: int, uid: int) -> Appended:
        """Add a message and expunge another one in one step (RFC 8508); errors as of `append`, MessageGone."""
        done = await self._database.write(replace, message, account_id, mailbox_id, uid, self._now())
        self._announce({message.account_id, account_id})
        return done

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)


def _open_small(account_id: int, name: str, since: int | None) -> Work[Selected | Mailbox]:
    """Return only the mailbox if looking through its messages would take too long here."""
    mailbox = yield from find(account_id, name)
    if mailbox.messages > SMALL_MAILBOX:
        return mailbox
    return (yield from _selected(mailbox, since))


def _select(mailbox_id: int, since: int | None) -> Work[Selected]:
    mailbox = yield from find_by_id(mailbox_id)
    return (yield from _selected(mailbox, since))


def _selected(mailbox: Mailbox, since: int | None) -> Work[Selected]:
    keywords = yield from keywords_of(mailbox.id)
    uids = yield from _uid_ranges(mailbox)
    first_unseen = 0
    if mailbox.unseen:
        rows = yield sql.first_unseen(mailbox_id=mailbox.id)
        first_unseen = rows[0]["uid"] if rows else 0
    difference = None
    if since is not None:
        difference = yield from _difference(mailbox, since, uids)
    return Selected(mailbox, keywords, uids, first_unseen, difference)


def _claim(mailbox_id: int, last: int) -> Work[tuple[Range, ...]]:
    rows = yield mailbox_sql.claimed_of(id=mailbox_id)
    claimed = rows[0]["claimed"] if rows else last
    if claimed >= last:
        return ()
    yield mailbox_sql.claim(id=mailbox_id, last=last)
    return ((claimed + 1, last),)


def _difference_of(mailbox_id: int, since: int) -> Work[Difference]:
    mailbox = yield from find_by_id(mailbox_id)
    forgotten = since < mailbox.expunge_modseq
    uids = (yield from _uid_ranges(mailbox)) if forgotten else ()
    return (yield from _difference(mailbox, since, uids))


def _difference(mailbox: Mailbox, since: int, uids: tuple[Range, ...]) -> Work[Difference]:
    if mailbox.modseq <= since:
        return Difference((), (), True)
    rows = yield sql.changed_runs(mailbox_id=mailbox.id, since=since)
    changed = tuple((row["low"], row["high"]) for row in rows if not row["gone"])
    if since < mailbox.expunge_modseq:
        return Difference(changed, subtract(((1, mailbox.uidnext - 1),), uids), False)
    return Difference(changed, tuple((row["low"], row["high"]) for row in rows if row["gone"]), True)


def _uid_ranges(mailbox: Mailbox) -> Work[tuple[Range, ...]]:
    if not mailbox.messages:
        return ()
    first = (yield sql.first_uid(mailbox_id=mailbox.id))[0]["uid"]
    last = (yield sql.last_uid(mailbox_id=mailbox.id))[0]["uid"]
    if last - first + 1 == mailbox.messages:
        return ((first, last),)
    rows = yield sql.uid_ranges(mailbox_id=mailbox.id)
    return tuple((row["low"], row["high"]) for row in rows)


def _changes(mailbox_id: int, since: int) -> Work[Changes]:
    mailbox = yield from find_by_id(mailbox_id)
    keywords = yield from keywords_of(mailbox_id)
    rows = yield sql.changed(mailbox_id=mailbox_id, since=since)
    return Changes(mailbox.modseq, keywords, rows, since >= mailbox.expunge_modseq, mailbox.claimed)
