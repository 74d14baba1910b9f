"""The receive buffer, fed whole, octet by octet, and with trailing data."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.imap.limits import ReceiveLimits
from shared.imap.receive import (
    CommandReceived,
    CommandRejected,
    CommandTail,
    Event,
    GiveUp,
    LineReceived,
    LiteralChunk,
    LiteralEnd,
    LiteralRequest,
    ReceiveBuffer,
)

SMALL = ReceiveLimits(line=64, command=100, discard=200)

Decide = Callable[[ReceiveBuffer, LiteralRequest], None]


def accept(buffer: ReceiveBuffer, request: LiteralRequest) -> None:
    """What a session does: stream a message, hold the rest, refuse what is too large."""
    if request.name == b"APPEND" and not request.first_argument:
        buffer.stream_literal()
    elif request.fits:
        buffer.accept_literal()
    else:
        buffer.refuse_literal()


def refuse(buffer: ReceiveBuffer, request: LiteralRequest) -> None:
    buffer.refuse_literal()


def run(pieces: Iterable[bytes], limits: ReceiveLimits = SMALL, decide: Decide = accept) -> list[Event]:
    buffer = ReceiveBuffer(limits)
    events: list[Event] = []
    for piece in pieces:
        buffer.feed(piece)
        while (event := buffer.next_event()) is not None:
            if isinstance(event, LiteralChunk) and events and isinstance(events[-1], LiteralChunk):
                events[-1] = LiteralChunk(events[-1].data + event.data)
            else:
                events.append(event)
            if isinstance(event, LiteralRequest):
                decide(buffer, event)
    return events


def octets(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def request(line: bytes, size: int, /, **changes: object) -> LiteralRequest:
    tag, name = line.split(b" ")[:2]
    values: dict[str, object] = {
        "tag": tag,
        "name": name.upper(),
        "size": size,
        "sync": True,
        "binary": False,
        "first_argument": False,
        "fits": True,
        "text": line,
    }
    return LiteralRequest(**(values | changes))  # type: ignore[arg-type]


CASES: dict[str, tuple[bytes, list[Event]]] = {
    "one line": (b"a001 NOOP\r\n", [CommandReceived(b"a001 NOOP")]),
    "bare LF": (b"a001 NOOP\n", [CommandReceived(b"a001 NOOP")]),
    "empty line": (b"\r\n", [CommandReceived(b"")]),
    "pipelined": (b"a NOOP\r\nb NOOP\r\n", [CommandReceived(b"a NOOP"), CommandReceived(b"b NOOP")]),
    "literals (RFC 3501 §6.2.3, §4.3)": (
        b"A001 LOGIN {11}\r\nFRED FOOBAR {7}\r\nfat man\r\n",
        [
            request(b"A001 LOGIN {11}", 11, first_argument=True),
            request(b"A001 LOGIN {11}\r\nFRED FOOBAR {7}", 7),
            CommandReceived(b"A001 LOGIN {11}\r\nFRED FOOBAR {7}\r\nfat man"),
        ],
    ),
    "non-synchronising (RFC 7888 §3)": (
        b"A001 LOGIN {11+}\r\nFRED FOOBAR {7+}\r\nfat man\r\n",
        [
            request(b"A001 LOGIN {11+}", 11, first_argument=True, sync=False),
            request(b"A001 LOGIN {11+}\r\nFRED FOOBAR {7+}", 7, sync=False),
            CommandReceived(b"A001 LOGIN {11+}\r\nFRED FOOBAR {7+}\r\nfat man"),
        ],
    ),
    "literal with line ends and a mark in it": (
        b"a X {9}\r\n\r\nb {5}\r\n\r\n",
        [
            request(b"a X {9}", 9, first_argument=True),
            CommandReceived(b"a X {9}\r\n\r\nb {5}\r\n"),
        ],
    ),
    "empty literal": (
        b"a SELECT {0}\r\n\r\n",
        [request(b"a SELECT {0}", 0, first_argument=True), CommandReceived(b"a SELECT {0}\r\n")],
    ),
    "streamed": (
        b"A003 APPEND saved (\\Seen) {12}\r\nDate: \r\n\r\nx\n\r\n",
        [
            request(b"A003 APPEND saved (\\Seen) {12}", 12),
            LiteralChunk(b"Date: \r\n\r\nx\n"),
            LiteralEnd(),
            CommandTail(b""),
        ],
    ),
    "streamed, larger than every limit": (
        b"a APPEND x {500+}\r\n" + b"y" * 500 + b"\r\n",
        [
            request(b"a APPEND x {500+}", 500, sync=False, fits=False),
            LiteralChunk(b"y" * 500),
            LiteralEnd(),
            CommandTail(b""),
        ],
    ),
    "streamed, nothing in it": (
        b"a APPEND x {0}\r\n\r\n",
        [request(b"a APPEND x {0}", 0), LiteralEnd(), CommandTail(b"")],
    ),
    "several streamed (RFC 3502)": (
        b"a APPEND x {1}\r\ny (\\Seen) ~{2+}\r\nzz\r\n",
        [
            request(b"a APPEND x {1}", 1),
            LiteralChunk(b"y"),
            LiteralEnd(),
            request(b"a APPEND (\\Seen) ~{2+}", 2, sync=False, binary=True, text=b" (\\Seen) ~{2+}"),
            LiteralChunk(b"zz"),
            LiteralEnd(),
            CommandTail(b""),
        ],
    ),
    "mailbox of APPEND as a literal": (
        b"a append {5}\r\nINBOX {1}\r\nx\r\n",
        [
            request(b"a append {5}", 5, first_argument=True),
            request(b"a append {5}\r\nINBOX {1}", 1),
            LiteralChunk(b"x"),
            LiteralEnd(),
            CommandTail(b""),
        ],
    ),
    "UID command": (
        b"a uid search {1}\r\nx\r\n",
        [
            request(b"a UID {1}", 1, name=b"UID SEARCH", first_argument=True, text=b"a uid search {1}"),
            CommandReceived(b"a uid search {1}\r\nx"),
        ],
    ),
    "long line": (
        b"a SEARCH " + b"x" * 100 + b"\r\nb NOOP\r\n",
        [CommandRejected(b"a", b"Line too long"), CommandReceived(b"b NOOP")],
    ),
    "long line without a tag": (
        b"x" * 100 + b"\r\nb NOOP\r\n",
        [CommandRejected(b"x" * 100, b"Line too long"), CommandReceived(b"b NOOP")],
    ),
    "long line and its literal": (
        b"a SEARCH " + b"x" * 100 + b" {3+}\r\n\r\nc\r\nb NOOP\r\n",
        [CommandRejected(b"a", b"Line too long"), CommandReceived(b"b NOOP")],
    ),
    "long line whose sender waits": (
        b"a SEARCH " + b"x" * 100 + b" {3}\r\nb NOOP\r\n",
        [CommandRejected(b"a", b"Line too long"), CommandReceived(b"b NOOP")],
    ),
    "literal that doesn't fit, waited for": (
        b"a LOGIN {200}\r\nb NOOP\r\n",
        [request(b"a LOGIN {200}", 200, first_argument=True, fits=False), CommandReceived(b"b NOOP")],
    ),
    "literal that doesn't fit, sent": (
        b"a LOGIN {150+}\r\n" + b"x" * 150 + b" {1+}\r\n\n\r\nb NOOP\r\n",
        [
            request(b"a LOGIN {150+}", 150, first_argument=True, fits=False, sync=False),
            CommandReceived(b"b NOOP"),
        ],
    ),
    "literal too large to be skipped": (
        b"a LOGIN {2147483648+}\r\nb NOOP\r\n",
        [
            request(b"a LOGIN {2147483648+}", 2**31, first_argument=True, fits=False, sync=False),
            GiveUp(b"Too much unusable input"),
        ],
    ),
    "literal beyond 63 bits": (
        b"a LOGIN {99999999999999999999}\r\nb NOOP\r\n",
        [CommandRejected(b"a", b"Literal too large"), CommandReceived(b"b NOOP")],
    ),
    "literal without a tag": (
        b"{5}\r\nb NOOP\r\n",
        [CommandRejected(None, b"Missing tag"), CommandReceived(b"b NOOP")],
    ),
    "command too long": (
        b"a X {60}\r\n" + b"x" * 60 + b" " + b"y" * 50 + b"\r\nb NOOP\r\n",
        [
            request(b"a X {60}", 60, first_argument=True),
            CommandRejected(b"a", b"Command too long"),
            CommandReceived(b"b NOOP"),
        ],
    ),
    "line without end": (
        b"a SEARCH " + b"x" * 300,
        [CommandRejected(b"a", b"Line too long"), GiveUp(b"Too much unusable input")],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_whole(name: str) -> None:
    data, events = CASES[name]
    assert run([data]) == events


@pytest.mark.parametrize("name", CASES)
def test_octet_by_octet(name: str) -> None:
    data, events = CASES[name]
    got = run(octets(data))
    assert [type(event) for event in got] == [type(event) for event in events]
    assert [e for e in got if not isinstance(e, CommandRejected)] == [
        e for e in events if not isinstance(e, CommandRejected)
    ]


@pytest.mark.parametrize("name", [name for name in CASES if "without end" not in name])
def test_trailing_data(name: str) -> None:
    data, events = CASES[name]
    if isinstance(events[-1], GiveUp):
        assert run([data + b"z NOO"]) == events
        return
    assert run([data + b"z NOO", b"P\r\n"]) == [*events, CommandReceived(b"z NOOP")]


def test_refused_literal_is_skipped_with_its_command() -> None:
    assert run([b"a LOGIN {3+}\r\nfoo bar\r\nb NOOP\r\n"], decide=refuse) == [
        request(b"a LOGIN {3+}", 3, first_argument=True, sync=False),
        CommandReceived(b"b NOOP"),
    ]


def test_refused_synchronising_literal_ends_its_command() -> None:
    assert run([b"a APPEND x {3}\r\nb NOOP\r\n"], decide=refuse) == [
        request(b"a APPEND x {3}", 3),
        CommandReceived(b"b NOOP"),
    ]


def test_line_that_was_asked_for() -> None:
    buffer = ReceiveBuffer(SMALL)
    buffer.feed(b"a IDLE\r\nDONE\r\nb NOOP\r\n")
    assert buffer.next_event() == CommandReceived(b"a IDLE")
    buffer.expect_line()
    assert buffer.next_event() == LineReceived(b"DONE")
    assert buffer.next_event() == CommandReceived(b"b NOOP")
    assert buffer.next_event() is None


def test_line_that_was_asked_for_may_look_like_a_literal() -> None:
    buffer = ReceiveBuffer(SMALL)
    buffer.expect_line()
    buffer.feed(b"x {5}\r\n")
    assert buffer.next_event() == LineReceived(b"x {5}")


def test_line_that_was_asked_for_is_limited() -> None:
    buffer = ReceiveBuffer(SMALL)
    buffer.expect_line()
    buffer.feed(b"x" * 65)
    assert buffer.next_event() == CommandRejected(None, b"Line too long")
    buffer.feed(b"\r\na NOOP\r\n")
    assert buffer.next_event() == CommandReceived(b"a NOOP")


def test_clear_forgets_what_came_before_tls() -> None:
    buffer = ReceiveBuffer(SMALL)
    buffer.feed(b"a STARTTLS\r\nb LOGIN x y\r\nc LOG")
    assert buffer.next_event() == CommandReceived(b"a STARTTLS")
    assert buffer.pending
    buffer.clear()
    buffer.feed(b"d NOOP\r\n")
    assert buffer.next_event() == CommandReceived(b"d NOOP")


def test_an_undecided_literal_is_the_sessions_mistake() -> None:
    buffer = ReceiveBuffer(SMALL)
    buffer.feed(b"a LOGIN {3}\r\n")
    assert isinstance(buffer.next_event(), LiteralRequest)
    with pytest.raises(RuntimeError):
        buffer.next_event()
    buffer.accept_literal()
    with pytest.raises(RuntimeError):
        buffer.refuse_literal()


def test_a_literal_over_the_limit_cannot_be_accepted() -> None:
    buffer = ReceiveBuffer(SMALL)
    buffer.feed(b"a LOGIN {3000}\r\n")
    assert isinstance(buffer.next_event(), LiteralRequest)
    with pytest.raises(RuntimeError):
        buffer.accept_literal()


def test_given_up_stays_given_up_and_holds_nothing() -> None:
    buffer = ReceiveBuffer(SMALL)
    buffer.feed(b"x" * 1000)
    assert isinstance(buffer.next_event(), CommandRejected)
    assert isinstance(buffer.next_event(), GiveUp)
    buffer.feed(b"a NOOP\r\n")
    assert buffer.next_event() is None
    assert buffer.pending == 0


def test_many_tiny_commands_in_one_piece() -> None:
    buffer = ReceiveBuffer()
    buffer.feed(b"a NOOP\r\n" * 50_000)
    count = 0
    while buffer.next_event() is not None:
        count += 1
    assert count == 50_000


def test_a_long_line_in_small_pieces_takes_linear_time() -> None:
    buffer = ReceiveBuffer(ReceiveLimits(line=1_000_000, command=1_000_000))
    for _ in range(10_000):
        buffer.feed(b"x" * 90)
        assert buffer.next_event() is None
    buffer.feed(b"\r\n")
    assert buffer.next_event() == CommandReceived(b"x" * 900_000)


_piece = st.sampled_from(
    [b"a NOOP\r\n", b"b X {3}\r\nabc\r\n", b"c APPEND x {4+}\r\nwxyz\r\n", b"d LOGIN {2+}\r\nxy {0}\r\n\r\n", b"\r\n"]
)


@given(st.lists(_piece, max_size=8), st.lists(st.integers(1, 20), min_size=1, max_size=10))
def test_pieces_make_no_difference(commands: list[bytes], sizes: list[int]) -> None:
    data = b"".join(commands)
    pieces, position, turn = [], 0, 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        pieces.append(data[position : position + size])
        position, turn = position + size, turn + 1
    assert run(pieces) == run([data])
