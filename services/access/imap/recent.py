r"""\Recent: the first session that is told of a message claims it (RFC 3501 §2.3.2, §7.3.2); IMAP4rev2 has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.access.imap.selected import Selected
from shared.errors import TemporaryFailure
from shared.imap.sequence import Range
from shared.imap.state import Extension
from shared.mailbox.messages import Changes

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession


async def claim(session: ImapSession, selected: Selected, claimed: int, last: int) -> Sequence[Range]:
    """Return what is recent in this session of the UIDs above `claimed` and up to `last`.

    Sessions that can change nothing see what isn't claimed, and leave it to others. Nothing is written without news.
    """
    if claimed >= last or Extension.REV2 in session.enabled:
        return ()
    if selected.read_only:
        return ((claimed + 1, last),)
    try:
        return await session.desk.messages.claim(selected.mailbox_id, last)
    except TemporaryFailure as error:  # a full disk, say: the mailbox can be read all the same
        session.desk.log.trouble("recent messages not claimed", error=str(error))
        return ()


async def claim_arrivals(session: ImapSession, selected: Selected, changes: Changes) -> Sequence[Range]:
    """Return what is recent in this session of the messages that are new to it."""
    last = changes.rows[-1][0] if changes.rows else 0
    if last <= selected.view.largest_uid:
        return ()
    return await claim(session, selected, changes.claimed, last)
