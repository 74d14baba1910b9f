"""ManageSieve commands: received whole, octet by octet and with more behind them; parsed; limits."""

from __future__ import annotations

import pytest

from shared.managesieve.command import Command, CommandError, Verb, parse_command, parse_string
from shared.managesieve.limits import ReceiveLimits
from shared.managesieve.receive import Event, Hopeless, Line, Receiver, Refused

LIMITS = ReceiveLimits(line=200, literal=100, discard=1000)


def events(data: bytes, step: int = 0, limits: ReceiveLimits = LIMITS) -> list[Event]:
    receiver = Receiver(limits)
    found: list[Event] = []
    for at in range(0, len(data), step or len(data)):
        receiver.feed(data[at : at + (step or len(data))])
        while (event := receiver.next()) is not None:
            found.append(event)
    return found


def commands(data: bytes) -> list[Command]:
    return [parse_command(event) for event in events(data) if isinstance(event, Line)]


@pytest.mark.parametrize(
    ("data", "command"),
    [
        (b"CAPABILITY\r\n", Command(Verb.CAPABILITY)),
        (b"logout\r\n", Command(Verb.LOGOUT)),
        (b'NOOP "STARTTLS-SYNC-42"\r\n', Command(Verb.NOOP, ("STARTTLS-SYNC-42",))),
        (b'AUTHENTICATE "PLAIN" "AGFsaWNl"\r\n', Command(Verb.AUTHENTICATE, ("PLAIN", b"AGFsaWNl"))),
        (b'Authenticate "DIGEST-MD5"\r\n', Command(Verb.AUTHENTICATE, ("DIGEST-MD5",))),
        (b'HAVESPACE "myscript" 999999\r\n', Command(Verb.HAVESPACE, ("myscript", 999999))),
        (b'PUTSCRIPT "foo" {5+}\r\nkeep;\r\n', Command(Verb.PUTSCRIPT, ("foo", b"keep;"))),
        (b"PUTSCRIPT {3+}\r\nfoo {5+}\r\nke\r\n;\r\n", Command(Verb.PUTSCRIPT, ("foo", b"ke\r\n;"))),
        (b"CHECKSCRIPT {0+}\r\n\r\n", Command(Verb.CHECKSCRIPT, (b"",))),
        (b'CHECKSCRIPT "keep; \\"\\\\"\r\n', Command(Verb.CHECKSCRIPT, (b'keep; "\\',))),
        (b'SETACTIVE ""\r\n', Command(Verb.SETACTIVE, ("",))),
        (b'RENAMESCRIPT "e\xcc\x81" "b c"\r\n', Command(Verb.RENAMESCRIPT, ("\u00e9", "b c"))),
    ],
)
def test_commands(data: bytes, command: Command) -> None:
    assert commands(data) == [command]
    assert [parse_command(event) for event in events(data, 1) if isinstance(event, Line)] == [command]
    assert commands(data + b"NOOP\r\n" + data) == [command, Command(Verb.NOOP), command]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\r\n", "A command is expected"),
        (b'"x"\r\n', "A command is expected"),
        (b"FOO\r\n", "Unknown command"),
        (b"LOGOUT now\r\n", "LOGOUT takes no arguments"),
        (b"SETACTIVE\r\n", "SETACTIVE takes one argument"),
        (b'HAVESPACE "x" "y"\r\n', "A number is expected"),
        (b'HAVESPACE "x" 4294967296\r\n', "The number is too large"),
        (b"SETACTIVE foo\r\n", "A string is expected"),
        (b'SETACTIVE "a""b"\r\n', "The command can't be parsed"),
        (b'SETACTIVE "a\r\n', "The command can't be parsed"),
        (b'DELETESCRIPT ""\r\n', "This can't be a script's name"),
        (b'DELETESCRIPT "../x"\r\n', "This can't be a script's name"),
        (b"DELETESCRIPT {3+}\r\na\nb\r\n", "This can't be a script's name"),
        (b'DELETESCRIPT "\xff"\r\n', "A string is not UTF-8"),
        (b'NOOP {1+}\r\nx"y"\r\n', "A space is expected after a literal"),
    ],
)
def test_bad_commands(data: bytes, reason: str) -> None:
    (event,) = events(data)
    assert isinstance(event, Line)
    with pytest.raises(CommandError, match="^" + reason.replace("(", r"\(")):
        parse_command(event)


@pytest.mark.parametrize("step", [0, 1, 7])
def test_too_much_is_skipped_whole(step: int) -> None:
    after = b"NOOP\r\n"
    (refused, noop) = events(b'PUTSCRIPT "x" {101+}\r\n' + b"k" * 101 + b"\r\n" + after, step)
    assert refused == Refused("The script is too large", b'PUTSCRIPT "x" {101+}', True)
    assert noop == Line((b"NOOP",))
    (refused, noop) = events(b"NOOP " + b"x" * 300 + b"\r\n" + after, step)
    assert isinstance(refused, Refused) and refused.reason == "The line is too long"
    assert noop == Line((b"NOOP",))
    (refused, noop) = events(b"X" + b" {0+}\r\n" * 4 + b"\r\n" + after, step)
    assert isinstance(refused, Refused) and refused.reason == "There are too many strings"
    (refused, noop) = events(b'PUTSCRIPT "x" {5}\r\n' + after, step)
    assert isinstance(refused, Refused) and refused.reason == "A literal needs a plus sign: {n+}"


@pytest.mark.parametrize("step", [0, 1])
def test_what_nobody_would_skip_ends_the_session(step: int) -> None:
    assert isinstance(events(b'PUTSCRIPT "x" {99999+}\r\nNOOP\r\n', step)[-1], Hopeless)
    assert isinstance(events(b"x" * 3000, step)[-1], Hopeless)


def test_answers_to_challenges() -> None:
    for data, answer in [(b'"abc="\r\n', b"abc="), (b"{3+}\r\nabc\r\n", b"abc"), (b'"*"\r\n', b"*"), (b'""\r\n', b"")]:
        (event,) = events(data)
        assert isinstance(event, Line)
        assert parse_string(event) == answer
    with pytest.raises(CommandError):
        parse_string(Line((b"NOOP",)))


def test_what_is_left_can_be_taken() -> None:
    receiver = Receiver()
    receiver.feed(b"STARTTLS\r\nNOOP\r\n")
    assert receiver.next() == Line((b"STARTTLS",))
    assert receiver.take() == b"NOOP\r\n"
    assert receiver.next() is None
