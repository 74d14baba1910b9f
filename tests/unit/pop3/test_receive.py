"""POP3 lines, fed whole, octet by octet, and with trailing data."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from shared.pop3.receive import MAX_DISCARD, Event, GiveUp, LineReceived, LineTooLong, ReceiveBuffer


def run(pieces: Iterable[bytes]) -> list[Event]:
    buffer = ReceiveBuffer()
    events: list[Event] = []
    for piece in pieces:
        buffer.feed(piece)
        while (event := buffer.next_event()) is not None:
            events.append(event)
    return events


def octets(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


CASES: list[tuple[bytes, list[Event]]] = [
    (b"STAT\r\n", [LineReceived(b"STAT")]),
    (b"STAT\n", [LineReceived(b"STAT")]),
    (b"\r\n", [LineReceived(b"")]),
    (b"DELE 1\r\nDELE 2\r\n", [LineReceived(b"DELE 1"), LineReceived(b"DELE 2")]),
    (b"x" * 253 + b"\r\n", [LineReceived(b"x" * 253)]),
    (b"x" * 254 + b"\r\nQUIT\r\n", [LineTooLong(), LineReceived(b"QUIT")]),
    (b"x" * 5000 + b"\r\nQUIT\r\n", [LineTooLong(), LineReceived(b"QUIT")]),
]


@pytest.mark.parametrize(("data", "events"), CASES)
def test_lines(data: bytes, events: list[Event]) -> None:
    assert run([data]) == events
    assert run(octets(data)) == events
    assert run([data + b"NO", b"OP\r\n"]) == [*events, LineReceived(b"NOOP")]


def test_a_line_without_end_is_given_up() -> None:
    pieces = [b"x" * 1000] * (MAX_DISCARD // 1000 + 2)
    assert run([*pieces, b"\r\nQUIT\r\n"]) == [LineTooLong(), GiveUp()]


def test_longer_lines_while_a_sasl_response_is_awaited() -> None:
    buffer = ReceiveBuffer()
    buffer.max_line = 12_290
    buffer.feed(b"x" * 12_288 + b"\r\n")
    assert buffer.next_event() == LineReceived(b"x" * 12_288)


def test_clear_forgets_what_came_before_tls() -> None:
    buffer = ReceiveBuffer()
    buffer.feed(b"STLS\r\nUSER mallory\r\n")
    assert buffer.next_event() == LineReceived(b"STLS")
    assert buffer.pending
    buffer.clear()
    assert buffer.next_event() is None


def test_many_tiny_commands_in_one_piece() -> None:
    assert len(run([b"NOOP\r\n" * 50_000])) == 50_000
