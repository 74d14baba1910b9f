"""Session states: which commands are allowed in which, and what changes them (RFC 3501 §3, §6)."""

from __future__ import annotations

from enum import Enum, Flag, auto

from shared.imap import command as commands
from shared.imap.command import Command, StatusItem
from shared.imap.fetch import FetchItem
from shared.imap.search import names_sequences


class SessionState(Enum):
    """RFC 3501 §3."""

    NOT_AUTHENTICATED = "not authenticated"
    AUTHENTICATED = "authenticated"
    SELECTED = "selected"
    LOGOUT = "logout"


class Extension(Flag):
    """What a session's client has enabled: by ENABLE (RFC 5161), some by use (RFC 7162 §3.1)."""

    NONE = 0
    CONDSTORE = auto()
    QRESYNC = auto()
    UIDONLY = auto()
    UTF8 = auto()
    REV2 = auto()
    METADATA = auto()


ENABLED_BY_NAME: dict[bytes, Extension] = {
    b"CONDSTORE": Extension.CONDSTORE,
    b"QRESYNC": Extension.QRESYNC | Extension.CONDSTORE,
    b"UIDONLY": Extension.UIDONLY,
    b"IMAP4REV2": Extension.REV2,
    b"UTF8=ACCEPT": Extension.UTF8,
    b"METADATA": Extension.METADATA,
}
"""What ENABLE knows: names on the wire, and what each brings."""

WITH_UID = Extension.QRESYNC | Extension.UIDONLY | Extension.REV2
"""With any of these FETCH responses that weren't asked for have the UID (RFC 7162 §3.2.4, RFC 9051 §7.5.2)."""

WITH_VANISHED = Extension.QRESYNC | Extension.UIDONLY
"""With any of these VANISHED takes the place of EXPUNGE (RFC 7162 §3.2.10, RFC 9586 §3.4)."""

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
    commands.SetAcl: _AFTER,
    commands.DeleteAcl: _AFTER,
    commands.GetAcl: _AFTER,
    commands.ListRights: _AFTER,
    commands.MyRights: _AFTER,
    commands.GetQuota: _AFTER,
    commands.GetQuotaRoot: _AFTER,
    commands.SetQuota: _AFTER,
    commands.GetMetadata: _AFTER,
    commands.SetMetadata: _AFTER,
    commands.Append: _AFTER,
    commands.Compress: _AFTER,
    commands.Unauthenticate: _AFTER,
    commands.Replace: _SELECTED,
    commands.Idle: _AFTER,
    commands.Notify: _AFTER,
    commands.MultiSearch: _AFTER,
    commands.Check: _SELECTED,
    commands.Close: _SELECTED,
    commands.Unselect: _SELECTED,
    commands.Expunge: _SELECTED,
    commands.UidExpunge: _SELECTED,
    commands.Search: _SELECTED,
    commands.Sort: _SELECTED,
    commands.Thread: _SELECTED,
    commands.CancelUpdate: _SELECTED,
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
    commands.Unauthenticate: SessionState.NOT_AUTHENTICATED,
}

AFTER_FAILURE: dict[type[Command], SessionState] = {
    # A mailbox that was selected is no longer, whether the new one exists or not (§6.3.1)
    commands.Select: SessionState.AUTHENTICATED,
    commands.Examine: SessionState.AUTHENTICATED,
}

# Untagged EXPUNGE would change the numbers that these use or that their answer holds (RFC 3501 §7.4.1)
EXPUNGE_HELD_BACK: frozenset[type[Command]] = frozenset(
    (commands.Fetch, commands.Store, commands.Search, commands.Sort, commands.Thread)
)


def is_allowed(command: Command, state: SessionState) -> bool:
    """Say whether the command may be given in the state; otherwise it is BAD."""
    return state in ALLOWED[type(command)]


def next_state(command: Command, state: SessionState, succeeded: bool) -> SessionState:
    """Return the state after the command's tagged response."""
    return (AFTER_SUCCESS if succeeded else AFTER_FAILURE).get(type(command), state)


def enabled_by(command: Command) -> Extension:
    """Return what the use of a command enables; SEARCH tells for itself (RFC 7162 §3.1)."""
    match command:
        case commands.Select() | commands.Examine():
            uses = command.condstore or command.resync is not None
        case commands.Fetch():
            uses = FetchItem.MODSEQ in command.items or command.changed_since is not None
        case commands.Store():
            uses = command.unchanged_since is not None
        case commands.Status():
            uses = StatusItem.HIGHESTMODSEQ in command.items
        case commands.List():
            uses = StatusItem.HIGHESTMODSEQ in command.status
        case _:
            uses = False
    return Extension.CONDSTORE if uses else Extension.NONE


def needs_numbers(command: Command) -> bool:
    """Say whether a command names or answers with sequence numbers, which UIDONLY forbids (RFC 9586 §3)."""
    match command:
        case commands.Select() | commands.Examine():
            return command.resync is not None and bool(command.resync.sequences)
        case commands.Search() | commands.Sort() | commands.Thread():
            return not command.uid or names_sequences(command.key)
        case commands.MultiSearch():
            return names_sequences(command.key)
        case _:
            return getattr(command, "uid", True) is False


def needs_qresync(command: Command) -> bool:
    """Say whether a command is BAD before QRESYNC is enabled (RFC 7162 §3.2.3)."""
    match command:
        case commands.Select() | commands.Examine():
            return command.resync is not None
        case commands.Fetch():
            return command.vanished
        case _:
            return False


def may_report_expunge(command: Command) -> bool:
    """Say whether untagged EXPUNGE may be sent before the command's tagged response.

    The UID forms may report: they name no sequence numbers.
    """
    return type(command) not in EXPUNGE_HELD_BACK or bool(getattr(command, "uid", False))
