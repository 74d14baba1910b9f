"""The table of states."""

from __future__ import annotations

from typing import get_args

import pytest

from shared.imap import command as c
from shared.imap.command import Command
from shared.imap.command_parser import COMMANDS, UID_COMMANDS, parse_command
from shared.imap.state import ALLOWED, SessionState, is_allowed, may_report_expunge, next_state

NOT_AUTHENTICATED, AUTHENTICATED, SELECTED, LOGOUT = SessionState


def test_every_command_is_in_the_table() -> None:
    assert set(ALLOWED) == set(get_args(Command))
    assert len(COMMANDS) + len(UID_COMMANDS) >= len(ALLOWED)


@pytest.mark.parametrize(
    ("text", "states"),
    [
        (b"a NOOP", {NOT_AUTHENTICATED, AUTHENTICATED, SELECTED}),
        (b"a LOGIN x y", {NOT_AUTHENTICATED}),
        (b"a STARTTLS", {NOT_AUTHENTICATED}),
        (b"a SELECT x", {AUTHENTICATED, SELECTED}),
        (b"a IDLE", {AUTHENTICATED, SELECTED}),
        (b"a FETCH 1 FLAGS", {SELECTED}),
    ],
)
def test_allowed(text: bytes, states: set[SessionState]) -> None:
    command = parse_command(text)
    assert {state for state in SessionState if is_allowed(command, state)} == states


def test_nothing_is_allowed_after_logout() -> None:
    assert all(LOGOUT not in states for states in ALLOWED.values())


def test_transitions() -> None:
    assert next_state(c.Login(b"a", b"x", b"y"), NOT_AUTHENTICATED, True) is AUTHENTICATED
    assert next_state(c.Login(b"a", b"x", b"y"), NOT_AUTHENTICATED, False) is NOT_AUTHENTICATED
    assert next_state(c.Select(b"a", "x"), AUTHENTICATED, True) is SELECTED
    assert next_state(c.Select(b"a", "x"), SELECTED, False) is AUTHENTICATED
    assert next_state(c.Close(b"a"), SELECTED, True) is AUTHENTICATED
    assert next_state(c.Unselect(b"a"), SELECTED, True) is AUTHENTICATED
    assert next_state(c.Noop(b"a"), SELECTED, True) is SELECTED
    assert next_state(c.Logout(b"a"), SELECTED, True) is LOGOUT


def test_expunge_is_held_back_during_commands_with_sequence_numbers() -> None:
    for name in (b"FETCH 1 FLAGS", b"STORE 1 FLAGS ()", b"SEARCH ALL"):
        assert not may_report_expunge(parse_command(b"a " + name))
        assert may_report_expunge(parse_command(b"a UID " + name))
    for name in (b"NOOP", b"COPY 1 x", b"IDLE", b"EXPUNGE"):
        assert may_report_expunge(parse_command(b"a " + name))
