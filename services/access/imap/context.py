"""Results that are kept up to date: SEARCH and SORT with UPDATE, CANCELUPDATE (RFC 5267 §4.3).

What leaves a result is told before messages are expunged, what enters it after they are announced: each with the
numbers that the client knows at that time.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.access.imap import fetch
from services.access.imap.matching import matching
from services.access.imap.outcome import Outcome, done, rejected
from shared.imap import command as commands
from shared.imap import response
from shared.imap.esearch import Origin, update
from shared.imap.fetch import FetchAttribute
from shared.imap.limits import MAX_CONTEXT_RESULTS, MAX_CONTEXTS, MAX_NUMBER, MAX_SORTED_RESULTS
from shared.imap.response import Condition
from shared.imap.search import InUids, SearchKey, Sequences, Uids, bind, transform
from shared.imap.sequence import Range, SequenceSet, compact
from shared.imap.sort import Sortable, SortCriterion, place
from shared.mailbox.messages import Changes

if TYPE_CHECKING:
    from services.access.imap.selected import Selected
    from services.access.imap.session import ImapSession

_UNKNOWN_TAG = rejected(b"No search of that tag is kept up to date")
Change = tuple[int, int]  # place in the result, 0 for none, and UID


@dataclass(slots=True)
class Kept:
    """A result that is kept: its UIDs, ascending, or the messages in order if there are criteria."""

    origin: Origin
    key: SearchKey
    uids: array[int]
    items: tuple[FetchAttribute, ...] = ()  # what to show of new messages that enter it (RFC 5465 §7)
    criteria: tuple[SortCriterion, ...] = ()
    ordered: list[Sortable] = field(default_factory=list)

    def __contains__(self, uid: int) -> bool:
        at = bisect_left(self.uids, uid)
        return at < len(self.uids) and self.uids[at] == uid

    def remove(self, uids: Iterable[int]) -> list[Change]:
        """Take messages out; return where each was, one after the other."""
        gone = sorted(uid for uid in uids if uid in self)
        if not gone:
            return []
        left = set(gone)
        self.uids = array("I", (uid for uid in self.uids if uid not in left))
        if not self.criteria:
            return [(0, uid) for uid in gone]
        places = [(at + 1, message.uid) for at, message in enumerate(self.ordered) if message.uid in left]
        self.ordered = [message for message in self.ordered if message.uid not in left]
        return places[::-1]

    def add(self, uids: Sequence[int]) -> list[Change]:
        """Put messages in that have no place of their own."""
        self.uids = array("I", sorted((*self.uids, *uids)))
        return [(0, uid) for uid in uids]

    def add_sorted(self, messages: Iterable[Sortable]) -> list[Change]:
        """Put messages in; return where each went, one after the other."""
        changes: list[Change] = []
        for message in messages:
            at = place(self.ordered, message, self.criteria)
            self.ordered.insert(at, message)
            changes.append((at + 1, message.uid))
        self.uids = array("I", sorted((*self.uids, *(uid for _, uid in changes))))
        return changes


def keep(
    session: ImapSession, origin: Origin, key: SearchKey, uids: Sequence[int], items: tuple[FetchAttribute, ...]
) -> None:
    """Keep a search's result up to date, or say that it isn't."""
    _keep(session, Kept(origin, _fixed(session.the_selected(), key), array("I", uids), items), MAX_CONTEXT_RESULTS)


def keep_sorted(
    session: ImapSession,
    origin: Origin,
    key: SearchKey,
    criteria: tuple[SortCriterion, ...],
    ordered: list[Sortable],
    items: tuple[FetchAttribute, ...],
) -> None:
    """Keep a sorted result up to date, or say that it isn't."""
    uids = array("I", sorted(message.uid for message in ordered))
    kept = Kept(origin, _fixed(session.the_selected(), key), uids, items, criteria, ordered)
    _keep(session, kept, MAX_SORTED_RESULTS)


async def cancel_update(session: ImapSession, command: commands.CancelUpdate) -> Outcome:
    """Keep results no longer."""
    contexts = session.the_selected().contexts
    if any(tag not in contexts for tag in command.tags):
        return _UNKNOWN_TAG
    for tag in set(command.tags):
        del contexts[tag]
    return done(b"CANCELUPDATE completed")


