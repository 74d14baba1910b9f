"""NOTIFY: a client is told of what happens to its mailboxes, at any time (RFC 5465).

A session that was told to notify keeps the listing that its client knows. When something in the account changes
(or the slow poll comes round) it reads the listing again, and what differs is what it tells. So nothing is lost
and nothing queues up, however many changes there were or however slowly the client reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from services.access.imap import fetch, metadata, namespace, status
from services.access.imap.outcome import Outcome, done, refused
from services.access.imap.selected import known_of
from shared.errors import PacketboatError
from shared.imap import command as commands
from shared.imap import mailbox_response, response
from shared.imap.command import Command, StatusItem
from shared.imap.listing import NONEXISTENT, Style, attributes
from shared.imap.mailbox_name import SEPARATOR, parents
from shared.imap.notify import COUNT_EVENTS, EVENTS, MESSAGE_EVENTS, Event, EventGroup, events_of, selected_group
from shared.imap.response import Condition
from shared.imap.sequence import Range, SequenceSet, count, subtract
from shared.imap.state import Extension
from shared.mailbox.mailbox import Mailbox
from shared.mailbox.mailboxes import Listed
from shared.mailbox.metadata import Changed

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

MAX_NOTIFIED = 2_000  # names that an account may have for its clients to be notified
PAUSE = 0.05  # seconds between two looks at the listing: a busy account costs no more than these
MAX_UID = 0xFFFFFFFF
NO_ACCESS = b"\\NoAccess"

_TOO_MANY = refused(b"There are too many mailboxes", response.NOTIFICATIONOVERFLOW)
_UNKNOWN = refused(b"There is no such event", response.code_badevent(EVENTS))
_OVERFLOW = response.untagged_status(Condition.OK, b"Too many mailboxes now", response.NOTIFICATIONOVERFLOW)
_STYLE = Style(with_subscribed=True, with_nonexistent=True)
# What a client does to names it isn't told of; what it does to messages it finds in the counts
_NAMING = (
    commands.Create,
    commands.Delete,
    commands.Rename,
    commands.Subscribe,
    commands.Unsubscribe,
    commands.SetMetadata,
)


@dataclass(slots=True)
class Notifying:
    """What the client asked for and what it knows; `woken` while something may have changed."""

    groups: tuple[EventGroup, ...]
    selected: EventGroup | None
    known: dict[str, Listed] = field(default_factory=dict)
    annotated: int = 0  # up to when changes of annotations were told, microseconds
    annotated_elsewhere: dict[int, int] = field(default_factory=dict)  # the same of each mailbox of others, by its id
    woken: bool = False
    own_names: set[str] = field(default_factory=set)  # that the client's own commands changed since
    own_messages: dict[int, int] = field(default_factory=dict)  # UIDVALIDITY → how many it added itself
    accounts: frozenset[int] = frozenset()
    watches: ExitStack = field(default_factory=ExitStack)
    not_before: float = 0.0  # the next look at the listing, by the loop's clock
    timer: asyncio.TimerHandle | None = None

    @property
    def selected_events(self) -> Event:
        """What is told of the selected mailbox."""
        return Event.NONE if self.selected is None else self.selected.events


async def notify(session: ImapSession, command: commands.Notify) -> Outcome:
    """Replace what the client is told of; with STATUS tell first how its mailboxes are."""
    if any(group.unknown for group in command.groups):
        return _UNKNOWN
    listing = await session.desk.mailboxes.listing_for(session.the_account()) if command.groups else []
    if len(listing) > MAX_NOTIFIED:
        return _TOO_MANY
    stop(session)
    notifying = Notifying(command.groups, selected_group(command.groups))
    session.notifying = notifying
    if not command.groups:
        return done(b"NOTIFY completed")
    notifying.annotated = await _last_annotation(session, notifying)
    _take(session, notifying, listing)
    if _wants_annotations(notifying):
        await _changed_elsewhere(session, notifying)
    for entry in listing:
        wanted = events_of(notifying.groups, entry.name, subscribed=entry.subscribed) & MESSAGE_EVENTS
        if wanted and not _may_read(entry) and entry.exists:
            session.write(response.list_line(entry.name, (NO_ACCESS,), utf8=session.utf8))
        elif wanted and command.with_status:
            await _tell_first_status(session, entry, wanted)
    return done(b"NOTIFY completed")


def stop(session: ImapSession) -> None:
    """Tell of nothing more than IMAP without NOTIFY does."""
    if session.notifying is not None:
        session.notifying.watches.close()
        if session.notifying.timer is not None:
            session.notifying.timer.cancel()
        session.notifying = None


async def report(session: ImapSession) -> bool:
    """Tell what has happened; False when nothing has woken the session."""
    notifying = session.notifying
    if notifying is None or not notifying.woken:
        return False
    notifying.woken = False
    if not await namespace.look_again(session):
        return True
    if session.selected is not None and notifying.selected is not None and tells_messages(session):
        delayed = notifying.selected.delayed and session.idling is None
        await session.synchronise(with_expunges=not delayed)
        session.tell_highest()
    try:
        await _tell_others(session, notifying)
    except PacketboatError as error:
        session.desk.log.trouble("mailboxes not compared", error=str(error))
    return True


def note_own(session: ImapSession, command: Command, outcome: Outcome) -> None:
    """Remember what a command of the client itself did: it needn't be told of that."""
    notifying = session.notifying
    if notifying is None or outcome.condition is not Condition.OK:
        return
    if isinstance(command, _NAMING):
        names = (command.mailbox, *((command.new_name,) if isinstance(command, commands.Rename) else ()))
        notifying.own_names.update(name.removesuffix(SEPARATOR) for name in names)
    uidvalidity, added = _added(outcome.code)
    if added:
        notifying.own_messages[uidvalidity] = notifying.own_messages.get(uidvalidity, 0) + count(added)


