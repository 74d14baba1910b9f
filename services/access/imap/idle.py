"""IDLE: a state without a task, woken when the mailbox may have changed (RFC 2177)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.access.imap import metadata, namespace
from services.access.imap.outcome import Outcome, done, rejected
from shared.imap import command as commands
from shared.imap import response
from shared.imap.command_parser import is_done
from shared.imap.state import Extension
from shared.queue.notify import Watch

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession


@dataclass(slots=True)
class Idling:
    """An IDLE that isn't DONE yet, and its watch if a mailbox is selected."""

    command: commands.Idle
    watching: AbstractContextManager[Watch] | None = None
    watch: Watch | None = None


async def begin(session: ImapSession, command: commands.Idle) -> Outcome | None:
    """Begin to idle; what changed before is reported at once."""
    session.idling = idling = Idling(command)
    session.buffer.expect_line()
    session.write(response.continuation(b"idling"))
    selected = session.selected
    if session.notifying is not None:  # the same events as without IDLE (RFC 5465 §4), and removals at once
        session.notifying.woken = True
    elif selected is not None:
        idling.watching = session.desk.watcher.watch(selected.account_id, selected.mailbox_id, session.connection.wake)
        idling.watch = idling.watching.__enter__()
        idling.watch.changed.set()
    return None


async def report(session: ImapSession) -> bool:
    """Report changes under IDLE; False when nothing has woken the session."""
    idling = session.idling
    if idling is None or idling.watch is None or not idling.watch.changed.is_set():
        return False
    idling.watch.changed.clear()
    if await namespace.look_again(session):
        await session.synchronise(with_expunges=True)
        session.tell_highest()
    if Extension.METADATA in session.enabled:
        await metadata.report(session)
    return True


async def take_done(session: ImapSession, line: bytes) -> None:
    """End IDLE by the client's DONE; anything else is BAD."""
    idling = session.idling
    assert idling is not None
    stop(session)
    outcome = done(b"IDLE completed") if is_done(line) else rejected(b"Expected DONE")
    await session.finish(idling.command, outcome)


def stop(session: ImapSession) -> None:
    """Stop watching."""
    if session.idling is not None:
        if session.idling.watching is not None:
            session.idling.watching.__exit__(None, None, None)
        session.idling = None
