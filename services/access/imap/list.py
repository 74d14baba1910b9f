"""LIST and LSUB (RFC 3501 §6.3.8-9, RFC 5258, RFC 5819, RFC 6154, RFC 8440, RFC 9590)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from services.access.imap import metadata, status
from services.access.imap.outcome import Outcome, done
from shared.imap import command as commands
from shared.imap import mailbox_response, response
from shared.imap.listing import NOSELECT, Line, Return, Selection, Style, attributes, choose, matcher
from shared.imap.mailbox_name import OTHER_USERS, SEPARATOR, parents, split_shared
from shared.imap.metadata import Query
from shared.imap.state import Extension
from shared.mailbox.mailboxes import Listed

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

LINES = 500  # that are made for one write


async def list_mailboxes(session: ImapSession, command: commands.List) -> Outcome:
    """List mailboxes and what was asked of each; an empty pattern asks for the separator and the namespace's root."""
    if command.patterns == ("",) and not command.extended:
        root = OTHER_USERS + SEPARATOR if split_shared(command.reference) is not None else ""
        session.write(response.list_line(root, (NOSELECT,)))
        return done(b"LIST completed")
    names = await session.desk.mailboxes.listing_for(session.the_account())
    patterns = [command.reference + pattern if pattern else "" for pattern in command.patterns]
    lines = choose(names, patterns, command.selection)
    style = _style(session, command)
    while some := list(islice(lines, LINES)):
        session.write(await _render(session, command, style, some))
        await session.connection.drain()
    return done(b"LIST completed")


async def list_subscribed(session: ImapSession, command: commands.Lsub) -> Outcome:
    """List subscriptions; a parent of one that only `%` reaches is shown as \\Noselect."""
    matches = matcher([command.reference + command.pattern])
    subscribed = set(await session.desk.mailboxes.subscriptions(session.the_account().id))
    superior = {name for child in subscribed for name in parents(child)} - subscribed
    shown = subscribed | superior if command.pattern.endswith("%") else subscribed
    lines = [
        response.list_line(name, () if name in subscribed else (NOSELECT,), kind=b"LSUB", utf8=session.utf8)
        for name in sorted(shown)
        if matches(name)
    ]
    session.write(b"".join(lines))
    return done(b"LSUB completed")


def _style(session: ImapSession, command: commands.List) -> Style:
    return Style(
        with_subscribed=Selection.SUBSCRIBED in command.selection or Return.SUBSCRIBED in command.returns,
        with_nonexistent=command.extended or Extension.REV2 in session.enabled,
    )


async def _render(session: ImapSession, command: commands.List, style: Style, lines: Sequence[Line[Listed]]) -> bytes:
    """Return LIST responses, each followed by what else was asked of its mailbox."""
    utf8 = session.utf8
    first = [
        response.list_line(line.entry.name, attributes(line.entry, style), utf8=utf8, child_info=line.child_info)
        for line in lines
    ]
    if not (command.status or command.metadata or Return.MYRIGHTS in command.returns):
        return b"".join(first)
    more = await _more(session, command, lines)
    return b"".join([one + more.get(line.entry.name, b"") for one, line in zip(first, lines, strict=True)])


async def _more(session: ImapSession, command: commands.List, lines: Sequence[Line[Listed]]) -> dict[str, bytes]:
    """Return the responses about mailboxes that there are and that meet the selection, by name."""
    shown = [line.entry for line in lines if line.entry.exists and not line.is_parent_only]
    more = dict.fromkeys((entry.name for entry in shown), b"")
    for entry in shown:
        if entry.mailbox is not None and command.status and "r" in entry.rights:
            values = await status.values(session, entry.mailbox, command.status)
            more[entry.name] += response.status(entry.name, values, utf8=session.utf8)
        if Return.MYRIGHTS in command.returns:
            more[entry.name] += mailbox_response.my_rights(_name(session, entry), entry.rights)
    if command.metadata:
        for name, annotations in await _annotations(session, shown, Query(command.metadata)):
            more[name] += annotations
    return more


async def _annotations(session: ImapSession, entries: Sequence[Listed], query: Query) -> Iterator[tuple[str, bytes]]:
    readable = [entry for entry in entries if metadata.may_read(entry.rights)]
    mailboxes = [entry.mailbox for entry in readable if entry.mailbox is not None]
    found = await session.desk.metadata.of_mailboxes(session.the_account().id, mailboxes, query.entries)
    return (
        (entry.name, mailbox_response.metadata(_name(session, entry), metadata.answer(query, found[mailbox.id])[0]))
        for entry, mailbox in zip(readable, mailboxes, strict=True)
    )


def _name(session: ImapSession, entry: Listed) -> bytes:
    return response.mailbox(entry.name, utf8=session.utf8)
