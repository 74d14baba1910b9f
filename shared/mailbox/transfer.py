"""COPY, MOVE and EXPUNGE as transactions on rows: no bytes are moved (DESIGN §7).

Lock order: the account, mailboxes by id, then message rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial, reduce
from operator import or_

from shared.db import Query, Rows, Statement, Work, load
from shared.imap.flags import DELETED, SEEN, FlagSet, Keywords
from shared.imap.sequence import Range, compact
from shared.mailbox import usage
from shared.mailbox.keywords import KEYWORD_MASK, keywords_of, learn, translate
from shared.mailbox.mailbox import Mailbox, lock, next_modseq
from shared.mailbox.mailbox import sql as mailbox_sql
from shared.mailbox.ranges import Piece, pieces

sql = load("messages")

MAX_UID = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Transferred:
    """What COPYUID tells (RFC 4315): `target` UIDs in the order of `source`; modseqs of both mailboxes."""

    uidvalidity: int  # of the target
    source: tuple[int, ...]
    target: tuple[int, ...]
    modseq: int  # of the target, 0 if nothing was transferred
    source_modseq: int = 0  # of the source, for MOVE
    source_before: int = 0  # the same just before, 0 if more happened to the source than that messages went


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
    yield from usage.charge(account_id, sum(size for _, _, size in rows), len(rows))
    return (yield from _add(source_id, target_id, rows, now))


def move(account_id: int, source_id: int, ranges: Iterable[Range], target_id: int, now: int) -> Work[Transferred]:
    """Move messages to a mailbox of the same account; `now` in microseconds. NoSuchMailbox."""
    yield mailbox_sql.lock_account(account_id=account_id)
    locked = yield from lock(source_id, target_id)
    rows = yield from _sources(source_id, ranges)
    added = yield from _add(source_id, target_id, rows, now)
    if not rows:
        return added
    # within one mailbox the source's last mod-sequence is the one that the new rows were just given
    last = added.modseq if source_id == target_id else locked[source_id].modseq
    gone = yield from _mark(source_id, rows, last, now)
    before = 0 if source_id == target_id else last
    return Transferred(added.uidvalidity, added.source, added.target, added.modseq, gone.modseq, before)


def move_all(account_id: int, source_id: int, target_id: int, now: int) -> Work[None]:
    """Move all messages of a mailbox."""
    yield from move(account_id, source_id, [(1, MAX_UID)], target_id, now)


def expunge(account_id: int, mailbox_id: int, ranges: Iterable[Range], now: int) -> Work[Expunged]:
    r"""Mark the messages among `ranges` that are flagged \Deleted as expunged; `now` in microseconds."""
    yield mailbox_sql.lock_account(account_id=account_id)
    mailbox = (yield from lock(mailbox_id))[mailbox_id]
    rows = yield from _named(mailbox_id, ranges, sql.deleted_in, sql.deleted_between)
    return (yield from _expunge_rows(account_id, mailbox, rows, now))


def remove(account_id: int, mailbox_id: int, ranges: Iterable[Range], now: int) -> Work[Expunged]:
    r"""Mark messages as expunged whatever their flags (POP3's DELE, a webmail's delete)."""
    yield mailbox_sql.lock_account(account_id=account_id)
    mailbox = (yield from lock(mailbox_id))[mailbox_id]
    rows = yield from _sources(mailbox_id, ranges)
    return (yield from _expunge_rows(account_id, mailbox, rows, now))


def _expunge_rows(account_id: int, mailbox: Mailbox, rows: Rows, now: int) -> Work[Expunged]:
    if not rows:
        return Expunged((), mailbox.modseq)
    yield from usage.give_back(account_id, sum(size for _, _, size in rows), len(rows))
    return (yield from _mark(mailbox.id, rows, mailbox.modseq, now))


def _mark(mailbox_id: int, rows: Rows, last: int, now: int) -> Work[Expunged]:
    """Mark (uid, flags, size) rows of a locked mailbox as expunged and count them off."""
    modseq = next_modseq(last, now)
    uids = tuple(uid for uid, _, _ in rows)
    for piece in pieces(compact(uids)):
        mark = _on(piece, sql.mark_expunged_in, sql.mark_expunged_between)
        yield mark(mailbox_id=mailbox_id, modseq=modseq, now=now)
    yield sql.forget(
        mailbox_id=mailbox_id,
        modseq=modseq,
        count=len(rows),
        unseen=sum(not flags & SEEN for _, flags, _ in rows),
        deleted=sum(bool(flags & DELETED) for _, flags, _ in rows),
        bytes=sum(size for _, _, size in rows),
    )
    return Expunged(uids, modseq)


def _sources(mailbox_id: int, ranges: Iterable[Range]) -> Work[Rows]:
    return (yield from _named(mailbox_id, ranges, sql.sources_in, sql.sources_between))


def _named(mailbox_id: int, ranges: Iterable[Range], listed: Query, between: Query) -> Work[Rows]:
    """Return (uid, flags, size) of the messages in `ranges` by ascending UID."""
    rows: Rows = []
    for piece in pieces(ranges):
        rows += yield _on(piece, listed, between)(mailbox_id=mailbox_id)
    return rows


def _on(piece: Piece, listed: Query, between: Query) -> Callable[..., Statement]:
    """Return the query that suits a piece, which it already knows."""
    if piece.uids:
        return partial(listed, uids=piece.uids)
    return partial(between, low=piece.low, high=piece.high)


def _add(source_id: int, target_id: int, rows: Rows, now: int) -> Work[Transferred]:
    """Give (uid, flags, size) rows of the source a copy in the target, under new UIDs."""
    count = len(rows)
    if not count:
        locked = yield from lock(target_id)
        return Transferred(locked[target_id].uidvalidity, (), (), 0)
    taken = yield sql.take_uids(
        mailbox_id=target_id,
        now=now,
        count=count,
        unseen=sum(not flags & SEEN for _, flags, _ in rows),
        deleted=sum(bool(flags & DELETED) for _, flags, _ in rows),
        bytes=sum(size for _, _, size in rows),
    )
    uidnext, modseq, uidvalidity = taken[0]
    uids = tuple(uid for uid, _, _ in rows)
    first = next_uid = uidnext - count
    values = {"source_id": source_id, "target_id": target_id, "modseq": modseq, "saved": now // 1_000_000}
    for piece in pieces(compact(uids)):
        yield _on(piece, sql.insert_copies_in, sql.insert_copies_between)(first=next_uid, **values)
        next_uid += len(piece.uids) or piece.high - piece.low + 1
    yield from _translate(source_id, target_id, first, rows)
    return Transferred(uidvalidity, uids, tuple(range(first, uidnext)), modseq)


def _translate(source_id: int, target_id: int, first: int, rows: Rows) -> Work[None]:
    """Give copies, whose UIDs begin at `first`, the keyword bits of their mailbox, which learns what it lacks."""
    used = reduce(or_, (flags for _, flags, _ in rows))
    if source_id == target_id or not used & KEYWORD_MASK:
        return
    source = yield from keywords_of(source_id)
    names = tuple(name for name in source.names_of(used) if not name.startswith(b"\\"))
    target: Keywords = yield from learn(target_id, FlagSet(keywords=names))
    yield sql.set_flags.many(
        [
            {"mailbox_id": target_id, "uid": uid, "flags": translate(flags, source, target)}
            for uid, (_, flags, _) in enumerate(rows, first)
            if flags & KEYWORD_MASK
        ]
    )
