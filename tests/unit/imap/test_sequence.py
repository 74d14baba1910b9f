"""Sequence sets against plain Python sets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.imap import sequence
from shared.imap.limits import MAX_NUMBER, MAX_SEQUENCE_RANGES
from shared.imap.sequence import STAR, BadSequence, SequenceSet

small = st.integers(1, 60)
ranges = st.lists(st.tuples(small, small).map(lambda pair: (min(pair), max(pair))), max_size=20)


def expand(some: object) -> set[int]:
    return set(sequence.iterate(some))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        (b"1", ((1, 1),)),
        (b"*", ((STAR, STAR),)),
        (b"2,4:7,9,12:*", ((2, 2), (4, 7), (9, 9), (12, STAR))),
        (b"*:4,5:7", ((4, STAR), (5, 7))),
        (b"7:5", ((5, 7),)),
        (b"4294967295", ((MAX_NUMBER, MAX_NUMBER),)),
    ],
)
def test_parse(text: bytes, parsed: object) -> None:
    assert SequenceSet.parse(text).ranges == parsed


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"0",
        b"01",
        b",",
        b"1,",
        b",1",
        b"1:",
        b":1",
        b"1:2:3",
        b"1,,2",
        b"-1",
        b"4294967296",
        b"1 2",
        b"**",
        b"1\n",
    ],
)
def test_parse_bad(text: bytes) -> None:
    with pytest.raises(BadSequence):
        SequenceSet.parse(text)


def test_too_many_elements() -> None:
    SequenceSet.parse(b",".join([b"1"] * MAX_SEQUENCE_RANGES))
    with pytest.raises(BadSequence):
        SequenceSet.parse(b",".join([b"1"] * (MAX_SEQUENCE_RANGES + 1)))


def test_the_examples_of_the_grammar() -> None:
    # RFC 3501 §9: 2,4:7,9,12:* for a mailbox of 15, and *:4,5:7 for one of 10
    assert expand(SequenceSet.parse(b"2,4:7,9,12:*").resolve(15)) == {2, 4, 5, 6, 7, 9, 12, 13, 14, 15}
    assert SequenceSet.parse(b"*:4,5:7").resolve(10) == ((4, 10),)
    # RFC 3501 §6.4.8: a UID range always holds the last message, even if n is larger
    assert SequenceSet.parse(b"559:*").resolve(3) == ((3, 559),)


def test_star_names_nothing_in_an_empty_mailbox() -> None:
    assert SequenceSet.parse(b"*").resolve(0) == ()
    assert SequenceSet.parse(b"3,5:*").resolve(0) == ((3, 3), (5, MAX_NUMBER))


@given(ranges, st.integers(1, 60))
def test_render_round_trip(some: list[tuple[int, int]], largest: int) -> None:
    if some:
        parsed = SequenceSet.parse(sequence.render_ranges(some))
        assert list(parsed.ranges) == some
        assert parsed.render() == sequence.render_ranges(some)
        assert expand(parsed.resolve(largest)) == expand(some)


@given(ranges)
def test_normalise(some: list[tuple[int, int]]) -> None:
    result = sequence.normalise(some)
    assert expand(result) == expand(some)
    assert all(left[1] + 1 < right[0] for left, right in pairwise(result))


@given(st.lists(st.integers(1, 60)))
def test_compact(numbers: list[int]) -> None:
    result = sequence.compact(numbers)
    assert list(sequence.iterate(result)) == sorted(set(numbers))
    assert result == sequence.normalise((n, n) for n in numbers)


@given(ranges, ranges, small)
def test_set_operations(left: list[tuple[int, int]], right: list[tuple[int, int]], number: int) -> None:
    a, b = sequence.normalise(left), sequence.normalise(right)
    assert expand(sequence.intersect(a, b)) == expand(a) & expand(b)
    assert expand(sequence.subtract(a, b)) == expand(a) - expand(b)
    assert sequence.contains(a, number) == (number in expand(a))


@pytest.mark.parametrize("numbers", [[], [7], [3, 4, 5], [1, 3, 4, 9], range(2, 40)])
def test_what_is_in_order_is_what_is_compacted(numbers: Sequence[int]) -> None:
    assert sequence.in_order(numbers) == sequence.compact(numbers)


def test_render() -> None:
    assert sequence.render_ranges(sequence.compact([7, 1, 2, 3, 5, 4, 7])) == b"1:5,7"
    assert sequence.render_ranges(()) == b""
    assert SequenceSet.parse(b"*,5:*").render() == b"*,5:*"
    assert SequenceSet.parse(b"5:*").has_star
    assert not SequenceSet.parse(b"5:6").has_star
