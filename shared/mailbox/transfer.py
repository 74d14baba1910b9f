"""COPY, MOVE and EXPUNGE as transactions on rows: no bytes are moved (DESIGN §7).

Lock order: the account, mailboxes by id, then message rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial, reduce
from operator import itemgetter, or_

from shared.db import Query, Rows, Statement, Work, load
from shared.imap.flags import DELETED, SEEN, FlagSet, Keywords
from shared.imap.sequence import Range, compact, in_order
from shared.mailbox import usage
from shared.mailbox.flags import ALL_FLAGS
from shared.mailbox.keywords import KEYWORD_MASK, keywords_of, learn, translate
from shared.mailbox.mailbox import Mailbox, lock, next_modseq
from shared.mailbox.mailbox import sql as mailbox_sql
from shared.mailbox.ranges import Piece, pieces
from shared.mailbox.rows import unpacked

sql = load("messages")

MAX_UID = 0xFFFFFFFF
_UID, _FLAGS, _SIZE = itemgetter(0), itemgetter(1), itemgetter(2)  # of rows that are moved


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


@dataclass(frozen=True, slots=True)
class Route:
    """From which mailbox to which, whose they are, and which flags the copies may have (RFC 4314 §4)."""

    source_id: int
    target_id: int
    source_account_id: int
    target_account_id: int
    settable: int = ALL_FLAGS

    @property
    def is_across(self) -> bool:
        """Whether the copies become another account's."""
        return self.source_account_id != self.target_account_id


def copy(route: Route, ranges: Iterable[Range], now: int) -> Work[Transferred]:
    """Copy messages; `now` in microseconds. OverQuota, NoSuchMailbox."""
    yield mailbox_sql.lock_account(account_id=route.target_account_id)
    yield from lock(route.source_id, route.target_id)
    rows = yield from _sources(route.source_id, ranges)
    prefixes = yield from _public_prefixes(route, ranges)
    copies = _copies(route, rows, prefixes)
    yield from usage.charge(route.target_account_id, sum(map(_SIZE, copies)), len(copies))
    return (yield from _add(route, rows, copies, prefixes, now))


def move(route: Route, ranges: Iterable[Range], now: int) -> Work[Transferred]:
    """Move messages; `now` in microseconds. NoSuchMailbox; OverQuota only between accounts."""
    for account_id in sorted({route.source_account_id, route.target_account_id}):
        yield mailbox_sql.lock_account(account_id=account_id)
    locked = yield from lock(route.source_id, route.target_id)
    rows = yield from _sources(route.source_id, ranges)
    prefixes = yield from _public_prefixes(route, ranges)
    copies = _copies(route, rows, prefixes)
    if route.is_across:
        yield from usage.charge(route.target_account_id, sum(map(_SIZE, copies)), len(copies))
        yield from usage.give_back(route.source_account_id, sum(map(_SIZE, rows)), len(rows))
    added = yield from _add(route, rows, copies, prefixes, now)
    if not rows:
        return added
    # within one mailbox the source's last mod-sequence is the one that the new rows were just given
    is_within = route.source_id == route.target_id
    last = added.modseq if is_within else locked[route.source_id].modseq
    gone = yield from _mark(route.source_id, rows, last, now)
    before = 0 if is_within else last
    return Transferred(added.uidvalidity, added.source, added.target, added.modseq, gone.modseq, before)


def move_all(account_id: int, source_id: int, target_id: int, now: int) -> Work[None]:
    """Move all messages of a mailbox."""
    yield from move(Route(source_id, target_id, account_id, account_id), [(1, MAX_UID)], now)


def restore(account_id: int, mailbox_id: int, uids: Iterable[int], now: int) -> Work[Transferred]:
    r"""Give expunged messages that are remembered new UIDs in their mailbox, without \Deleted; OverQuota."""
    yield mailbox_sql.lock_account(account_id=account_id)
    yield from lock(mailbox_id)
    rows = yield from _chosen(mailbox_id, compact(uids), sql.expunged_in, sql.expunged_between)
    route = Route(mailbox_id, mailbox_id, account_id, account_id, ALL_FLAGS & ~DELETED)
    copies = _copies(route, rows, {})
    yield from usage.charge(account_id, sum(map(_SIZE, copies)), len(copies))
    return (yield from _add(route, rows, copies, {}, now))


def expunge(account_id: int, mailbox_id: int, ranges: Iterable[Range], now: int) -> Work[Expunged]:
    r"""Mark the messages among `ranges` that are flagged \Deleted as expunged; `now` in microseconds."""
    yield mailbox_sql.lock_account(account_id=account_id)
    mailbox = (yield from lock(mailbox_id))[mailbox_id]
    rows = yield from _chosen(mailbox_id, ranges, sql.deleted_in, sql.deleted_between)
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
    yield from usage.give_back(account_id, sum(map(_SIZE, rows)), len(rows))
    return (yield from _mark(mailbox.id, rows, mailbox.modseq, now))


def _mark(mailbox_id: int, rows: Rows, last: int, now: int) -> Work[Expunged]:
    """Mark (uid, flags, size) rows of a locked mailbox as expunged and count them off."""
    modseq = next_modseq(last, now)
    uids = tuple(map(_UID, rows))
    for piece in pieces(in_order(uids)):
        mark = _on(piece, sql.mark_expunged_in, sql.mark_expunged_between)
        yield mark(mailbox_id=mailbox_id, modseq=modseq, now=now)
    yield sql.forget(mailbox_id=mailbox_id, modseq=modseq, **_tally(rows))
    return Expunged(uids, modseq)


