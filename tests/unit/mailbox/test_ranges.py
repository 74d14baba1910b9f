"""UID ranges cut into statements."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.imap.sequence import iterate, normalise
from shared.mailbox.ranges import LIST_LENGTH, LONG_RANGE, pieces

ranges = st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 300)).map(lambda p: (p[0], p[0] + p[1])), max_size=40)


@given(ranges)
def test_pieces_are_the_ranges_in_order(found):
    wanted = normalise(found)
    cut = list(pieces(wanted))
    numbers = [uid for piece in cut for uid in (piece.uids or range(piece.low, piece.high + 1))]
    assert numbers == list(iterate(wanted))
    assert all(not piece.uids or (piece.low, piece.high) == (piece.uids[0], piece.uids[-1]) for piece in cut)
    assert all(len(piece.uids) < LIST_LENGTH + LONG_RANGE for piece in cut)


def test_a_range_of_all_numbers_is_never_spelled_out():
    assert [(piece.low, piece.high, piece.uids) for piece in pieces([(1, 2**32 - 1)])] == [(1, 2**32 - 1, ())]
