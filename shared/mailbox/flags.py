r"""STORE: flags and keywords of messages, with the mailbox's counts of unseen and \Deleted kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from shared.db import Work
from shared.imap.flags import DELETED, SEEN, FlagSet, Keywords
from shared.imap.sequence import Range
from shared.mailbox.keywords import KEYWORD_MASK, keywords_of, learn, sql
from shared.mailbox.mailbox import find_by_id, lock, next_modseq
from shared.mailbox.ranges import Piece, pieces

ALL_FLAGS = KEYWORD_MASK | 0xFF
MAX_MODSEQ = (1 << 63) - 1


class StoreMode(Enum):
    """FLAGS, +FLAGS and -FLAGS."""

    REPLACE = auto()
    ADD = auto()
    REMOVE = auto()


@dataclass(frozen=True, slots=True)
class FlagChange:
    """The flags of all messages named, after STORE: (uid, flags, modseq) by ascending UID.

    `left_alone` are those that had changed after `unchanged_since`; they aren't among the rows. `news` had
    changed after `known`.
    """

    rows: list[tuple[int, int, int]]
    keywords: Keywords
    modseq: int  # the mailbox's
    changed: int  # how many messages had other flags before
    left_alone: tuple[int, ...] = ()
    news: tuple[int, ...] = ()


def store(
    mailbox_id: int,
    ranges: Iterable[Range],
    mode: StoreMode,
    flags: FlagSet,
    now: int,
    unchanged_since: int | None = None,
    known: int | None = None,
    settable: int = ALL_FLAGS,
) -> Work[FlagChange]:
    """Change flags; `now` in microseconds. LimitReached, NoSuchMailbox.

    Messages with a mod-sequence above `unchanged_since` are left alone (RFC 7162 §3.1.3), and all flags but
    those that are `settable` (RFC 4314 §4).
    """
    mailbox = (yield from lock(mailbox_id))[mailbox_id]
    if mode is StoreMode.REMOVE:
        keywords = yield from keywords_of(mailbox_id)
    else:
        keywords = yield from learn(mailbox_id, flags)
    keep, add = _masks(mode, keywords.mask(flags) & settable)
    keep |= ALL_FLAGS & ~settable
    modseq = next_modseq(mailbox.modseq, now)
    limit = MAX_MODSEQ if unchanged_since is None else unchanged_since
    tally = _Tally([], modseq, limit, MAX_MODSEQ if known is None else known)
    for piece in pieces(ranges):
        yield from _store_piece(mailbox_id, piece, keep, add, tally)
    if tally.changed:
        yield sql.count_flags(mailbox_id=mailbox_id, modseq=modseq, unseen=tally.unseen, deleted=tally.deleted)
    return tally.result(keywords, modseq if tally.changed else mailbox.modseq)


def changes_nothing(rows: Iterable[Any], mode: StoreMode, system: int, settable: int = ALL_FLAGS) -> bool:
    """Say whether `store` of flags that aren't keywords would leave (uid, flags, modseq) rows as they are."""
    keep, add = _masks(mode, system & settable)
    keep |= ALL_FLAGS & ~settable
    return all(flags == flags & keep | add for _, flags, _ in rows)


def find_unchanged(
    mailbox_id: int,
    uids: Sequence[int],
    mode: StoreMode,
    system: int,
    unchanged_since: int | None = None,
    known: int | None = None,
    settable: int = ALL_FLAGS,
) -> Work[FlagChange | None]:
    """Return what `store` would if it changed nothing, None if it would change something: in a snapshot, unlocked.

    `system` are the flags, none of them a keyword.
    """
    keep, add = _masks(mode, system & settable)
    keep |= ALL_FLAGS & ~settable
    limit = MAX_MODSEQ if unchanged_since is None else unchanged_since
    tally = _Tally([], MAX_MODSEQ, limit, MAX_MODSEQ if known is None else known)
    for uid, flags, modseq in (yield sql.flags_in(mailbox_id=mailbox_id, uids=uids)):
        tally.add(uid, flags, modseq, flags & keep | add)
    if tally.changed:
        return None
    mailbox = yield from find_by_id(mailbox_id)
    return tally.result((yield from keywords_of(mailbox_id)), mailbox.modseq)


@dataclass(slots=True)
class _Tally:
    """What a STORE comes to: the rows after it, and how the mailbox's counts change."""

    rows: list[tuple[int, int, int]]
    modseq: int
    unchanged_since: int
    known: int
    changed: int = 0
    unseen: int = 0
    deleted: int = 0
    left_alone: list[int] = field(default_factory=list)
    news: list[int] = field(default_factory=list)

    def result(self, keywords: Keywords, modseq: int) -> FlagChange:
        return FlagChange(self.rows, keywords, modseq, self.changed, tuple(self.left_alone), tuple(self.news))

    def add(self, uid: int, old: int, modseq: int, new: int) -> None:
        if modseq > self.unchanged_since:
            self.left_alone.append(uid)
            return
        if modseq > self.known:
            self.news.append(uid)
        if old == new:
            self.rows.append((uid, old, modseq))
            return
        self.rows.append((uid, new, self.modseq))
        self.changed += 1
        self.unseen += (old & SEEN) - (new & SEEN)
        self.deleted += ((new & DELETED) - (old & DELETED)) // DELETED


def _store_piece(mailbox_id: int, piece: Piece, keep: int, add: int, tally: _Tally) -> Work[None]:
    if piece.uids:
        rows = yield sql.flags_in(mailbox_id=mailbox_id, uids=piece.uids)
    else:
        rows = yield sql.flags_between(mailbox_id=mailbox_id, low=piece.low, high=piece.high)
    before = tally.changed
    for uid, flags, modseq in rows:
        tally.add(uid, flags, modseq, flags & keep | add)
    if tally.changed == before:
        return
    values = {
        "mailbox_id": mailbox_id,
        "keep": keep,
        "add": add,
        "modseq": tally.modseq,
        "unchanged_since": tally.unchanged_since,
    }
    if piece.uids:
        yield sql.store_in(**values, uids=piece.uids)
    else:
        yield sql.store_between(**values, low=piece.low, high=piece.high)


def _masks(mode: StoreMode, mask: int) -> tuple[int, int]:
    """Return what to keep of the old flags and what to add."""
    match mode:
        case StoreMode.REPLACE:
            return 0, mask
        case StoreMode.ADD:
            return ALL_FLAGS, mask
        case StoreMode.REMOVE:
            return ALL_FLAGS & ~mask, 0
