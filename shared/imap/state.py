"""Session states: which commands are allowed in which, and what changes them (RFC 3501 §3, §6)."""

from __future__ import annotations

from enum import Enum

from shared.imap import command as commands
from shared.imap.command import Command


class SessionState(Enum):
    """RFC 3501 §3."""

    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


_ANY = frozenset((SessionState.NOT_AUTHENTICATED, SessionState.AUTHENTICATED, SessionState.SELECTED))
_BEFORE = frozenset((SessionState.NOT_AUTHENTICATED,))
_AFTER = frozenset((SessionState.AUTHENTICATED, SessionState.SELECTED))
_SELECTED = frozenset((SessionState.SELECTED,))

ALLOWED: dict[type[Command], frozenset[SessionState]] = {
    commands.Capability: _ANY,
    commands.Noop: _ANY,
    commands.Logout: _ANY,
    commands.Id: _ANY,
    commands.StartTls: _BEFORE,
    commands.Authenticate: _BEFORE,
    commands.Login: _BEFORE,
    commands.Enable: _AFTER,
    commands.Namespace: _AFTER,
    commands.Select: _AFTER,
    commands.Examine: _AFTER,
    commands.Create: _AFTER,
    commands.Delete: _AFTER,
    commands.Rename: _AFTER,
    commands.Subscribe: _AFTER,
    commands.Unsubscribe: _AFTER,
    commands.List: _AFTER,
    commands.Lsub: _AFTER,
    commands.Status: _AFTER,
    commands.Append: _AFTER,
    commands.Idle: _AFTER,
    commands.Check: _SELECTED,
    commands.Close: _SELECTED,
    commands.Unselect: _SELECTED,
    commands.Expunge: _SELECTED,
    commands.UidExpunge: _SELECTED,
    commands.Search: _SELECTED,
    commands.Fetch: _SELECTED,
    commands.Store: _SELECTED,
    commands.Copy: _SELECTED,
    commands.Move: _SELECTED,
}

AFTER_SUCCESS: dict[type[Command], SessionState] = {
    commands.Login: SessionState.AUTHENTICATED,
    commands.Authenticate: SessionState.AUTHENTICATED,
    commands.Select: SessionState.SELECTED,
    commands.Examine: SessionState.SELECTED,
    commands.Close: SessionState.AUTHENTICATED,
    commands.Unselect: SessionState.AUTHENTICATED,
    commands.Logout: SessionState.LOGOUT,
}

AFTER_FAILURE: dict[type[Command], SessionState] = {
    # A mailbox that was selected is no longer, whether the new one exists or not (§6.3.1)
    commands.Select: SessionState.AUTHENTICATED,
    commands.Examine: SessionState.AUTHENTICATED,
}

# Untagged EXPUNGE would change the numbers that these use or that their answer holds (RFC 3501 §7.4.1)
EXPUNGE_HELD_BACK: frozenset[type[Command]] = frozenset((commands.Fetch, commands.Store, commands.Search))


def is_allowed(command: Command, state: SessionState) -> bool:
    """Say whether the command may be given in the state; otherwise it is BAD."""
    return state in ALLOWED[type(command)]


def next_state(command: Command, state: SessionState, succeeded: bool) -> SessionState:
    """Return the state after the command's tagged response."""
    return (AFTER_SUCCESS if succeeded else AFTER_FAILURE).get(type(command), state)


def may_report_expunge(command: Command) -> bool:
    """Say whether untagged EXPUNGE may be sent before the command's tagged response.

    The UID forms may report: they name no sequence numbers.
    """
    return type(command) not in EXPUNGE_HELD_BACK or bool(getattr(command, "uid", False))
