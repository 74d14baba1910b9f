"""STORE (RFC 3501 §6.4.6, RFC 7162 §3.1.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from services.access.imap.outcome import EXPUNGED, READ_ONLY, Outcome, done, refused
from services.access.imap.selected import Selected
from shared.imap import command as commands
from shared.imap import response
from shared.imap.command import StoreAction
from shared.imap.sequence import Range, compact, count
from shared.imap.state import Extension
from shared.mailbox.messages import FlagChange, StoreMode

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
    permitted = selected.permitted(command.flags)
    ranges = selected.resolve(command.messages, uid=command.uid)
    if not ranges:
        return done(b"STORE completed")
    change = await session.desk.messages.store_flags(
        selected.account_id,
        selected.mailbox_id,
        ranges,
        _MODES[command.action],
        permitted,
        settable=selected.settable,
        unchanged_since=command.unchanged_since,
        known=selected.modseq,
    )
    session.write(selected.learn(change.keywords))
    if change.changed:
        selected.told(change.modseq)
    await _tell(session, command, change)
    return _outcome(selected, command, change, count(ranges))


async def _tell(session: ImapSession, command: commands.Store, change: FlagChange) -> None:
    """Tell flags; with SILENT those that somebody else had changed before, and CONDSTORE's mod-sequences."""
    if not command.silent:
        await _tell_rows(session, change.rows, with_uid=command.uid)
        return
    news = frozenset(change.news)
    await _tell_rows(session, [row for row in change.rows if row[0] in news], with_uid=command.uid)
    if Extension.CONDSTORE in session.enabled:
        others = [row for row in change.rows if row[0] not in news]
        await _tell_rows(session, others, with_uid=command.uid, with_flags=False)


async def _tell_rows(session: ImapSession, rows: Sequence[Any], *, with_uid: bool, with_flags: bool = True) -> None:
    selected, enabled = session.the_selected(), session.enabled
    for start in range(0, len(rows), LINES):
        lines = rows[start : start + LINES]
        session.write(selected.render_flags(lines, with_uid=with_uid, with_flags=with_flags, enabled=enabled))
        await session.connection.drain()


def _outcome(selected: Selected, command: commands.Store, change: FlagChange, wanted: int) -> Outcome:
    some_gone = len(change.rows) + len(change.left_alone) < wanted and not command.uid
    if not change.left_alone:
        return EXPUNGED if some_gone else done(b"STORE completed")
    code = response.code_modified(_numbers(selected, command, change.left_alone))
    if some_gone:
        return refused(b"Some of the messages no longer exist", code)
    return done(b"Some of the messages had changed", code)


def _numbers(selected: Selected, command: commands.Store, uids: Iterable[int]) -> tuple[Range, ...]:
    if command.uid:
        return compact(uids)
    return compact(number for uid in uids if (number := selected.view.sequence(uid)) is not None)
