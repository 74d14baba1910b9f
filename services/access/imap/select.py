"""SELECT, EXAMINE, CLOSE and UNSELECT (RFC 3501 §6.3.1-2, §6.4.2, RFC 3691, RFC 7162 §3.2.5, RFC 9051 §6.3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.imap import namespace, recent
from services.access.imap.outcome import Outcome, done
from services.access.imap.selected import Selected, known_of, vanished_lines
from shared.imap import command as commands
from shared.imap import response
from shared.imap.mailbox_name import normal
from shared.imap.response import Condition, untagged_status
from shared.imap.resync import known_uids, vanished_of
from shared.imap.sequence import intersect
from shared.imap.state import Extension
from shared.mailbox import messages

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

_CLOSED = untagged_status(Condition.OK, b"The mailbox before is closed", response.CLOSED)


async def select(session: ImapSession, command: commands.Select | commands.Examine) -> Outcome:
    """Select a mailbox; one that was selected before is no longer, whatever comes of it."""
    if session.selected is not None:
        session.selected = None
        session.write(_CLOSED)
    resync = command.resync
    since = None if resync is None else resync.modseq
    found, rights = await namespace.open_mailbox(session, command.mailbox, since=since)
    is_examine = isinstance(command, commands.Examine)
    is_theirs = found.mailbox.account_id != session.the_account().id
    name = normal(command.mailbox) if is_theirs else found.mailbox.name
    selected = Selected(found, read_only=is_examine, name=name, rights=rights)
    selected.gain(await recent.claim(session, selected, found.mailbox.claimed, found.mailbox.uidnext - 1))
    lines = b"".join(_description(selected, found, session.enabled, command.mailbox))
    session.selected = selected
    outcome = done(b"Selected", response.READ_ONLY if selected.read_only else response.READ_WRITE, untagged=lines)
    if resync is None or resync.uidvalidity != found.mailbox.uidvalidity or found.difference is None:
        return outcome
    session.write(lines)
    await _tell_difference(session, resync, found, found.difference)
    return done(outcome.text, outcome.code)


def _description(selected: Selected, found: messages.Selected, enabled: Extension, given: str) -> list[bytes]:
    mailbox = found.mailbox
    lines = [selected.known_flags(), response.exists(len(selected.view))]
    if Extension.REV2 in enabled:
        lines.append(response.list_line(selected.name, utf8=True, old_name=given if given != selected.name else None))
    else:
        lines.append(selected.recent_line())
    unseen = selected.view.sequence(found.first_unseen) if found.first_unseen else None
    if unseen is not None and not enabled & (Extension.REV2 | Extension.UIDONLY):
        lines.append(untagged_status(Condition.OK, b"First unseen message", response.code_unseen(unseen)))
    lines += [
        untagged_status(Condition.OK, b"UIDs are valid", response.code_uidvalidity(mailbox.uidvalidity)),
        untagged_status(Condition.OK, b"Next UID", response.code_uidnext(mailbox.uidnext)),
        untagged_status(Condition.OK, b"Highest mod-sequence", response.code_highestmodseq(mailbox.modseq)),
        untagged_status(Condition.OK, b"Lasting name", response.code_mailboxid(mailbox.object_id)),
    ]
    return lines


async def _tell_difference(
    session: ImapSession, resync: commands.Resync, found: messages.Selected, difference: messages.Difference
) -> None:
    """Tell a client that comes back what went and what changed; what it doesn't know it fetches itself."""
    selected, uidnext = session.the_selected(), found.mailbox.uidnext
    gone = vanished_of(resync, difference.vanished, selected.view, uidnext, is_exact=difference.is_exact)
    for line in vanished_lines(gone, earlier=True):
        session.write(line)
        await session.connection.drain()
    changed = known_of(selected.view, intersect(difference.changed, known_uids(resync, uidnext)))
    async for rows in session.desk.messages.fetch_rows(selected.mailbox_id, changed):
        await session.learn_keywords(rows)
        session.write(selected.render_flags(rows, with_uid=True, enabled=session.enabled))
        await session.connection.drain()


async def close(session: ImapSession, command: commands.Close) -> Outcome:
    r"""Expunge what is flagged \Deleted, without telling, and unselect."""
    selected = session.the_selected()
    if not selected.read_only and "e" in selected.rights:
        await session.desk.messages.expunge(selected.account_id, selected.mailbox_id)
    session.selected = None
    return done(b"CLOSE completed")


async def unselect(session: ImapSession, command: commands.Unselect) -> Outcome:
    """Unselect and change nothing."""
    session.selected = None
    return done(b"UNSELECT completed")
