"""EXPUNGE and UID EXPUNGE (RFC 3501 §6.4.3, RFC 4315 §2.1); the session reports what went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.imap.outcome import READ_ONLY, Outcome, done
from shared.imap import command as commands

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession


async def expunge(session: ImapSession, command: commands.Expunge) -> Outcome:
    r"""Remove all messages that are flagged \Deleted."""
    selected = session.the_selected()
    if selected.read_only:
        return READ_ONLY
    selected.require("e")
    await session.desk.messages.expunge(selected.account_id, selected.mailbox_id)
    return done(b"EXPUNGE completed")


async def uid_expunge(session: ImapSession, command: commands.UidExpunge) -> Outcome:
    r"""Remove those of some messages that are flagged \Deleted."""
    selected = session.the_selected()
    if selected.read_only:
        return READ_ONLY
    selected.require("e")
    ranges = selected.resolve(command.uids, uid=True)
    if ranges:
        await session.desk.messages.expunge(selected.account_id, selected.mailbox_id, ranges)
    return done(b"UID EXPUNGE completed")
