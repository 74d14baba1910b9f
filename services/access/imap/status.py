"""STATUS (RFC 3501 §6.3.10, RFC 7162, RFC 7889, RFC 8438, RFC 8474, RFC 9051 §6.3.11, RFC 9208)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from services.access.imap import namespace
from services.access.imap.outcome import Outcome, done
from shared.imap import command as commands
from shared.imap import response
from shared.imap.command import StatusItem
from shared.imap.state import Extension
from shared.mailbox.mailbox import Mailbox

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession


async def status(session: ImapSession, command: commands.Status) -> Outcome:
    """Tell a mailbox's counts."""
    access = await namespace.find(session, command.mailbox)
    told = await values(session, access.mailbox, command.items)
    session.write(response.status(command.mailbox, told, utf8=session.utf8))
    return done(b"STATUS completed")


async def values(session: ImapSession, mailbox: Mailbox, items: Iterable[StatusItem]) -> dict[StatusItem, int | bytes]:
    """Return what STATUS tells of a mailbox's row, and the two numbers that aren't in it."""
    told = {item: _value(session, mailbox, item) for item in items}
    if StatusItem.DELETED_STORAGE in told and mailbox.deleted:
        told[StatusItem.DELETED_STORAGE] = await session.desk.mailboxes.deleted_size(mailbox.id)
    if StatusItem.RECENT in told and mailbox.claimed < mailbox.uidnext - 1 and Extension.REV2 not in session.enabled:
        told[StatusItem.RECENT] = await session.desk.mailboxes.unclaimed(mailbox)
    return told


def _value(session: ImapSession, mailbox: Mailbox, item: StatusItem) -> int | bytes:
    match item:
        case StatusItem.MESSAGES:
            return mailbox.messages
        case StatusItem.RECENT:
            return 0
        case StatusItem.UIDNEXT:
            return mailbox.uidnext
        case StatusItem.UIDVALIDITY:
            return mailbox.uidvalidity
        case StatusItem.UNSEEN:
            return mailbox.unseen
        case StatusItem.HIGHESTMODSEQ:
            return mailbox.modseq
        case StatusItem.SIZE:
            return mailbox.bytes
        case StatusItem.DELETED:
            return mailbox.deleted
        case StatusItem.DELETED_STORAGE:
            return 0
        case StatusItem.APPENDLIMIT:
            return session.desk.limits.message_size
        case StatusItem.MAILBOXID:
            return b"(%s)" % mailbox.object_id.encode("ascii")
