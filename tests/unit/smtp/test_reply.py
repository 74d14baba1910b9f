"""Replies: whole, byte by byte, with more behind them, and beyond the limits."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.smtp import reply as module
from shared.smtp.reply import Reply, ReplyError, ReplyParser, local_reply

CASES = [
    (b"250 2.1.5 ok\r\n", Reply(250, ("2.1.5 ok",))),
    (b"250\r\n", Reply(250, ("",))),
    (b"250 \r\n", Reply(250, ("",))),
    (b"354 go\n", Reply(354, ("go",))),
    (b"250-a.test\r\n250-SIZE 10\r\n250 DSN\r\n", Reply(250, ("a.test", "SIZE 10", "DSN"))),
    (b"550-5.1.1 no\r\n550 5.1.1 such user\r\n", Reply(550, ("5.1.1 no", "5.1.1 such user"))),
    (b"550 caf\xc3\xa9 \xff\x00\r\n", Reply(550, ("café �?",))),
]


@pytest.mark.parametrize(("wire", "expected"), CASES)
def test_whole(wire: bytes, expected: Reply) -> None:
    parser = ReplyParser()
    assert parser.feed(wire) == [expected]
    assert parser.is_empty


@pytest.mark.parametrize(("wire", "expected"), CASES)
def test_byte_by_byte(wire: bytes, expected: Reply) -> None:
    parser = ReplyParser()
    assert [reply for octet in wire for reply in parser.feed(bytes([octet]))] == [expected]


@pytest.mark.parametrize(("wire", "expected"), CASES)
def test_with_more_behind(wire: bytes, expected: Reply) -> None:
    parser = ReplyParser()
    assert parser.feed(wire + wire + b"25") == [expected, expected]
    assert not parser.is_empty
    assert parser.feed(b"0 x\r\n") == [Reply(250, ("x",))]


@pytest.mark.parametrize(
    "wire",
    [
        b"hello\r\n",
        b"99 x\r\n",
        b"150 x\r\n",
        b"600 x\r\n",
        b"2500\r\n",
        b"\r\n",
        b"250-a\r\n251 b\r\n",
        b"250 " + b"x" * module.MAX_LINE + b"\r\n",
        b"x" * (module.MAX_LINE + 1),
        b"250-x\r\n" * module.MAX_LINES + b"250 x\r\n",
    ],
)
def test_refused(wire: bytes) -> None:
    with pytest.raises(ReplyError):
        ReplyParser().feed(wire)


def test_status_and_text() -> None:
    reply = Reply(550, ("5.1.1 no", "5.1.1 such user"))
    assert (reply.status, reply.text, str(reply)) == ("5.1.1", "5.1.1 no such user", "550 5.1.1 no such user")
    assert Reply(550, ("2.0.0 odd",)).status == ""
    assert Reply(550, ("no status",)).status == ""
    assert Reply(550, ("5.1.1",)).status == "5.1.1"
    assert len(Reply(550, ("x" * 2000,)).text) == module.MAX_TEXT


def test_local_reply_is_one_clean_line() -> None:
    assert local_reply(451, "4.4.1", "a\r\nb").lines == ("4.4.1 a??b",)


@given(st.lists(st.sampled_from([wire for wire, _ in CASES]), max_size=8), st.lists(st.integers(0, 200)))
def test_pieces_make_no_difference(wires: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(wires)
    whole = ReplyParser().feed(stream)
    parser, edges = ReplyParser(), sorted({0, len(stream), *(c for c in cuts if c < len(stream))})
    pieces = [stream[a:b] for a, b in pairwise(edges)]
    assert [reply for piece in pieces for reply in parser.feed(piece)] == whole
