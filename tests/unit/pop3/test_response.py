"""POP3 responses, multi-line octets and the maildrop."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.pop3 import response as r
from shared.pop3.maildrop import Maildrop, NoSuchMessage
from shared.pop3.multiline import DotStuffer, TopSlicer, stuff, top


def test_lines() -> None:
    assert r.ok() == b"+OK\r\n"
    assert r.ok(b"POP3 server ready") == b"+OK POP3 server ready\r\n"
    assert r.err(b"no such message") == b"-ERR no such message\r\n"
    assert r.err(b"Do you have another POP session running?", r.IN_USE) == (
        b"-ERR [IN-USE] Do you have another POP session running?\r\n"
    )
    assert r.err(b"a\r\n+OK b\xff") == b"-ERR a??+OK b?\r\n"
    assert len(r.err(b"x" * 1000)) == r.MAX_RESPONSE_LINE
    assert r.challenge(b"dGVzdA==") == b"+ dGVzdA==\r\n"
    assert r.stat(2, 320) == b"+OK 2 320\r\n"
    assert r.scan(2, 200) == b"+OK 2 200\r\n"
    assert r.scan_listing([(1, 120), (2, 200)]) == b"+OK\r\n1 120\r\n2 200\r\n.\r\n"
    assert r.scan_listing([]) == b"+OK\r\n.\r\n"
    assert r.uid(2, b"QhdPYR") == b"+OK 2 QhdPYR\r\n"
    assert r.uid_listing([(1, b"a"), (2, b"b")]) == b"+OK\r\n1 a\r\n2 b\r\n.\r\n"
    assert r.capabilities([b"TOP", b"SASL PLAIN"]) == b"+OK Capabilities\r\nTOP\r\nSASL PLAIN\r\n.\r\n"


def test_unique_ids() -> None:
    ids = {r.unique_id(validity, uid) for validity in (1, 16, 0xFFFFFFFF) for uid in (1, 16, 0xFFFFFFFF)}
    assert len(ids) == 9
    assert all(len(identifier) <= 70 and identifier.isalnum() for identifier in ids)


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r", b"a\r\r\n.\r\n"),
        (b"a\n", b"a\n\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b".\r\n", b"..\r\n.\r\n"),
        (b"a\r\n.\r\n..\r\n", b"a\r\n..\r\n...\r\n.\r\n"),
        (b"a.b\r\n.", b"a.b\r\n..\r\n.\r\n"),
        (b"a\n.\nb", b"a\n..\nb\r\n.\r\n"),
    ],
)
def test_stuffing(message: bytes, wire: bytes) -> None:
    assert stuff(message) == wire
    stuffer = DotStuffer()
    pieces = [stuffer.feed(message[i : i + 1]) for i in range(len(message))]
    assert b"".join(pieces) + stuffer.end() == wire


message_text = st.text("a.\r\n", max_size=30).map(str.encode)


@given(message_text, st.lists(st.integers(0, 5), max_size=10))
def test_stuffing_in_chunks(message: bytes, sizes: list[int]) -> None:
    stuffer = DotStuffer()
    wire, position = b"", 0
    for size in sizes:
        wire += stuffer.feed(message[position : position + size])
        position += size
    wire += stuffer.feed(message[position:]) + stuffer.end()
    assert wire == stuff(message)


@given(st.lists(st.text("a.", max_size=5).map(str.encode), max_size=8))
def test_a_client_reads_what_was_stuffed(lines: list[bytes]) -> None:
    message = b"".join(line + b"\r\n" for line in lines)
    wire = stuff(message)
    body, end, rest = (b"\r\n" + wire).partition(b"\r\n.\r\n")
    assert end
    assert not rest
    read = [line.removeprefix(b".") for line in (body + b"\r\n")[2:].split(b"\r\n")[:-1]]
    assert b"".join(line + b"\r\n" for line in read) == message


MESSAGE = b"Subject: x\r\nTo: y\r\n\r\n1\r\n2\r\n\r\n3"


@pytest.mark.parametrize(
    ("message", "lines", "slice_"),
    [
        (MESSAGE, 0, b"Subject: x\r\nTo: y\r\n\r\n"),
        (MESSAGE, 1, b"Subject: x\r\nTo: y\r\n\r\n1\r\n"),
        (MESSAGE, 3, b"Subject: x\r\nTo: y\r\n\r\n1\r\n2\r\n\r\n"),
        (MESSAGE, 4, MESSAGE),
        (MESSAGE, 1000, MESSAGE),
        (b"no: body\r\n", 5, b"no: body\r\n"),
        (b"\r\nno header\r\nx", 1, b"\r\nno header\r\n"),
        (b"a: b\n\n1\n2\n", 1, b"a: b\n\n1\n"),
        (b"", 5, b""),
    ],
)
def test_top(message: bytes, lines: int, slice_: bytes) -> None:
    assert top(message, lines) == slice_
    for size in (1, 2, 3):
        slicer = TopSlicer(lines)
        pieces = [slicer.feed(message[i : i + size]) for i in range(0, len(message), size)]
        assert b"".join(pieces) == slice_


def test_top_says_when_it_needs_no_more() -> None:
    slicer = TopSlicer(1)
    assert slicer.feed(MESSAGE)
    assert slicer.done
    assert slicer.feed(b"more\r\n") == b""


def test_maildrop() -> None:
    drop = Maildrop([(5, 120), (9, 200), (12, 1)])
    assert (drop.count, drop.octets) == (3, 321)
    drop.delete(2)
    assert (drop.count, drop.octets) == (2, 121)
    assert list(drop.sizes()) == [(1, 120), (3, 1)]
    assert list(drop.uids()) == [(1, 5), (3, 12)]
    assert (drop.uid(3), drop.size(3)) == (12, 1)
    for number in (0, 2, 4, -1):
        with pytest.raises(NoSuchMessage):
            drop.uid(number)
        with pytest.raises(NoSuchMessage):
            drop.delete(number)
    assert drop.deleted_uids() == [9]
    drop.reset()
    assert (drop.count, drop.octets, drop.deleted_uids()) == (3, 321, [])
