"""Session states: which commands are allowed in which (RFC 1939 §3)."""

from __future__ import annotations

from enum import Enum

from shared.pop3 import command as commands
from shared.pop3.command import Command


class SessionState(Enum):
    """RFC 1939 §3."""

    AUTHORIZATION = "authorization"
    TRANSACTION = "transaction"
    UPDATE = "update"


_BEFORE = frozenset((SessionState.AUTHORIZATION,))
_AFTER = frozenset((SessionState.TRANSACTION,))

ALLOWED: dict[type[Command], frozenset[SessionState]] = {
    commands.User: _BEFORE,
    commands.Pass: _BEFORE,
    commands.Auth: _BEFORE,
    commands.Mechanisms: _BEFORE,
    commands.Stls: _BEFORE,
    commands.Capa: _BEFORE | _AFTER,
    commands.Utf8: _BEFORE,
    commands.Lang: _BEFORE | _AFTER,
    commands.Quit: _BEFORE | _AFTER,
    commands.Stat: _AFTER,
    commands.List: _AFTER,
    commands.Uidl: _AFTER,
    commands.Retr: _AFTER,
    commands.Dele: _AFTER,
    commands.Top: _AFTER,
    commands.Noop: _AFTER,
    commands.Rset: _AFTER,
}

AFTER_SUCCESS: dict[tuple[type[Command], SessionState], SessionState] = {
    (commands.Pass, SessionState.AUTHORIZATION): SessionState.TRANSACTION,
    (commands.Auth, SessionState.AUTHORIZATION): SessionState.TRANSACTION,
    # QUIT before login ends the session without an update (§4)
    (commands.Quit, SessionState.TRANSACTION): SessionState.UPDATE,
}


def is_allowed(command: Command, state: SessionState) -> bool:
    """Say whether the command may be given in the state; otherwise it is -ERR."""
    return state in ALLOWED[type(command)]


def next_state(command: Command, state: SessionState) -> SessionState:
    """Return the state after the command's +OK."""
    return AFTER_SUCCESS.get((type(command), state), state)
