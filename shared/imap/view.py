"""A session's view of its mailbox: the UIDs its client knows, in order, run-length encoded (DESIGN §7)."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from shared.imap.sequence import BadSequence, Range, SequenceSet, compact, intersect, subtract


class View:
    """Sequence numbers for UIDs; an expunge is held back until the session may report it.

    Each run of consecutive UIDs costs 8 octets, so a mailbox of 100,000 messages without
    gaps costs as much as one with a single message.
    """

    __slots__ = ("_before", "_count", "_expunged", "_first")

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        """Start with sorted, disjoint UID ranges that the client learns by SELECT."""
        self._first = array("I")  # the first UID of each run
        self._before = array("I")  # how many messages come before each run
        self._count = 0
        self._expunged: set[int] = set()
        self._append_ranges(ranges)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, uid: int) -> bool:
        return self.sequence(uid) is not None

    # Looking up

    @property
    def largest_uid(self) -> int:
        """The last message's UID, 0 when there is none."""
        return self.uid(self._count) if self._count else 0

    def uid(self, sequence: int) -> int:
        """Return the UID of a sequence number; raises BadSequence when there is none."""
        if not 1 <= sequence <= self._count:
            raise BadSequence("no such message")
        run = bisect_right(self._before, sequence - 1) - 1
        return self._first[run] + sequence - 1 - self._before[run]

    def sequence(self, uid: int) -> int | None:
        """Return the sequence number of a UID, or None when the client doesn't know it."""
        run = bisect_right(self._first, uid) - 1
        if run < 0:
            return None
        offset = uid - self._first[run]
        return self._before[run] + offset + 1 if offset < self._length(run) else None

    def ranges(self) -> Iterator[Range]:
        """Yield the UIDs as sorted, disjoint ranges."""
        for run, first in enumerate(self._first):
            yield first, first + self._length(run) - 1

    # Sets

    def uids_of_sequences(self, numbers: SequenceSet) -> tuple[Range, ...]:
        """Return the UID ranges of a set of sequence numbers.

        Raises BadSequence when it names a message that there isn't (RFC 3501 §9 seq-number).
        """
        wanted = numbers.resolve(self._count)
        if not self._count or wanted[-1][1] > self._count:
            raise BadSequence("no such message")
        return self._uids_of(wanted)

    def uids_of_known_sequences(self, numbers: SequenceSet) -> tuple[Range, ...]:
        """Return the UID ranges of a set of sequence numbers, without those of no message, as SEARCH asks for them."""
        if not self._count:
            return ()
        return self._uids_of(intersect(numbers.resolve(self._count), ((1, self._count),)))

    def uids_of_uids(self, numbers: SequenceSet) -> tuple[Range, ...]:
        """Return the ranges of a UID set that the client knows, without the others (RFC 3501 §6.4.8)."""
        return intersect(numbers.resolve(self.largest_uid), tuple(self.ranges()))

    def iterate(self, uids: Iterable[Range]) -> Iterator[tuple[int, int]]:
        """Yield (sequence number, UID) for UID ranges, leaving out those the client doesn't know."""
        for known, shift in self._known(uids):
            for uid in known:
                yield uid + shift, uid

    # Changing

    def append(self, uids: Iterable[int]) -> int:
        """Add new UIDs, ignoring those not above the largest; return the new count (for EXISTS)."""
        largest = self.largest_uid
        self._append_ranges(compact(uid for uid in uids if uid > largest))
        return self._count

    def expunge(self, uids: Iterable[Range]) -> None:
        """Note that messages are gone; the client keeps their sequence numbers until `take_expunged`."""
        for known, _ in self._known(uids):
            self._expunged.update(known)

    def is_expunged(self, uid: int) -> bool:
        """Say whether the message is gone though the client hasn't been told yet."""
        return uid in self._expunged

    @property
    def has_expunged(self) -> bool:
        """True while an expunge waits to be reported."""
        return bool(self._expunged)

    def take_expunged(self) -> list[int]:
        """Forget the expunged; return the numbers to report, highest first so that each stays true."""
        sequences: list[int] = []
        gone = compact(self._expunged)
        for known, shift in self._known(gone):
            sequences += range(known.start + shift, known.stop + shift)
        sequences.reverse()
        self._forget(gone)
        return sequences

    def take_expunged_uids(self) -> tuple[Range, ...]:
        """Forget the expunged; return their UIDs (for VANISHED)."""
        gone = compact(self._expunged)
        self._forget(gone)
        return gone

    def _forget(self, gone: Sequence[Range]) -> None:
        """Forget the expunged, who are given as ranges."""
        if not gone:
            return
        kept = subtract(tuple(self.ranges()), tuple(gone))
        self._first, self._before, self._count = array("I"), array("I"), 0
        self._expunged = set()
        self._append_ranges(kept)

    # Runs

    def _known(self, uids: Iterable[Range]) -> Iterator[tuple[range, int]]:
        """Yield the parts of UID ranges that are in one run each, and what makes sequence numbers of their UIDs."""
        for low, high in uids:
            run = max(bisect_right(self._first, low) - 1, 0)
            while run < len(self._first) and self._first[run] <= high:
                first, length = self._first[run], self._length(run)
                known = range(max(low, first), min(high, first + length - 1) + 1)
                yield known, self._before[run] + 1 - first
                run += 1

    def _length(self, run: int) -> int:
        following = self._before[run + 1] if run + 1 < len(self._before) else self._count
        return following - self._before[run]

    def _append_ranges(self, ranges: Iterable[Range]) -> None:
        end = self.largest_uid
        for low, high in ranges:
            if low <= end or high < low:
                raise ValueError("UIDs must be ascending")
            if low != end + 1 or not self._count:
                self._first.append(low)
                self._before.append(self._count)
            self._count += high - low + 1
            end = high

    def _uids_of(self, sequences: Iterable[Range]) -> tuple[Range, ...]:
        return tuple(uids for low, high in sequences for uids in self._uid_ranges(low, high))

    def _uid_ranges(self, low: int, high: int) -> Iterator[Range]:
        run = bisect_right(self._before, low - 1) - 1
        while run < len(self._first) and self._before[run] < high:
            shift = self._first[run] - self._before[run] - 1
            yield (
                max(low, self._before[run] + 1) + shift,
                min(high, self._before[run] + self._length(run)) + shift,
            )
            run += 1
