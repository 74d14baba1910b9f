"""What a client that comes back is told to be gone: all that it lost, and nothing that is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.imap.command import Resync
from shared.imap.command_parser import BadCommand, parse_command
from shared.imap.resync import known_uids, unaffected_up_to, vanished_of
from shared.imap.sequence import SequenceSet, compact, iterate, subtract
from shared.imap.view import View

MOST = 40


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], list[int], list[int], bool]:
    """UIDs that a client knew, those that are there now, places of pairs it sends, and whether it names UIDs."""
    old = sorted(draw(st.sets(st.integers(1, MOST))))
    kept = [uid for uid in old if draw(st.booleans())]
    new = sorted(draw(st.sets(st.integers(MOST + 1, MOST + 10))))
    places = sorted(draw(st.sets(st.integers(0, len(old) - 1)))) if old else []
    return old, kept + new, places, draw(st.booleans())


@given(histories())
def test_whatever_the_client_lost_has_vanished(history: tuple[list[int], list[int], list[int], bool]) -> None:
    old, now, places, is_named = history
    resync = Resync(
        1,
        1,
        SequenceSet(compact(old)) if is_named and old else None,
        compact(place + 1 for place in places),
        compact(old[place] for place in places),
    )
    uidnext = MOST + 11
    view = View(compact(now))
    forgotten = subtract(((1, uidnext - 1),), compact(now))  # the server remembers no expunge
    told = set(iterate(vanished_of(resync, forgotten, view, uidnext, is_exact=False)))
    assert told >= set(old) - set(now)
    assert not told & set(now)
    if is_named and old:
        assert told <= set(old)
    if places and set(old) <= set(now):
        assert all(uid > old[places[-1]] for uid in told)


def test_what_the_server_remembers_is_told_as_it_is() -> None:
    resync = Resync(1, 1, SequenceSet(((2, 5),)), ((1, 1),), ((9, 9),))
    assert vanished_of(resync, ((1, 3), (5, 8)), View([(9, 9)]), 10, is_exact=True) == ((2, 3), (5, 5))


def test_pairs_far_apart_are_found_without_counting() -> None:
    everything = ((1, 4_000_000_000),)
    resync = Resync(1, 1, None, everything, everything)
    assert unaffected_up_to(resync, View([(1, 100), (200, 300)])) == 100
    assert known_uids(resync, 1) == ()


@pytest.mark.parametrize(
    "text",
    [
        b"(QRESYNC (0 1))",
        b"(QRESYNC (1 0))",
        b"(QRESYNC (1))",
        b"(QRESYNC 1 1)",
        b"(QRESYNC (1 1 1:*))",
        b"(QRESYNC (1 1 (1:2 3)))",
        b"(QRESYNC (1 1 (2,1 3,4)))",
        b"(QRESYNC (1 1 (1 2) 3))",
        b"(QRESYNC (1 1 2 3))",
        b"(QRESYNC (1 1) QRESYNC (1 1))",
        b"()",
        b"(QRESYNC (1 9223372036854775808))",
    ],
)
def test_bad_parameters(text: bytes) -> None:
    with pytest.raises(BadCommand):
        parse_command(b"a SELECT x " + text)
