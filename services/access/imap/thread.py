"""THREAD: the messages that match, as conversations (RFC 5256)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.access.imap.fetch import ahead
from services.access.imap.outcome import Outcome, done
from services.access.imap.render import Row
from services.access.imap.search import find
from services.access.imap.sort import sent
from shared.imap import command as commands
from shared.imap import response
from shared.imap.sequence import compact
from shared.imap.sort import base_subject
from shared.imap.thread import Threadable, normal_id, thread
from shared.mailbox.messages import Want
from shared.message.collation import casemap

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

THREAD_FROM = 1_000  # messages from which on they are joined in another thread


async def thread_messages(session: ImapSession, command: commands.Thread) -> Outcome:
    """Tell who answers whom among the messages that match."""
    view = session.the_selected().view
    matches = await find(session, command.key, command.tag)
    messages: list[Threadable] = []
    rows_of = session.desk.messages.fetch_rows(
        session.the_selected().mailbox_id, compact(matches.uids), Want.SENT | Want.TEXT
    )
    async for rows in ahead(rows_of):
        for row in rows:
            number = row[0] if command.uid else view.sequence(row[0])
            if number is not None:
                messages.append(_threadable(row, number))
        await asyncio.sleep(0)
    if len(messages) < THREAD_FROM:
        threads = thread(messages, command.algorithm)
    else:
        threads = await asyncio.to_thread(thread, messages, command.algorithm)
    session.write(response.thread(threads))
    return done(b"THREAD completed")


def _threadable(row: Row, number: int) -> Threadable:
    base = base_subject(row["subject"])
    references = tuple(filter(None, map(normal_id, row["refs"].split(" "))))
    return Threadable(number, sent(row), casemap(base.text), base.is_reply, normal_id(row["message_id"]), references)
