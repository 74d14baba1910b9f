"""POP3 commands and the table of states."""

from __future__ import annotations

from typing import get_args

import pytest

from shared.pop3 import command as c
from shared.pop3.command import BadCommand, Command, parse_command
from shared.pop3.state import ALLOWED, SessionState, is_allowed, next_state

AUTHORIZATION, TRANSACTION, UPDATE = SessionState

EXAMPLES: dict[bytes, Command] = {
    b"UTF8": c.Utf8(),
    b"lang": c.Lang(),
    b"LANG *": c.Lang(b"*"),
    b"LANG en-GB": c.Lang(b"en-GB"),
    b"USER frated": c.User(b"frated"),
    b"user alice@example.org": c.User(b"alice@example.org"),
    b"PASS secret": c.Pass(b"secret"),
    b"PASS  two spaces ": c.Pass(b" two spaces "),
    b"PASS gr\xc3\xbcn": c.Pass(b"gr\xc3\xbcn"),
    b"AUTH": c.Mechanisms(),
    b"AUTH ": c.Mechanisms(),
    b"AUTH plain": c.Auth(b"PLAIN"),
    b"AUTH PLAIN dGVzdAB0ZXN0AHRlc3Q=": c.Auth(b"PLAIN", b"dGVzdAB0ZXN0AHRlc3Q="),
    b"AUTH PLAIN =": c.Auth(b"PLAIN", b"="),
    b"STLS": c.Stls(),
    b"CAPA": c.Capa(),
    b"STAT": c.Stat(),
    b"STAT ": c.Stat(),
    b"LIST": c.List(),
    b"LIST 2": c.List(2),
    b"UIDL": c.Uidl(),
    b"UIDL 2": c.Uidl(2),
    b"RETR 1": c.Retr(1),
    b"RETR 001": c.Retr(1),
    b"DELE 1": c.Dele(1),
    b"TOP 1 10": c.Top(1, 10),
    b"TOP 1 0": c.Top(1, 0),
    b"TOP 1 9999999999": c.Top(1, 0x7FFFFFFF),
    b"NOOP": c.Noop(),
    b"RSET": c.Rset(),
    b"QUIT": c.Quit(),
}


@pytest.mark.parametrize("line", EXAMPLES)
def test_examples(line: bytes) -> None:
    assert parse_command(line) == EXAMPLES[line]


@pytest.mark.parametrize(
    "line",
    [
        b"", b" ", b"APOP mrose c4c9334bac560ecc979e58001b3e22fb", b"FOO", b"STAT 1", b"QUIT now", b"RETR", b"RETR 0",
        b"RETR -1", b"RETR x", b"RETR 1 2", b"RETR 99999999999", b"LIST x", b"DELE ", b"TOP 1", b"TOP 1 -1", b"TOP x 1",
        b"USER", b"USER  ", b"PASS", b"USER a\0b", b"PASS a\rb", b"AUTH PLAIN !!", b"AUTH PLAIN a b", b"\xff\xff",
        b"UIDL 4294967296", b"UTF8 x", b"LANG a_b",
    ],
)  # fmt: skip
def test_bad(line: bytes) -> None:
    with pytest.raises(BadCommand) as bad:
        parse_command(line)
    assert bad.value.text


def test_a_password_is_never_shown() -> None:
    assert "secret" not in repr(parse_command(b"PASS secret"))
    assert "c2VjcmV0" not in repr(parse_command(b"AUTH PLAIN c2VjcmV0"))


def test_every_command_is_in_the_table() -> None:
    assert set(ALLOWED) == set(get_args(Command))
    assert {type(command) for command in EXAMPLES.values()} == set(ALLOWED)


def test_states() -> None:
    assert is_allowed(c.User(b"x"), AUTHORIZATION)
    assert not is_allowed(c.User(b"x"), TRANSACTION)
    assert not is_allowed(c.Stat(), AUTHORIZATION)
    assert is_allowed(c.Quit(), AUTHORIZATION)
    assert not any(is_allowed(command, UPDATE) for command in EXAMPLES.values())
    assert next_state(c.Pass(b"x"), AUTHORIZATION) is TRANSACTION
    assert next_state(c.Auth(b"PLAIN"), AUTHORIZATION) is TRANSACTION
    assert next_state(c.Mechanisms(), AUTHORIZATION) is AUTHORIZATION
    assert next_state(c.Quit(), AUTHORIZATION) is AUTHORIZATION
    assert next_state(c.Quit(), TRANSACTION) is UPDATE
    assert next_state(c.Noop(), TRANSACTION) is TRANSACTION
