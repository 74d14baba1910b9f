"""Sequence sets: parsing, resolution of `*`, and compact rendering (RFC 3501 §9 sequence-set)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from shared.imap.limits import MAX_NUMBER, MAX_SEQUENCE_RANGES

Range = tuple[int, int]
"""First and last number, both included."""

STAR = MAX_NUMBER + 1
"""`*`, the largest number in use, before it is resolved."""

# seq-number = nz-number / "*"; seq-range = seq-number ":" seq-number
_ELEMENT = rb"(?:[1-9][0-9]{0,9}|\*)(?::(?:[1-9][0-9]{0,9}|\*))?"
_SET = re.compile(_ELEMENT + rb"(?:,(?:" + _ELEMENT + rb"|\$))*|\$(?:,(?:" + _ELEMENT + rb"|\$))*")


class BadSequence(ValueError):
    """Not a sequence set, too long a one, or a number that no message has."""


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """A set as its client wrote it: ranges with low <= high, where `STAR` is above every number.

    `saved`: the result of an earlier search belongs to it too (RFC 5182).
    """

    ranges: tuple[Range, ...]
    saved: bool = False

    @classmethod
    def parse(cls, text: bytes) -> SequenceSet:
        """Parse `1,3:5,9:*`, `$` or both; raises BadSequence."""
        if text == b"$":
            return cls((), saved=True)
        if text.count(b",") >= MAX_SEQUENCE_RANGES:
            raise BadSequence("sequence set has too many elements")
        if _SET.fullmatch(text) is None:
            raise BadSequence("not a sequence set")
        elements = text.split(b",")
        ranges = tuple(_parse_range(element) for element in elements if element != b"$")
        return cls(ranges, saved=len(ranges) < len(elements))

    @property
    def has_star(self) -> bool:
        """True when the set names the largest number in use."""
        return any(high == STAR for _, high in self.ranges)

    def resolve(self, largest: int) -> tuple[Range, ...]:
        """Return sorted, disjoint ranges, `*` being `largest`; at 0 `*` names nothing."""
        if largest:
            return normalise(_order(low, high, largest) for low, high in self.ranges)
        return normalise((low, min(high, MAX_NUMBER)) for low, high in self.ranges if low != STAR)

    def render(self) -> bytes:
        """Return the set as it goes over the wire."""
        return b",".join((*(b"$",) * self.saved, *(_render_range(low, high) for low, high in self.ranges)))


def normalise(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Sort ranges and join those that touch or overlap."""
    joined: list[Range] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return tuple(joined)


def compact(numbers: Iterable[int]) -> tuple[Range, ...]:
    """Return the ranges of a collection of numbers in any order."""
    ordered = sorted(numbers)
    if ordered and ordered[0] > 0 and ordered == list(range(ordered[0], ordered[0] + len(ordered))):
        return ((ordered[0], ordered[-1]),)  # neighbours all along, as most often: a tenth of the loop's time
    joined: list[Range] = []
    first = last = 0
    for number in ordered:
        if number == last + 1 and first:
            last = number
        elif number != last or not first:
            if first:
                joined.append((first, last))
            first = last = number
    if first:
        joined.append((first, last))
    return tuple(joined)


def in_order(numbers: Sequence[int]) -> tuple[Range, ...]:
    """Return the ranges of numbers that ascend, none of them twice: at once if they are neighbours all along."""
    if numbers and numbers[-1] - numbers[0] == len(numbers) - 1:
        return ((numbers[0], numbers[-1]),)
    return compact(numbers)


def render_ranges(ranges: Iterable[Range]) -> bytes:
    """Return `1:5,7` for ((1, 5), (7, 7))."""
    return b",".join(_render_range(low, high) for low, high in ranges)


def render_runs(numbers: Sequence[int]) -> bytes:
    """Return numbers in their own order, those that ascend one by one as ranges (RFC 5267 §3.2)."""
    runs: list[Range] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return render_ranges(runs)


def iterate(ranges: Iterable[Range]) -> Iterator[int]:
    """Yield every number of the ranges."""
    for low, high in ranges:
        yield from range(low, high + 1)


def count(ranges: Iterable[Range]) -> int:
    """Return how many numbers the ranges hold."""
    return sum(high - low + 1 for low, high in ranges)


def window(ranges: Iterable[Range], first: int, last: int) -> tuple[Range, ...]:
    """Return the ranges of the numbers from one place to before another, counted from 0."""
    cut: list[Range] = []
    for low, high in ranges:
        length = high - low + 1
        if first < length and last > max(first, 0):
            cut.append((low + max(first, 0), min(high, low + last - 1)))
        first, last = first - length, last - length
    return tuple(cut)


def contains(ranges: Sequence[Range], number: int) -> bool:
    """Say whether sorted, disjoint ranges contain the number."""
    low, high = 0, len(ranges)
    while low < high:
        middle = (low + high) // 2
        if ranges[middle][1] < number:
            low = middle + 1
        else:
            high = middle
    return low < len(ranges) and ranges[low][0] <= number


def intersect(left: Sequence[Range], right: Sequence[Range]) -> tuple[Range, ...]:
    """Return what two sequences of sorted, disjoint ranges have in common."""
    common: list[Range] = []
    i = j = 0
    while i < len(left) and j < len(right):
        low, high = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if low <= high:
            common.append((low, high))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(common)


def subtract(left: Sequence[Range], right: Sequence[Range]) -> tuple[Range, ...]:
    """Return what is in `left` and not in `right`, both sorted and disjoint."""
    kept: list[Range] = []
    j = 0
    for low, high in left:
        while j < len(right) and right[j][1] < low:
            j += 1
        k = j
        while k < len(right) and right[k][0] <= high:
            if right[k][0] > low:
                kept.append((low, right[k][0] - 1))
            low = right[k][1] + 1
            k += 1
        if low <= high:
            kept.append((low, high))
        j = max(j, k - 1)
    return tuple(kept)


def _parse_range(element: bytes) -> Range:
    first, colon, last = element.partition(b":")
    low = _parse_number(first)
    high = _parse_number(last) if colon else low
    return (low, high) if low <= high else (high, low)


def _parse_number(text: bytes) -> int:
    if text == b"*":
        return STAR
    number = int(text)
    if number > MAX_NUMBER:
        raise BadSequence("number over 32 bits")
    return number


def _order(low: int, high: int, largest: int) -> Range:
    low = largest if low == STAR else low
    high = largest if high == STAR else high
    return (low, high) if low <= high else (high, low)


def _render_range(low: int, high: int) -> bytes:
    left = b"*" if low == STAR else b"%d" % low
    if low == high:
        return left
    return left + (b":*" if high == STAR else b":%d" % high)