# The selected mailbox


def tells_messages(session: ImapSession) -> bool:
    """Say whether messages that come and go in the selected mailbox are told, as they are without NOTIFY."""
    return session.notifying is None or bool(session.notifying.selected_events)


def tells_flags(session: ImapSession) -> bool:
    """Say whether changes of flags there are told."""
    return session.notifying is None or Event.FLAG_CHANGE in session.notifying.selected_events


def shows_uids(session: ImapSession) -> bool:
    """Say whether flags are told with the UID (RFC 5465 §5.1)."""
    return session.notifying is not None and tells_flags(session)


async def show_new(session: ImapSession, after: int, outcome: Outcome | None) -> None:
    """Show what the client asked for of messages above a UID, but not of those that it added itself."""
    notifying, selected = session.notifying, session.selected
    if notifying is None or notifying.selected is None or selected is None or not notifying.selected.items:
        return
    uidvalidity, added = _added(outcome.code if outcome is not None else None)
    new = known_of(selected.view, ((after + 1, MAX_UID),))
    if uidvalidity == selected.uidvalidity:
        new = subtract(new, added)
    if new:
        await fetch.fetch(session, commands.Fetch(b"", SequenceSet(new), notifying.selected.items, uid=True))


def _added(code: bytes | None) -> tuple[int, tuple[Range, ...]]:
    """Return UIDVALIDITY and the UIDs that an APPENDUID or COPYUID code tells of."""
    words = (code or b"").split(b" ")
    if words[0] not in (b"APPENDUID", b"COPYUID"):
        return 0, ()
    return int(words[1]), SequenceSet.parse(words[-1]).ranges


# The others


def _take(session: ImapSession, notifying: Notifying, listing: Iterable[Listed]) -> None:
    """Know a listing, and watch every account that a mailbox in it belongs to."""
    notifying.known = {entry.name: entry for entry in listing}
    owners = {entry.mailbox.account_id for entry in notifying.known.values() if entry.mailbox is not None}
    accounts = frozenset((session.the_account().id, *owners))
    if accounts == notifying.accounts:
        return

    notifying.watches.close()
    wake = partial(_wake, session, notifying)
    for account_id in accounts:
        notifying.watches.enter_context(session.desk.watcher.watch_account(account_id, wake))
    notifying.accounts = accounts


def _wake(session: ImapSession, notifying: Notifying) -> None:
    notifying.timer = None
    notifying.woken = True
    session.connection.wake()


def _is_too_soon(session: ImapSession, notifying: Notifying) -> bool:
    """Say whether the listing was looked at just now; the session is then woken when it is time again."""
    loop = asyncio.get_running_loop()
    wait = notifying.not_before - loop.time()
    if wait <= 0:
        notifying.not_before = loop.time() + PAUSE
        return False
    if notifying.timer is None:
        notifying.timer = loop.call_later(wait, _wake, session, notifying)
    return True