class Following:
    """What a mailbox's changes are to the results that are kept: `before` and `after` they are reported."""

    def __init__(self, session: ImapSession, changes: Changes, *, with_expunges: bool) -> None:
        self._session = session
        self._selected = session.the_selected()
        self._with_expunges = with_expunges
        self._last = self._selected.view.largest_uid
        self._gone = {row[0] for row in changes.rows if row[3] is not None} if with_expunges else set()
        self._changed = [row[0] for row in changes.rows if row[3] is None]
        self._entering: list[tuple[Kept, list[int]]] = []

    async def before(self) -> None:
        """Tell what leaves results, while its numbers are still known."""
        for kept in tuple(self._selected.contexts.values()):
            leaving = {uid for uid in self._gone if uid in kept}
            if self._with_expunges and self._selected.view.has_expunged:
                leaving.update(filter(self._selected.view.is_expunged, kept.uids))
            if self._changed:
                matching_now = set(await _matching(self._session, kept.key, compact(self._changed)))
                leaving.update(uid for uid in self._changed if uid in kept and uid not in matching_now)
                self._entering.append((kept, sorted(uid for uid in matching_now if uid not in kept)))
            self._tell(kept, removed=kept.remove(leaving))

    async def after(self) -> None:
        """Tell what enters results, once its numbers are known."""
        for kept, uids in self._entering:
            known = [uid for uid in uids if uid in self._selected.view]
            if known and self._has_room(kept, len(known)):
                await self._show(kept, [uid for uid in known if uid > self._last])
                self._tell(kept, added=await self._add(kept, known))

    async def _show(self, kept: Kept, new: list[int]) -> None:
        if kept.items and new:
            shown = commands.Fetch(kept.origin.tag, SequenceSet(compact(new)), kept.items, uid=True)
            await fetch.fetch(self._session, shown)

    async def _add(self, kept: Kept, uids: list[int]) -> list[Change]:
        if not kept.criteria:
            return kept.add(uids)
        from services.access.imap.sort import in_order

        return kept.add_sorted(await in_order(self._session, uids, kept.criteria))

    def _has_room(self, kept: Kept, more: int) -> bool:
        limit = MAX_SORTED_RESULTS if kept.criteria else MAX_CONTEXT_RESULTS
        if len(kept.uids) + more <= limit:
            return True
        del self._selected.contexts[kept.origin.tag]
        _decline(self._session, kept.origin.tag)
        return False

    def _tell(self, kept: Kept, removed: Sequence[Change] = (), added: Sequence[Change] = ()) -> None:
        if removed or added:
            self._session.write(update(kept.origin, self._numbered(kept, removed), self._numbered(kept, added)))

    def _numbered(self, kept: Kept, changes: Sequence[Change]) -> list[Change]:
        if kept.origin.uid:
            return list(changes)
        view = self._selected.view
        return [(at, number) for at, uid in changes if (number := view.sequence(uid)) is not None]


def _keep(session: ImapSession, kept: Kept, limit: int) -> None:
    contexts = session.the_selected().contexts
    held = sum(len(other.uids) for other in contexts.values() if bool(other.criteria) == bool(kept.criteria))
    if len(contexts) >= MAX_CONTEXTS or held + len(kept.uids) > limit:
        _decline(session, kept.origin.tag)
    else:
        contexts[kept.origin.tag] = kept


def _decline(session: ImapSession, tag: bytes) -> None:
    code = response.code_noupdate(tag)
    session.write(response.untagged_status(Condition.NO, b"That result isn't kept up to date", code))


def _fixed(selected: Selected, key: SearchKey) -> SearchKey:
    """Return a key in which messages are named by UIDs once for all; `n:*` goes on to those that come."""
    open_ended = MAX_NUMBER + 1

    def fix(leaf: SearchKey) -> SearchKey:
        match leaf:
            case Sequences(numbers) | Uids(numbers):
                bound = bind(leaf, selected.view, selected.flags.keywords, selected.saved)
                assert isinstance(bound, InUids)
                ranges = bound.ranges
                if ranges and any(low != high == open_ended for low, high in numbers.ranges):
                    ranges = (*ranges[:-1], (ranges[-1][0], MAX_NUMBER))
                return InUids(ranges)
            case _:
                return leaf

    return transform(key, fix)


async def _matching(session: ImapSession, key: SearchKey, ranges: Sequence[Range]) -> list[int]:
    selected = session.the_selected()
    bound = bind(key, selected.view, selected.flags.keywords, (), int(time.time()), selected.flags.recent)
    return (await matching(session, selected.mailbox_id, bound, ranges)).uids