def _tally(rows: Rows) -> dict[str, int]:
    """Return what (uid, flags, size) rows count for in their mailbox; there are many rows and few different flags."""
    flags = Counter(map(_FLAGS, rows))
    return {
        "count": len(rows),
        "unseen": sum(number for mask, number in flags.items() if not mask & SEEN),
        "deleted": sum(number for mask, number in flags.items() if mask & DELETED),
        "bytes": sum(map(_SIZE, rows)),
    }


def _sources(mailbox_id: int, ranges: Iterable[Range]) -> Work[Rows]:
    return (yield from _chosen(mailbox_id, ranges, sql.sources_in, sql.sources_between))


def _chosen(mailbox_id: int, ranges: Iterable[Range], listed: Query, between: Query) -> Work[Rows]:
    """Return the (uid, flags, size) rows that two queries give of the messages in `ranges`, by ascending UID."""
    packed = yield from _named(mailbox_id, ranges, listed, between)
    return [row for one in packed for row in unpacked([one])]


def _named(mailbox_id: int, ranges: Iterable[Range], listed: Query, between: Query) -> Work[Rows]:
    """Return what two queries give of the messages in `ranges`."""
    rows: Rows = []
    for piece in pieces(ranges):
        rows += yield _on(piece, listed, between)(mailbox_id=mailbox_id)
    return rows


def _on(piece: Piece, listed: Query, between: Query) -> Callable[..., Statement]:
    """Return the query that suits a piece, which it already knows."""
    if piece.uids:
        return partial(listed, uids=piece.uids)
    return partial(between, low=piece.low, high=piece.high)


# header fields that tell of the recipient, with the lines that go on
_PRIVATE_FIELDS = re.compile(rb"^Delivered-To:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)


def _public_prefixes(route: Route, ranges: Iterable[Range]) -> Work[dict[int, tuple[bytes, int]]]:
    """Return for another account the prefixes that lose something, by UID, and how many octets they lose.

    What an alias or a sub-address a message came to is the recipient's own business (DESIGN §3).
    """
    changed: dict[int, tuple[bytes, int]] = {}
    if route.is_across:
        for uid, prefix in (yield from _named(route.source_id, ranges, sql.prefixes_in, sql.prefixes_between)):
            public = _PRIVATE_FIELDS.sub(b"", prefix)
            if public != prefix:
                changed[uid] = public, len(prefix) - len(public)
    return changed


def _copies(route: Route, rows: Rows, prefixes: dict[int, tuple[bytes, int]]) -> Rows:
    """Return (uid, flags, size) rows as their copies are to be."""
    if route.settable == ALL_FLAGS and not prefixes:
        return rows
    return [
        (uid, flags & route.settable, size - (prefixes[uid][1] if uid in prefixes else 0)) for uid, flags, size in rows
    ]


def _add(route: Route, rows: Rows, copies: Rows, prefixes: dict[int, tuple[bytes, int]], now: int) -> Work[Transferred]:
    """Give (uid, flags, size) rows of the source their copies in the target, under new UIDs."""
    count = len(rows)
    if not count:
        locked = yield from lock(route.target_id)
        return Transferred(locked[route.target_id].uidvalidity, (), (), 0)
    taken = yield sql.take_uids(mailbox_id=route.target_id, now=now, **_tally(copies))
    uidnext, modseq, uidvalidity = taken[0]
    uids = tuple(map(_UID, rows))
    first = next_uid = uidnext - count
    values = {
        "source_id": route.source_id,
        "target_id": route.target_id,
        "modseq": modseq,
        "saved": now // 1_000_000,
    }
    for piece in pieces(in_order(uids)):
        yield _on(piece, sql.insert_copies_in, sql.insert_copies_between)(first=next_uid, **values)
        next_uid += len(piece.uids) or piece.high - piece.low + 1
    yield from _translate(route, first, rows, copies)
    yield from _publish(route, first, copies, prefixes)
    return Transferred(uidvalidity, uids, tuple(range(first, uidnext)), modseq)


def _translate(route: Route, first: int, rows: Rows, copies: Rows) -> Work[None]:
    """Give copies, whose UIDs begin at `first`, the keyword bits of their mailbox, which learns what it lacks."""
    used = reduce(or_, set(map(_FLAGS, copies)))
    if copies is rows and (route.source_id == route.target_id or not used & KEYWORD_MASK):
        return
    source = yield from keywords_of(route.source_id)
    names = tuple(name for name in source.names_of(used) if not name.startswith(b"\\"))
    target: Keywords = yield from learn(route.target_id, FlagSet(keywords=names))
    masks = {flags: translate(flags, source, target) for _, flags, _ in copies}
    yield sql.set_flags.many(
        [
            {"mailbox_id": route.target_id, "uid": uid, "flags": masks[flags]}
            for uid, ((_, before, _), (_, flags, _)) in enumerate(zip(rows, copies, strict=True), first)
            if before != masks[flags]
        ]
    )


def _publish(route: Route, first: int, copies: Rows, prefixes: dict[int, tuple[bytes, int]]) -> Work[None]:
    """Give copies in another account their shorter prefixes."""
    if not prefixes:
        return
    yield sql.set_prefix.many(
        [
            {"mailbox_id": route.target_id, "uid": uid, "prefix": prefixes[source][0], "size": size}
            for uid, (source, _, size) in enumerate(copies, first)
            if source in prefixes
        ]
    )
