"""Fuzzes the ManageSieve receiver and parser: whole or in pieces the same comes out, and nothing raises."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.managesieve.command import CommandError, parse_command, parse_string
from shared.managesieve.limits import ReceiveLimits
from shared.managesieve.receive import Event, Hopeless, Line, Receiver

FUZZ = settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))
LIMITS = ReceiveLimits(line=60, literal=40, discard=200)
PIECES = st.sampled_from(
    [
        *(
            b"PUTSCRIPT",
            b"NOOP",
            b"AUTHENTICATE",
            b" ",
            b'"a"',
            b'"',
            b"\\",
            b"{3+}\r\n",
            b"{0+}",
            b"{3}",
            b"{50+}\r\n",
        ),
        *(
            b"{50+}\r\n",
            b"{999999999999+}\r\n",
            b"\r\n",
            b"\n",
            b"\r",
            b"\0",
            b"\xff",
            b"12",
            b"x" * 30,
            b"keep;",
            b"*",
        ),
    ]
)


def received(chunks: list[bytes]) -> list[Event]:
    receiver = Receiver(LIMITS)
    found: list[Event] = []
    for chunk in chunks:
        receiver.feed(chunk)
        while (event := receiver.next()) is not None:
            found.append(event)
    return found


@FUZZ
@given(st.lists(st.one_of(PIECES, st.binary(max_size=6)), max_size=30), st.integers(1, 9))
def test_whole_and_in_pieces(pieces: list[bytes], step: int) -> None:
    data = b"".join(pieces)
    in_pieces = received([data[at : at + step] for at in range(0, len(data), step)])
    whole = received([data])
    if not any(isinstance(event, Hopeless) for event in whole + in_pieces):
        assert [type(event) for event in in_pieces] == [type(event) for event in whole]
        assert [e for e in in_pieces if isinstance(e, Line)] == [e for e in whole if isinstance(e, Line)]
    for event in whole:
        if isinstance(event, Line):
            for parse in (parse_command, parse_string):
                try:
                    parse(event)
                except CommandError as error:
                    assert str(error)
