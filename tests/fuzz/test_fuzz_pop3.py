"""POP3's parsers on mutated lines: a value or BadCommand, whatever comes, and never out of step."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.pop3.command import BadCommand, parse_command
from shared.pop3.multiline import TopSlicer, stuff, top
from shared.pop3.receive import MAX_LINE, LineReceived, ReceiveBuffer
from tests.fuzz.mutation import mutate

ROUNDS = 5000
SEEDS = [
    b"USER alice@example.org\r\n", b"PASS two words \r\n", b"AUTH PLAIN AHRpbQB4\r\n", b"CAPA\r\n", b"STAT\r\n",
    b"LIST 1\r\n", b"UIDL\r\n", b"RETR 2\r\n", b"DELE 3\r\n", b"TOP 1 10\r\n", b"RSET\r\n", b"QUIT\r\n", b"STLS\r\n",
]  # fmt: skip
TOKENS = [b" ", b"\r", b"\n", b"\0", b"9" * 12, b"\xff", b"x" * 300, b"-1"]


def take(pieces: list[bytes]) -> list[object]:
    buffer = ReceiveBuffer()
    events: list[object] = []
    for piece in pieces:
        buffer.feed(piece)
        while (event := buffer.next_event()) is not None:
            events.append(event)
            if isinstance(event, LineReceived):
                assert len(event.data) <= MAX_LINE - 2
                parse(event.data)
        assert buffer.pending <= MAX_LINE + len(piece)
    return events


def parse(line: bytes) -> None:
    try:
        parse_command(line)
    except BadCommand as bad:
        assert bad.text.isascii()


def test_mutated_lines() -> None:
    dice = random.Random("pop3")
    for _ in range(ROUNDS):
        data = mutate(dice.choice(SEEDS), dice, TOKENS, SEEDS) + b"\r\n" + dice.choice(SEEDS)
        cut = dice.randint(0, len(data))
        assert take([data]) == take([data[:cut], data[cut:]]) == take([data[i : i + 1] for i in range(len(data))])


@settings(max_examples=300)
@given(st.binary(max_size=100))
def test_any_octets(data: bytes) -> None:
    parse(data)
    take([data])


@settings(max_examples=300)
@given(st.text("a.:\r\n", max_size=60).map(str.encode), st.integers(0, 5), st.integers(1, 7))
def test_any_message(message: bytes, lines: int, size: int) -> None:
    shown = top(message, lines)
    assert message.startswith(shown)
    slicer = TopSlicer(lines)
    assert b"".join(slicer.feed(message[i : i + size]) for i in range(0, len(message), size)) == shown
    wire = stuff(message)
    assert wire.endswith(b".\r\n")
    assert b"\n.\r\n" not in (b"\n" + wire)[: -len(b".\r\n")]
