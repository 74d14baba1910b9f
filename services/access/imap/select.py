"""SELECT, EXAMINE, CLOSE and UNSELECT (RFC 3501 §6.3.1-2, §6.4.2, RFC 3691)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.imap.outcome import Outcome, done
from services.access.imap.selected import Selected
from shared.imap import command as commands
from shared.imap import response
from shared.imap.response import Condition, untagged_status

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession


async def select(session: ImapSession, command: commands.Select | commands.Examine) -> Outcome:
    """Select a mailbox; one that was selected before is no longer, whatever comes of it."""
    session.selected = None
    found = await session.desk.messages.open(session.the_account().id, command.mailbox)
    read_only = isinstance(command, commands.Examine)
    selected = Selected(found, read_only=read_only)
    unseen = selected.view.sequence(found.first_unseen) if found.first_unseen else None
    lines = [selected.known_flags(), response.exists(len(selected.view)), response.recent(0)]
    if unseen is not None:
        lines.append(untagged_status(Condition.OK, b"First unseen message", response.code_unseen(unseen)))
    uidvalidity = response.code_uidvalidity(found.mailbox.uidvalidity)
    lines.append(untagged_status(Condition.OK, b"UIDs are valid", uidvalidity))
    lines.append(untagged_status(Condition.OK, b"Next UID", response.code_uidnext(found.mailbox.uidnext)))
    session.selected = selected
    return done(b"Selected", response.READ_ONLY if read_only else response.READ_WRITE, untagged=b"".join(lines))


async def close(session: ImapSession, command: commands.Close) -> Outcome:
    r"""Expunge what is flagged \Deleted, without telling, and unselect."""
    selected = session.the_selected()
    if not selected.read_only:
        await session.desk.messages.expunge(session.the_account().id, selected.mailbox_id)
    session.selected = None
    return done(b"CLOSE completed")


async def unselect(session: ImapSession, command: commands.Unselect) -> Outcome:
    """Unselect and change nothing."""
    session.selected = None
    return done(b"UNSELECT completed")
