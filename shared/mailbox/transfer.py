"""COPY, MOVE and EXPUNGE as transactions on rows: no bytes are moved (DESIGN §7).

Lock order: the account, mailboxes by id, then message rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from shared.db import Rows, Work
from shared.imap.flags import DELETED, SEEN, FlagSet, Keywords
from shared.imap.sequence import Range
from shared.mailbox import usage
from shared.mailbox.blobs import chunked, sql
from shared.mailbox.keywords import keywords_of, learn, translate
from shared.mailbox.mailbox import Mailbox, lock, next_modseq
from shared.mailbox.mailbox import sql as mailbox_sql
from shared.mailbox.ranges import LIST_LENGTH, Piece, pieces

MAX_UID = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Transferred:
    """What COPYUID tells (RFC 4315): `target` UIDs in the order of `source`; modseqs of both mailboxes."""

    uidvalidity: int  # of the target
    source: tuple[int, ...]
    target: tuple[int, ...]
    modseq: int  # of the target, 0 if nothing was transferred
    source_modseq: int = 0  # of the source, for MOVE


@dataclass(frozen=True, slots=True)
class Expunged:
    """The UIDs that went, and the mailbox's mod-sequence since."""

    uids: tuple[int, ...]
    modseq: int


def copy(account_id: int, source_id: int, ranges: Iterable[Range], target_id: int, now: int) -> Work[Transferred]:
    """Copy messages to a mailbox of the same account; `now` in microseconds. OverQuota, NoSuchMailbox."""
    yield mailbox_sql.lock_account(account_id=account_id)
    yield from lock(source_id, target_id)
    rows = yield from _sources(source_id, ranges)
    yield from usage.charge(account_id, sum(row[4] for row in rows), len(rows))
    rows = yield from _translated(source_id, target_id, rows)
    return (yield from _add(target_id, rows, now))


def move(account_id: int, source_id: int, ranges: Iterable[Range], target_id: int, now: int) -> Work[Transferred]:
    """Move messages to a mailbox of the same account; `now` in microseconds. NoSuchMailbox."""
    yield mailbox_sql.lock_account(account_id=account_id)
    locked = yield from lock(source_id, target_id)
    rows = yield from _sources(source_id, ranges)
    translated = yield from _translated(source_id, target_id, rows)
    added = yield from _add(target_id, translated, now)
    if not rows:
        return added
    # within one mailbox the source's last mod-sequence is the one that the new rows were just given
    last = added.modseq if source_id == target_id else locked[source_id].modseq
    gone = yield from _mark(source_id, [(row[0], row[2], row[4]) for row in rows], last, now)
    return Transferred(added.uidvalidity, added.source, added.target, added.modseq, gone.modseq)


def move_all(account_id: int, source_id: int, target_id: int, now: int) -> Work[None]:
    """Move all messages of a mailbox."""
    yield from move(account_id, source_id, [(1, MAX_UID)], target_id, now)


def expunge(account_id: int, mailbox_id: int, ranges: Iterable[Range], now: int) -> Work[Expunged]:
    r"""Mark the messages among `ranges` that are flagged \Deleted as expunged; `now` in microseconds."""
    yield mailbox_sql.lock_account(account_id=account_id)
    mailbox = (yield from lock(mailbox_id))[mailbox_id]
    rows: list[tuple[int, int, int]] = []
    for piece in pieces(ranges):
        rows += [tuple(row) for row in (yield _statement(piece, sql.deleted_in, sql.deleted_between, mailbox_id))]
    return (yield from _expunge_rows(account_id, mailbox, rows, now))


def remove(account_id: int, mailbox_id: int, ranges: Iterable[Range], now: int) -> Work[Expunged]:
    r"""Mark messages as expunged whatever their flags (POP3's DELE, a webmail's delete)."""
    yield mailbox_sql.lock_account(account_id=account_id)
    mailbox = (yield from lock(mailbox_id))[mailbox_id]
    sources = yield from _sources(mailbox_id, ranges)
    rows = [(row[0], row[2], row[4]) for row in sources]
    return (yield from _expunge_rows(account_id, mailbox, rows, now))


