"""Dot-stuffing: the same whatever the pieces, and undone by what a server does."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.smtp.dots import BareLineEnd, DotStuffer

LINES = st.lists(st.sampled_from([b"", b".", b"..", b".x", b"x.", b"abc"]), max_size=12)


def stuff(*pieces: bytes) -> bytes:
    stuffer = DotStuffer()
    return b"".join([*(stuffer.encode(piece) for piece in pieces), stuffer.end()])


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        (b"", b".\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.\r\n.b\r\n", b"a\r\n..\r\n..b\r\n.\r\n"),
        (b"\r\n.\r\n", b"\r\n..\r\n.\r\n"),
    ],
)
def test_stuffed(text: bytes, wire: bytes) -> None:
    assert stuff(text) == wire
    assert stuff(*(text[i : i + 1] for i in range(len(text)))) == wire


@pytest.mark.parametrize("text", [b"a\nb\r\n", b"a\rb\r\n", b"\n", b"\r", b"a\r\n\n", b"a\r\r\n", b"\r\n\r"])
def test_bare_line_ends_are_refused(text: bytes) -> None:
    with pytest.raises(BareLineEnd):
        stuff(text)
    with pytest.raises(BareLineEnd):
        stuff(*(text[i : i + 1] for i in range(len(text))))


@given(LINES, st.booleans(), st.lists(st.integers(0, 60), max_size=6))
def test_a_server_reads_what_was_meant(lines: list[bytes], ended: bool, cuts: list[int]) -> None:
    text = b"\r\n".join(lines) + (b"\r\n" if ended else b"")
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    wire = stuff(*(text[a:b] for a, b in pairwise(edges)))
    assert wire == stuff(text)
    assert (b"\r\n" + wire).index(b"\r\n.\r\n") == len(wire) - 3  # only at the end
    expected = text if text.endswith(b"\r\n") or not text else text + b"\r\n"
    assert unstuff(wire[:-3]) == expected


def unstuff(wire: bytes) -> bytes:
    return b"".join(line.removeprefix(b".") for line in wire.splitlines(keepends=True))