async def _tell_others(session: ImapSession, notifying: Notifying) -> None:
    if not any(group.mailboxes is not None for group in notifying.groups) or _is_too_soon(session, notifying):
        return
    listing = await session.desk.mailboxes.listing_for(session.the_account())
    if len(listing) > MAX_NOTIFIED:
        _overflow(session)
        return
    before, own = notifying.known, notifying.own_names
    notifying.own_names = set()
    _take(session, notifying, listing)
    for line in _name_changes(session, notifying, before, own):
        session.write(line)
    for entry in listing:
        previous = before.get(entry.name)
        if previous is not None and previous.mailbox != entry.mailbox:
            await _tell_status(session, notifying, previous, entry)
    notifying.own_messages.clear()
    await _tell_annotations(session, notifying, own)
    await session.connection.drain()


def _overflow(session: ImapSession) -> None:
    stop(session)
    session.notifying = Notifying((), None)
    session.write(_OVERFLOW)


def _name_changes(
    session: ImapSession, notifying: Notifying, before: dict[str, Listed], own: set[str]
) -> Iterator[bytes]:
    """Yield LIST responses for names that came, went or got another name, or whose subscription changed."""
    now = notifying.known
    renamed = _renamed(before, now)
    affected: dict[str, Event] = {}
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if _exists(old) is not _exists(new):
            if name not in renamed.values() and not _is_below(name, renamed):
                affected[name] = Event.MAILBOX_NAME
                for parent in parents(name)[-1:]:
                    affected.setdefault(parent, Event.MAILBOX_NAME)
        elif old is not None and new is not None and old.subscribed is not new.subscribed:
            affected[name] = Event.SUBSCRIPTION_CHANGE
    for name in affected.keys() | renamed.keys():
        if not _is_own(name, own):
            entry = now.get(name) or before.get(name)
            subscribed = entry is not None and entry.subscribed
            if affected.get(name, Event.MAILBOX_NAME) & events_of(notifying.groups, name, subscribed=subscribed):
                yield _list_line(session, name, now.get(name), renamed.get(name))


def _renamed(before: dict[str, Listed], now: dict[str, Listed]) -> dict[str, str]:
    """Return old names by new ones, without names that only changed with the one above them."""
    old_names = {entry.mailbox.id: name for name, entry in before.items() if entry.mailbox is not None}
    renamed = {
        name: old_names[entry.mailbox.id]
        for name, entry in now.items()
        if entry.mailbox is not None and old_names.get(entry.mailbox.id, name) != name
    }
    return {name: old for name, old in renamed.items() if not _moved_with_parent(name, old, renamed)}


def _moved_with_parent(name: str, old: str, renamed: dict[str, str]) -> bool:
    return any(parent in renamed and renamed[parent] + name[len(parent) :] == old for parent in parents(name))


def _is_below(name: str, renamed: dict[str, str]) -> bool:
    """Say whether a name came or went because one above it got another name."""
    tops = chain(renamed, renamed.values())
    return any((name + SEPARATOR).startswith(top + SEPARATOR) for top in tops)


def _is_own(name: str, own: set[str]) -> bool:
    """Say whether the client's own command changed a name, or a parent or child of it."""
    return any((name + SEPARATOR).startswith(changed + SEPARATOR) or name in parents(changed) for changed in own)


def _exists(entry: Listed | None) -> bool:
    return entry is not None and entry.exists


def _list_line(session: ImapSession, name: str, entry: Listed | None, old_name: str | None) -> bytes:
    told = [NONEXISTENT] if entry is None else attributes(entry, _STYLE)
    return response.list_line(name, told, utf8=session.utf8, old_name=old_name)


# Counts


def _may_read(entry: Listed) -> bool:
    return entry.mailbox is not None and "r" in entry.rights


def _is_selected(session: ImapSession, mailbox: Mailbox) -> bool:
    return session.selected is not None and session.selected.mailbox_id == mailbox.id


async def _tell_first_status(session: ImapSession, entry: Listed, wanted: Event) -> None:
    """Tell what a client has to know of a mailbox to understand what is told later (RFC 5465 §3.1)."""
    if entry.mailbox is None or _is_selected(session, entry.mailbox):
        return
    items = [StatusItem.MESSAGES, StatusItem.UIDNEXT, StatusItem.UIDVALIDITY]
    if Event.FLAG_CHANGE in wanted or Extension.CONDSTORE in session.enabled:
        items.append(StatusItem.HIGHESTMODSEQ)
    await _write_status(session, entry, entry.mailbox, items)


