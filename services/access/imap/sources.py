"""Which mailboxes ESEARCH … IN names: those that are there and may be read, each once (RFC 7377 §2.2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.access.imap import namespace
from shared.imap.mailbox_filter import FilterKind, MailboxFilter
from shared.imap.mailbox_name import INBOX, OTHER_USERS, SEPARATOR, split_shared
from shared.mailbox.errors import MailboxError

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

_PERSONAL = frozenset((FilterKind.PERSONAL, FilterKind.SUBSCRIBED, FilterKind.SUBTREE, FilterKind.SUBTREE_ONE))


@dataclass(frozen=True, slots=True)
class Source:
    """A mailbox by its id and the client's name for it."""

    mailbox_id: int
    name: str


async def sources(session: ImapSession, filters: Iterable[MailboxFilter]) -> list[Source]:
    """Return the mailboxes that filters name; those that aren't there or mayn't be read are passed over."""
    filters = tuple(filters)
    found: dict[int, Source] = {}
    names = await _names(session) if any(chosen.kind in _PERSONAL for chosen in filters) else []
    subscribed: set[str] = set()
    if any(chosen.kind is FilterKind.SUBSCRIBED for chosen in filters):
        subscribed.update(await session.desk.mailboxes.subscriptions(session.the_account().id))
    for chosen in filters:
        if chosen.kind is FilterKind.SELECTED:
            if session.selected is not None:
                selected = Source(session.selected.mailbox_id, session.selected.name)
                found.setdefault(selected.mailbox_id, selected)
            continue
        for name in _chosen(chosen, names, subscribed):
            source = await _source(session, name)
            if source is not None:
                found.setdefault(source.mailbox_id, source)
    return list(found.values())


def _chosen(chosen: MailboxFilter, names: Iterable[str], subscribed: set[str]) -> list[str]:
    match chosen.kind:
        case FilterKind.INBOXES:
            return [INBOX]
        case FilterKind.PERSONAL:
            return [name for name in names if split_shared(name) is None]
        case FilterKind.SUBSCRIBED:
            return sorted(subscribed)
        case FilterKind.SUBTREE:
            return [name for name in names if any(_is_within(name, top) for top in chosen.names)]
        case FilterKind.SUBTREE_ONE:
            return [name for name in names if any(_is_within(name, top, 1) for top in chosen.names)]
        case _:
            return list(chosen.names)


def _is_within(name: str, top: str, levels: int | None = None) -> bool:
    """Say whether a mailbox is another one or below it, at most so many levels."""
    if name == top:
        return True
    below = name.removeprefix(top + SEPARATOR)
    return below != name and (levels is None or below.count(SEPARATOR) < levels)


async def _names(session: ImapSession) -> list[str]:
    account = session.the_account()
    own = [listed.name for listed in await session.desk.mailboxes.listing(account.id) if listed.mailbox is not None]
    shared = await session.desk.acl.shared_with(account)
    return own + [SEPARATOR.join((OTHER_USERS, access.owner, access.mailbox.name)) for access in shared]


async def _source(session: ImapSession, name: str) -> Source | None:
    try:
        return Source((await namespace.find(session, name)).mailbox.id, name)
    except MailboxError:
        return None
