"""The view against a plain list of UIDs."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shared.imap.sequence import BadSequence, SequenceSet, compact, iterate
from shared.imap.view import View


def numbers(text: bytes) -> SequenceSet:
    return SequenceSet.parse(text)


@pytest.fixture
def view() -> View:
    return View([(1, 3), (7, 9), (20, 20)])  # 1 2 3 7 8 9 20


def test_lookup(view: View) -> None:
    assert len(view) == 7
    assert [view.uid(n) for n in range(1, 8)] == [1, 2, 3, 7, 8, 9, 20]
    assert [view.sequence(uid) for uid in (1, 3, 4, 7, 9, 10, 20, 21)] == [1, 3, None, 4, 6, None, 7, None]
    assert 8 in view
    assert 5 not in view
    assert view.largest_uid == 20
    for wrong in (0, 8, -1):
        with pytest.raises(BadSequence):
            view.uid(wrong)


def test_sets(view: View) -> None:
    assert view.uids_of_sequences(numbers(b"2:5,*")) == ((2, 3), (7, 8), (20, 20))
    assert view.uids_of_uids(numbers(b"3:8,15:*")) == ((3, 3), (7, 8), (20, 20))
    assert view.uids_of_uids(numbers(b"500:*")) == ((20, 20),)
    assert view.uids_of_uids(numbers(b"500")) == ()
    assert list(view.iterate(((2, 8), (20, 20)))) == [(2, 2), (3, 3), (4, 7), (5, 8), (7, 20)]


def test_a_number_without_a_message_is_bad(view: View) -> None:
    for text in (b"8", b"1:8", b"8:*", b"1,9"):
        with pytest.raises(BadSequence):
            view.uids_of_sequences(numbers(text))
    for text in (b"1", b"*", b"1:*"):
        with pytest.raises(BadSequence):
            View().uids_of_sequences(numbers(text))
    assert View().uids_of_uids(numbers(b"1:*")) == ()


def test_expunge_is_held_back(view: View) -> None:
    view.expunge([(2, 2), (5, 5), (7, 7), (20, 20)])
    assert view.has_expunged
    assert view.is_expunged(7)
    assert not view.is_expunged(5)
    assert len(view) == 7
    assert view.sequence(8) == 5
    assert view.take_expunged() == [7, 4, 2]
    assert not view.has_expunged
    assert list(view.ranges()) == [(1, 1), (3, 3), (8, 9)]
    assert view.sequence(8) == 3
    assert view.take_expunged() == []


def test_append(view: View) -> None:
    assert view.append([9, 20, 21, 22, 30]) == 10
    assert list(view.ranges()) == [(1, 3), (7, 9), (20, 22), (30, 30)]
    assert View().append([5]) == 1


def test_ranges_must_ascend() -> None:
    for ranges in ([(5, 6), (6, 7)], [(5, 4)], [(5, 6), (1, 2)]):
        with pytest.raises(ValueError, match="ascending"):
            View(ranges)


def test_a_large_mailbox_is_small_in_memory() -> None:
    view = View([(1, 100_000)])
    assert sys.getsizeof(view) + sys.getsizeof(view._first) + sys.getsizeof(view._before) < 500
    assert view.sequence(77_777) == 77_777


@given(st.sets(st.integers(1, 80)), st.sets(st.integers(1, 80)))
def test_iterate(uids: set[int], wanted: set[int]) -> None:
    view = View(compact(uids))
    order = sorted(uids)
    assert list(view.iterate(compact(wanted))) == [(order.index(uid) + 1, uid) for uid in sorted(uids & wanted)]


class AgainstAList(RuleBasedStateMachine):
    """A client applies EXISTS and EXPUNGE one by one to its own list, and must always agree."""

    def __init__(self) -> None:
        super().__init__()
        self.view = View()
        self.uids: list[int] = []
        self.pending: set[int] = set()
        self.next_uid = 1

    @rule(gaps=st.lists(st.integers(0, 3), max_size=5))
    def append(self, gaps: list[int]) -> None:
        new = []
        for gap in gaps:
            self.next_uid += gap
            new.append(self.next_uid)
            self.next_uid += 1
        self.uids += new
        assert self.view.append(new) == len(self.uids)

    @rule(uids=st.sets(st.integers(1, 60)))
    def expunge(self, uids: set[int]) -> None:
        self.view.expunge(compact(uids))
        self.pending |= uids & set(self.uids)

    @rule()
    def report(self) -> None:
        for number in self.view.take_expunged():
            self.pending.remove(self.uids.pop(number - 1))
        assert not self.pending

    @invariant()
    def agrees(self) -> None:
        assert list(iterate(self.view.ranges())) == self.uids
        assert len(self.view) == len(self.uids)
        for number, uid in enumerate(self.uids, 1):
            assert self.view.uid(number) == uid
            assert self.view.sequence(uid) == number


TestAgainstAList = AgainstAList.TestCase
