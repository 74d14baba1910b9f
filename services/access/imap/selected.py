"""The selected mailbox of a session: its view, flags, and what has changed since (RFC 3501 §5.2, §7.3-7.4)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from shared.imap import response
from shared.imap.flags import FlagLists, Keywords
from shared.imap.sequence import Range, SequenceSet, intersect, subtract
from shared.imap.view import View
from shared.mailbox import messages
from shared.mailbox.messages import Changes

REPORT_LINES = 1_000  # lines that are joined for one write


class Selected:
    """What the client knows of the mailbox, and how far the session has followed it."""

    __slots__ = ("_own", "flags", "mailbox_id", "modseq", "name", "read_only", "uidvalidity", "view")

    def __init__(self, found: messages.Selected, *, read_only: bool) -> None:
        self.mailbox_id = found.mailbox.id
        self.name = found.mailbox.name
        self.uidvalidity = found.mailbox.uidvalidity
        self.modseq = found.mailbox.modseq
        self.read_only = read_only
        self.view = View(found.uids)
        self.flags = FlagLists(found.keywords)
        self._own: set[int] = set()

    def resolve(self, numbers: SequenceSet, *, uid: bool) -> tuple[Range, ...]:
        """Return the UIDs that a command names; BadSequence for a sequence number that no message has."""
        return self.view.uids_of_uids(numbers) if uid else self.view.uids_of_sequences(numbers)

    def told(self, modseq: int) -> None:
        """Note a change of flags that the client was told of, or asked not to be."""
        if modseq > self.modseq:
            self._own.add(modseq)

    def lost(self, uids: Iterable[int], before: int, modseq: int) -> None:
        """Note messages that went between two mod-sequences of the mailbox, unless SQL has to be asked for more."""
        if before == self.modseq:
            self.view.expunge(uids)
            self.modseq = modseq

    def learn(self, keywords: Keywords) -> bytes:
        """Take the mailbox's keywords; return what tells the client of new ones."""
        if keywords.names == self.flags.keywords.names:
            return b""
        self.flags = FlagLists(keywords)
        return self.known_flags()

    def known_flags(self) -> bytes:
        """Return the FLAGS and PERMANENTFLAGS responses."""
        permanent = b"()" if self.read_only else self.flags.render_permanent()
        return response.flags(self.flags.render_known()) + response.untagged_status(
            response.Condition.OK, b"Flags that can be changed", response.code_permanentflags(permanent)
        )

    def compare(self, found: messages.Selected) -> None:
        """Note expunges that the mailbox no longer remembers: whatever isn't there is gone."""
        gone = subtract(tuple(self.view.ranges()), found.uids)
        self.view.expunge(uid for low, high in gone for uid in range(low, high + 1))

    def report(self, changes: Changes, *, with_expunges: bool, with_uid: bool) -> Iterator[bytes]:
        """Take changes and yield the responses that tell the client of them."""
        if changes.keywords is not None:
            learned = self.learn(changes.keywords)
            if learned:
                yield learned
            added = self._sort(changes.rows)
        else:
            added = []
        if with_expunges:
            yield from _joined(response.expunges, self.view.take_expunged())
        changed = self._changed(changes.rows)
        if added:
            yield response.exists(self.view.append(added))
        if changed:
            yield from _joined(lambda rows: self.render_flags(rows, with_uid=with_uid), changed)
        self.modseq = max(self.modseq, changes.mailbox.modseq)
        self._own.clear()

    def render_flags(self, rows: Sequence[Any], *, with_uid: bool) -> bytes:
        """Return a FETCH response with the flags of each (uid, flags, …) row that the client knows."""
        render, sequence = self.flags.render, self.view.sequence
        known = [(number, row[0], render(row[1])) for row in rows if (number := sequence(row[0])) is not None]
        if with_uid:
            return b"".join([b"* %d FETCH (UID %d FLAGS %b)\r\n" % line for line in known])
        return b"".join([b"* %d FETCH (FLAGS %b)\r\n" % (number, flags) for number, _, flags in known])

    def _sort(self, rows: Sequence[Any]) -> list[int]:
        """Note expunges; return the UIDs that are new."""
        last = self.view.largest_uid
        self.view.expunge(row[0] for row in rows if row[3] is not None)
        return [row[0] for row in rows if row[3] is None and row[0] > last]

    def _changed(self, rows: Sequence[Any]) -> list[Any]:
        view = self.view
        return [row for row in rows if row[3] is None and row[2] not in self._own and row[0] in view]


def known_of(view: View, ranges: Sequence[Range]) -> tuple[Range, ...]:
    """Return the part of UID ranges that the client knows."""
    return intersect(ranges, tuple(view.ranges()))


def _joined(render: Any, items: Sequence[Any]) -> Iterator[bytes]:
    for start in range(0, len(items), REPORT_LINES):
        yield render(items[start : start + REPORT_LINES])
