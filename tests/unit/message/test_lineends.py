"""Bare CR, bare LF, NUL, and CRLF for messages from elsewhere."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import PermanentFailure
from shared.message.lineends import LineEndChecker, LineEndFault, find_bare, to_crlf

LINES = st.text("ab\r\n\0", max_size=30).map(str.encode)


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", None),
        (b"a\r\nb\r\n", None),
        (b"a\nb", LineEndFault.BARE_LF),
        (b"a\rb", LineEndFault.BARE_CR),
        (b"a\r\n\r", LineEndFault.BARE_CR),
        (b"\n", LineEndFault.BARE_LF),
        (b"\r\r\n", LineEndFault.BARE_CR),
        (b"\n\r", LineEndFault.BARE_LF),
        (b"a\0\n", LineEndFault.NUL),
    ],
)
def test_first_fault(data, fault):
    assert find_bare(data) is fault


@given(LINES, st.lists(st.integers(0, 30), max_size=6))
def test_chunks_give_what_the_whole_gives(data, cuts):
    checker = LineEndChecker()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        checker.feed(data[start:end])
    assert checker.finish() is find_bare(data)


def test_a_fault_stays():
    checker = LineEndChecker()
    assert checker.feed(b"a\nb") is LineEndFault.BARE_LF
    assert checker.feed(b"fine\r\n") is LineEndFault.BARE_LF
    assert checker.finish() is LineEndFault.BARE_LF


@given(st.text("ab\r\n", max_size=30).map(str.encode))
def test_to_crlf_leaves_no_bare_lf_and_changes_nothing_else(data):
    changed = to_crlf(data)
    assert b"\n" not in changed.replace(b"\r\n", b"")
    assert changed.replace(b"\r\n", b"\n") == data.replace(b"\r\n", b"\n")
    assert to_crlf(changed) == changed


def test_to_crlf_refuses_nul():
    with pytest.raises(PermanentFailure) as caught:
        to_crlf(b"a\0b")
    assert (caught.value.code, caught.value.status) == (550, "5.6.0")
