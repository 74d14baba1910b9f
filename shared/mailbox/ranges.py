"""UID ranges as SQL takes them: long ones as BETWEEN, short ones gathered into IN lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shared.imap.sequence import Range

LONG_RANGE = 64  # numbers; a shorter one goes into a list
LIST_LENGTH = 2_000  # numbers in one list


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a set of UIDs: those of `uids`, or all from `low` to `high` when `uids` is empty."""

    low: int
    high: int
    uids: tuple[int, ...] = ()


def pieces(ranges: Iterable[Range]) -> Iterator[Piece]:
    """Cut sorted, disjoint ranges into pieces in ascending order, each worth one statement."""
    gathered: list[int] = []
    for low, high in ranges:
        if high - low >= LONG_RANGE:
            yield from _listed(gathered)
            gathered = []
            yield Piece(low, high)
        else:
            gathered.extend(range(low, high + 1))
            if len(gathered) >= LIST_LENGTH:
                yield from _listed(gathered)
                gathered = []
    yield from _listed(gathered)


def _listed(uids: list[int]) -> Iterator[Piece]:
    if uids:
        yield Piece(uids[0], uids[-1], tuple(uids))