async def _tell_status(session: ImapSession, notifying: Notifying, before: Listed, entry: Listed) -> None:
    old, new = before.mailbox, entry.mailbox
    if old is None or new is None or not _may_read(entry) or _is_selected(session, new):
        return
    wanted = events_of(notifying.groups, entry.name, subscribed=entry.subscribed) & MESSAGE_EVENTS
    if _is_own_addition(notifying, old, new):
        wanted &= ~COUNT_EVENTS  # flags may have changed besides
    items = _changed_items(old, new, wanted, with_modseq=Extension.CONDSTORE in session.enabled)
    if items:
        await _write_status(session, entry, new, items)


def _changed_items(old: Mailbox, new: Mailbox, wanted: Event, *, with_modseq: bool) -> list[StatusItem]:
    """Return what STATUS has to tell of a change (RFC 5465 §5.1-5.3)."""
    items: list[StatusItem] = []
    if wanted & COUNT_EVENTS and (old.uidnext, old.messages) != (new.uidnext, new.messages):
        items += [StatusItem.UIDNEXT, StatusItem.MESSAGES]
    has_modseq = with_modseq and old.modseq != new.modseq
    if Event.FLAG_CHANGE in wanted and (has_modseq or old.unseen != new.unseen):
        items += [StatusItem.UNSEEN] if old.unseen != new.unseen else []
        items.append(StatusItem.UIDVALIDITY)
    elif wanted and old.uidvalidity != new.uidvalidity:
        items.append(StatusItem.UIDVALIDITY)
    return [*items, StatusItem.HIGHESTMODSEQ] if items and has_modseq else items


def _is_own_addition(notifying: Notifying, old: Mailbox, new: Mailbox) -> bool:
    """Say whether all messages that came into a mailbox were added by the client itself, and none went."""
    added = notifying.own_messages.get(new.uidvalidity, 0)
    return bool(added) and new.uidnext - old.uidnext == new.messages - old.messages == added


async def _write_status(session: ImapSession, entry: Listed, mailbox: Mailbox, items: Iterable[StatusItem]) -> None:
    values = await status.values(session, mailbox, tuple(items))
    session.write(response.status(entry.name, values, utf8=session.utf8))
    await session.connection.drain()


# Annotations


async def _last_annotation(session: ImapSession, notifying: Notifying) -> int:
    """Return when the latest annotation changed, if the client wants to know of later ones."""
    if not _wants_annotations(notifying):
        return 0
    changed = await session.desk.metadata.changed(session.the_account().id, 0)
    return max((change.at for change in changed), default=0)


async def _tell_annotations(session: ImapSession, notifying: Notifying, own: set[str]) -> None:
    if not _wants_annotations(notifying):
        return
    changed = await session.desk.metadata.changed(session.the_account().id, notifying.annotated)
    notifying.annotated = max((change.at for change in changed), default=notifying.annotated)
    entries: dict[str, list[str]] = {}
    for change in [*changed, *await _changed_elsewhere(session, notifying)]:
        if change.mailbox not in own and _is_wanted(notifying, change.mailbox):
            entries.setdefault(change.mailbox, []).append(change.entry)
    for name, names in entries.items():
        mailbox = response.mailbox(name, utf8=session.utf8) if name else b'""'
        session.write(mailbox_response.metadata_changed(mailbox, names))


async def _changed_elsewhere(session: ImapSession, notifying: Notifying) -> list[Changed]:
    """Return what changed in mailboxes of others since this was asked last, nothing of those that are new."""
    account_id, before = session.the_account().id, notifying.annotated_elsewhere
    names = {
        entry.mailbox.id: entry.name
        for entry in notifying.known.values()
        if entry.mailbox is not None and entry.mailbox.account_id != account_id and metadata.may_read(entry.rights)
    }
    since = {mailbox_id: before.get(mailbox_id, 0) for mailbox_id in names}
    changed = await session.desk.metadata.changed_in(account_id, since)
    for mailbox_id, _, at in changed:
        since[mailbox_id] = max(since[mailbox_id], at)
    notifying.annotated_elsewhere = since
    return [Changed(names[mailbox_id], entry, at) for mailbox_id, entry, at in changed if mailbox_id in before]


def _is_wanted(notifying: Notifying, name: str) -> bool:
    if not name:
        return any(Event.SERVER_METADATA_CHANGE in group.events for group in notifying.groups)
    entry = notifying.known.get(name)
    wanted = events_of(notifying.groups, name, subscribed=entry is not None and entry.subscribed)
    return Event.MAILBOX_METADATA_CHANGE in wanted


def _wants_annotations(notifying: Notifying) -> bool:
    wanted = Event.MAILBOX_METADATA_CHANGE | Event.SERVER_METADATA_CHANGE
    return any(group.events & wanted for group in notifying.groups)
