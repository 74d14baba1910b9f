"""The text after DATA, cut into pieces everywhere."""

from __future__ import annotations

import pytest

from services.mta.text import DataText

CASES = [
    (b".\r\n", b""),
    (b"\r\n.\r\n", b"\r\n"),
    (b"hello\r\n.\r\n", b"hello\r\n"),
    (b"..\r\n.\r\n", b".\r\n"),
    (b".a\r\n.\r\n", b"a\r\n"),
    (b"a\r\n..b\r\n...\r\n.\r\n", b"a\r\n.b\r\n..\r\n"),
    (b"a.\r\n.\r\n", b"a.\r\n"),
    (b"\r\n\r\n\r\n.\r\n", b"\r\n\r\n\r\n"),
    (b"a\n.\nb\r\n.\r\n", b"a\n.\nb\r\n"),  # not the end: smuggling
    (b"a\r.\rb\r\n.\r\n", b"a\r.\rb\r\n"),
    (b"a\n.\r\nb\r\n.\r\n", b"a\n.\r\nb\r\n"),
    (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\nb\r\n"),  # the dot is stuffing; the bare LF gets it refused
    (b"a\r\n.\rb\r\n.\r\n", b"a\r\n\rb\r\n"),
    (b"a\r\r\n.\r\n", b"a\r\r\n"),
]


def read(pieces: list[bytes]) -> tuple[bytes, bytes]:
    """The text and what follows it."""
    text, got = DataText(), b""
    for number, piece in enumerate(pieces):
        got += text.feed(piece)
        if text.done:
            return got, text.rest + b"".join(pieces[number + 1 :])
    raise AssertionError("no end")


@pytest.mark.parametrize(("wire", "text"), CASES)
@pytest.mark.parametrize("behind", [b"", b"QUIT\r\n", b".\r\n", b"\r\n.\r\n"])
def test_pieces_of_any_size(wire: bytes, text: bytes, behind: bytes) -> None:
    data = wire + behind
    assert read([data]) == (text, behind)
    assert read([data[i : i + 1] for i in range(len(data))]) == (text, behind)
    for cut in range(1, len(data)):
        assert read([data[:cut], data[cut:]]) == (text, behind)


def test_holds_back_at_most_the_beginning_of_the_end() -> None:
    text = DataText()
    assert text.feed(b"x" * 10 + b"\r\n.") == b"x" * 10
    assert text.feed(b"\r") == b""
    assert text.feed(b"y") == b"\r\n\ry"
    assert not text.done
