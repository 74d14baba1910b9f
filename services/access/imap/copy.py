"""COPY and MOVE (RFC 3501 §6.4.7, RFC 6851, RFC 4315 for COPYUID)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.imap import namespace
from services.access.imap.outcome import EXPUNGED, READ_ONLY, Outcome, done, refused
from shared.imap import command as commands
from shared.imap import response
from shared.imap.acl import changeable_flags
from shared.imap.response import Condition
from shared.imap.sequence import in_order
from shared.mailbox.acl import Access
from shared.mailbox.errors import NoSuchMailbox
from shared.mailbox.messages import Transferred

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

_NO_TARGET = refused(b"There is no such mailbox", response.TRYCREATE)


async def copy(session: ImapSession, command: commands.Copy) -> Outcome:
    """Copy messages; all of them that are still there, or none."""
    selected = session.the_selected()
    target = await _target(session, command.mailbox)
    if target is None:
        return _NO_TARGET
    ranges = selected.resolve(command.messages, uid=command.uid)
    if not ranges:
        return done(b"COPY completed")
    copied = await session.desk.messages.copy(
        selected.account_id,
        selected.mailbox_id,
        ranges,
        target.mailbox.id,
        target_account_id=target.mailbox.account_id,
        settable=changeable_flags(target.rights),
    )
    session.desk.note_transfer(selected.mailbox_id, target.mailbox.id, copied.target)
    if not copied.source:
        return done(b"COPY completed") if command.uid else EXPUNGED
    return done(b"COPY completed", _code(copied))


async def move(session: ImapSession, command: commands.Move) -> Outcome:
    """Move messages in one step: COPYUID comes before the EXPUNGEs (RFC 6851 §3.3)."""
    selected = session.the_selected()
    if selected.read_only:
        return READ_ONLY
    selected.require("te")
    target = await _target(session, command.mailbox)
    if target is None:
        return _NO_TARGET
    ranges = selected.resolve(command.messages, uid=command.uid)
    if not ranges:
        return done(b"MOVE completed")
    moved = await session.desk.messages.move(
        selected.account_id,
        selected.mailbox_id,
        ranges,
        target.mailbox.id,
        target_account_id=target.mailbox.account_id,
        settable=changeable_flags(target.rights),
    )
    session.desk.note_transfer(selected.mailbox_id, target.mailbox.id, moved.target)
    if not moved.source:
        return done(b"MOVE completed") if command.uid else EXPUNGED
    session.write(response.untagged_status(Condition.OK, b"Moved", _code(moved)))
    selected.lost(moved.source, moved.source_before, moved.source_modseq)
    return done(b"MOVE completed")


async def _target(session: ImapSession, name: str) -> Access | None:
    try:
        return await namespace.find(session, name, "i")
    except NoSuchMailbox:
        return None


def _code(moved: Transferred) -> bytes:
    return response.code_copyuid(moved.uidvalidity, in_order(moved.source), in_order(moved.target))
