"""STATUS (RFC 3501 §6.3.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.imap.outcome import Outcome, done
from shared.imap import command as commands
from shared.imap import response
from shared.imap.command import StatusItem
from shared.mailbox.mailbox import Mailbox

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession


async def status(session: ImapSession, command: commands.Status) -> Outcome:
    """Tell a mailbox's counts."""
    mailbox = await session.desk.mailboxes.get(session.the_account().id, command.mailbox)
    session.write(response.status(command.mailbox, {item: _value(mailbox, item) for item in command.items}))
    return done(b"STATUS completed")


def _value(mailbox: Mailbox, item: StatusItem) -> int:
    match item:
        case StatusItem.MESSAGES:
            return mailbox.messages
        case StatusItem.RECENT:
            return 0  # no session is ever the first to see a message: it may be one of many replicas
        case StatusItem.UIDNEXT:
            return mailbox.uidnext
        case StatusItem.UIDVALIDITY:
            return mailbox.uidvalidity
        case StatusItem.UNSEEN:
            return mailbox.unseen
        case StatusItem.HIGHESTMODSEQ:
            return mailbox.modseq