def _expunge_rows(account_id: int, mailbox: Mailbox, rows: Sequence[tuple[int, int, int]], now: int) -> Work[Expunged]:
    if not rows:
        return Expunged((), mailbox.modseq)
    yield from usage.give_back(account_id, sum(row[2] for row in rows), len(rows))
    return (yield from _mark(mailbox.id, rows, mailbox.modseq, now))


def _mark(mailbox_id: int, rows: Sequence[tuple[int, int, int]], last: int, now: int) -> Work[Expunged]:
    """Mark (uid, flags, size) rows of a locked mailbox as expunged and count them off."""
    modseq = next_modseq(last, now)
    uids = [row[0] for row in rows]
    for start in range(0, len(uids), LIST_LENGTH):
        chunk = uids[start : start + LIST_LENGTH]
        yield sql.mark_expunged(mailbox_id=mailbox_id, uids=chunk, modseq=modseq, now=now)
    yield sql.forget(
        mailbox_id=mailbox_id,
        modseq=modseq,
        count=len(rows),
        unseen=sum(not flags & SEEN for _, flags, _ in rows),
        deleted=sum(bool(flags & DELETED) for _, flags, _ in rows),
        bytes=sum(size for _, _, size in rows),
    )
    return Expunged(tuple(uids), modseq)


def _sources(mailbox_id: int, ranges: Iterable[Range]) -> Work[Rows]:
    rows: Rows = []
    for piece in pieces(ranges):
        rows += yield _statement(piece, sql.sources_in, sql.sources_between, mailbox_id)
    return rows


def _statement(piece: Piece, listed: Any, between: Any, mailbox_id: int) -> Any:
    if piece.uids:
        return listed(mailbox_id=mailbox_id, uids=piece.uids)
    return between(mailbox_id=mailbox_id, low=piece.low, high=piece.high)


def _translated(source_id: int, target_id: int, rows: Rows) -> Work[Rows]:
    """Give rows the flag bits of the target mailbox, which learns the keywords it lacks."""
    if source_id == target_id or not any(row[2] >> 8 for row in rows):
        return rows
    source = yield from keywords_of(source_id)
    used = 0
    for row in rows:
        used |= row[2]
    names = tuple(name for name in source.names_of(used) if not name.startswith(b"\\"))
    target: Keywords = yield from learn(target_id, FlagSet(keywords=names))
    return [(row[0], row[1], translate(row[2], source, target), *tuple(row)[3:]) for row in rows]


def _add(mailbox_id: int, rows: Rows, now: int) -> Work[Transferred]:
    """Insert (uid, blob_id, flags, internal_date, size, prefix) rows under new UIDs."""
    count = len(rows)
    if not count:
        locked = yield from lock(mailbox_id)
        return Transferred(locked[mailbox_id].uidvalidity, (), (), 0)
    taken = yield sql.take_uids(
        mailbox_id=mailbox_id,
        now=now,
        count=count,
        unseen=sum(not row[2] & SEEN for row in rows),
        deleted=sum(bool(row[2] & DELETED) for row in rows),
        bytes=sum(row[4] for row in rows),
    )
    uidnext, modseq, uidvalidity = taken[0]
    first = uidnext - count
    saved = now // 1_000_000
    new = [
        (mailbox_id, first + number, blob_id, modseq, flags, internal_date, saved, size, prefix)
        for number, (_, blob_id, flags, internal_date, size, prefix) in enumerate(rows)
    ]
    for chunk in chunked(new):
        yield sql.insert_messages(rows=chunk)
    return Transferred(uidvalidity, tuple(row[0] for row in rows), tuple(range(first, uidnext)), modseq)
