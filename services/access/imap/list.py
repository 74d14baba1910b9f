"""LIST and LSUB (RFC 3501 §6.3.8-9, RFC 3348, RFC 6154)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from services.access.imap.outcome import Outcome, done
from shared.imap import command as commands
from shared.imap import response
from shared.imap.mailbox_name import ListPattern, parents
from shared.mailbox.mailboxes import Listed

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

NOSELECT = b"\\Noselect"


async def list_mailboxes(session: ImapSession, command: commands.List) -> Outcome:
    """List mailboxes; an empty pattern asks for the hierarchy separator."""
    if command.patterns == ("",):
        session.write(response.list_line("", (NOSELECT,)))
        return done(b"LIST completed")
    patterns = [ListPattern(command.reference + pattern) for pattern in command.patterns]
    listing = await session.desk.mailboxes.listing(session.the_account().id)
    session.write(
        b"".join(
            response.list_line(listed.name, _attributes(listed))
            for listed in listing
            if _matches(patterns, listed.name)
        )
    )
    return done(b"LIST completed")


async def list_subscribed(session: ImapSession, command: commands.Lsub) -> Outcome:
    """List subscriptions; a parent of one that only `%` reaches is shown as \\Noselect."""
    patterns = [ListPattern(command.reference + command.pattern)]
    subscribed = set(await session.desk.mailboxes.subscriptions(session.the_account().id))
    superior = {name for child in subscribed for name in parents(child)} - subscribed
    shown = subscribed | superior if command.pattern.endswith("%") else subscribed
    lines = [
        response.list_line(name, () if name in subscribed else (NOSELECT,), kind=b"LSUB")
        for name in sorted(shown)
        if _matches(patterns, name)
    ]
    session.write(b"".join(lines))
    return done(b"LSUB completed")


def _matches(patterns: Iterable[ListPattern], name: str) -> bool:
    return any(pattern.matches(name) for pattern in patterns)


def _attributes(listed: Listed) -> list[bytes]:
    attributes = [b"\\HasChildren" if listed.has_children else b"\\HasNoChildren"]
    if listed.mailbox is None:
        attributes.insert(0, NOSELECT)
    elif listed.mailbox.special_use:
        attributes.append(listed.mailbox.special_use.encode("ascii"))
    return attributes
