"""STORE (RFC 3501 §6.4.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.imap.outcome import EXPUNGED, READ_ONLY, Outcome, done
from shared.imap import command as commands
from shared.imap.command import StoreAction
from shared.mailbox.messages import StoreMode

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

LINES = 1_000  # responses joined for one write

_MODES = {
    StoreAction.REPLACE: StoreMode.REPLACE,
    StoreAction.ADD: StoreMode.ADD,
    StoreAction.REMOVE: StoreMode.REMOVE,
}


async def store(session: ImapSession, command: commands.Store) -> Outcome:
    """Change flags and, unless SILENT, tell them; messages that are gone are left out with NO."""
    selected = session.the_selected()
    if selected.read_only:
        return READ_ONLY
    ranges = selected.resolve(command.messages, uid=command.uid)
    if not ranges:
        return done(b"STORE completed")
    mode = _MODES[command.action]
    account = session.the_account().id
    change = await session.desk.messages.store_flags(account, selected.mailbox_id, ranges, mode, command.flags)
    session.write(selected.learn(change.keywords))
    selected.told(change.modseq)
    if not command.silent:
        for start in range(0, len(change.rows), LINES):
            session.write(selected.render_flags(change.rows[start : start + LINES], with_uid=command.uid))
            await session.connection.drain()
    wanted = sum(high - low + 1 for low, high in ranges)
    return EXPUNGED if len(change.rows) < wanted and not command.uid else done(b"STORE completed")
