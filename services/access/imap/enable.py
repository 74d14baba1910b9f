"""ENABLE (RFC 5161), and what extensions are enabled by being used (RFC 7162 §3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.imap import metadata
from services.access.imap.outcome import Outcome, done, rejected
from shared.imap import command as commands
from shared.imap import response
from shared.imap.command import Command
from shared.imap.state import ENABLED_BY_NAME, Extension, enabled_by, needs_numbers, needs_qresync

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

_UIDS_ONLY = rejected(b"Sequence numbers can't be used once UIDONLY is enabled", response.UIDREQUIRED)
_NO_CHARSET = rejected(b"With UTF8=ACCEPT all strings are UTF-8")  # RFC 6855 §3
_SPELLING = {b"IMAP4REV2": b"IMAP4rev2"}
_NO_QRESYNC = rejected(b"ENABLE QRESYNC first")


async def enable(session: ImapSession, command: commands.Enable) -> Outcome:
    """Enable what is known among the names; the others are passed over."""
    known = [name for name in dict.fromkeys(command.names) if name in ENABLED_BY_NAME]
    wanted = Extension.NONE
    for name in known:
        wanted |= ENABLED_BY_NAME[name]
    session.write(response.enabled([_SPELLING.get(name, name) for name in known]))
    if Extension.METADATA in wanted & ~session.enabled:
        await metadata.follow(session)
    use(session, wanted)
    return done(b"ENABLE completed")


def use(session: ImapSession, wanted: Extension) -> None:
    """Enable extensions; with CONDSTORE the selected mailbox's mod-sequence is told."""
    added = wanted & ~session.enabled
    session.enabled |= wanted
    if Extension.REV2 in added and session.selected is not None:
        session.selected.flags.recent = ()  # there is none in IMAP4rev2
    if Extension.CONDSTORE in added and session.selected is not None:
        code = response.code_highestmodseq(session.selected.modseq)
        session.write(response.untagged_status(response.Condition.OK, b"Highest mod-sequence", code))


def objection(session: ImapSession, command: Command) -> Outcome | None:
    """Return why a command isn't allowed with what is enabled, None if it is."""
    if Extension.UIDONLY in session.enabled and needs_numbers(command):
        return _UIDS_ONLY
    if Extension.QRESYNC not in session.enabled and needs_qresync(command):
        return _NO_QRESYNC
    if Extension.UTF8 in session.enabled and isinstance(command, commands.Search) and command.charset is not None:
        return _NO_CHARSET
    return None


def use_implied(session: ImapSession, command: Command) -> None:
    """Enable what the command enables by being used; SELECT tells the mod-sequence itself."""
    if isinstance(command, commands.Select | commands.Examine):
        session.enabled |= enabled_by(command)
    else:
        use(session, enabled_by(command))
