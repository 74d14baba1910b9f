"""NOTIFY's events and the mailboxes they are asked for (RFC 5465 §5, §6, §8)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Flag, auto

from shared.imap.fetch import FetchAttribute, parse_fetch_items
from shared.imap.grammar import Scanner, SyntaxFailure
from shared.imap.limits import MAX_EVENT_GROUPS, MAX_EVENTS
from shared.imap.mailbox_filter import FilterKind, MailboxFilter, parse_filter
from shared.imap.mailbox_name import SEPARATOR, split_shared


class Event(Flag):
    """What a client can be told of."""

    NONE = 0
    MESSAGE_NEW = auto()
    MESSAGE_EXPUNGE = auto()
    FLAG_CHANGE = auto()
    MAILBOX_NAME = auto()
    SUBSCRIPTION_CHANGE = auto()
    MAILBOX_METADATA_CHANGE = auto()
    SERVER_METADATA_CHANGE = auto()


EVENTS: dict[bytes, Event] = {
    b"MessageNew": Event.MESSAGE_NEW,
    b"MessageExpunge": Event.MESSAGE_EXPUNGE,
    b"FlagChange": Event.FLAG_CHANGE,
    b"MailboxName": Event.MAILBOX_NAME,
    b"SubscriptionChange": Event.SUBSCRIPTION_CHANGE,
    b"MailboxMetadataChange": Event.MAILBOX_METADATA_CHANGE,
    b"ServerMetadataChange": Event.SERVER_METADATA_CHANGE,
}
"""The events that there are; AnnotationChange and others get BADEVENT with these names."""

MESSAGE_EVENTS = Event.MESSAGE_NEW | Event.MESSAGE_EXPUNGE | Event.FLAG_CHANGE
COUNT_EVENTS = Event.MESSAGE_NEW | Event.MESSAGE_EXPUNGE
_BY_NAME = {name.upper(): event for name, event in EVENTS.items()}
_OTHERS = frozenset(
    (FilterKind.INBOXES, FilterKind.PERSONAL, FilterKind.SUBSCRIBED, FilterKind.SUBTREE, FilterKind.MAILBOXES)
)


@dataclass(frozen=True, slots=True)
class EventGroup:
    """Events of some mailboxes; `mailboxes` is None for the selected one.

    `delayed`: removals wait for a command (SELECTED-DELAYED). `items`: what to show of new messages there.
    `unknown`: an event was named that there isn't.
    """

    mailboxes: MailboxFilter | None
    events: Event
    items: tuple[FetchAttribute, ...] = ()
    delayed: bool = False
    unknown: bool = False


def events_of(groups: Iterable[EventGroup], name: str, *, subscribed: bool) -> Event:
    """Return the events asked for of a mailbox by this name that isn't selected."""
    wanted = Event.NONE
    for group in groups:
        if group.mailboxes is not None and _covers(group.mailboxes, name, subscribed):
            wanted |= group.events
    return wanted


def selected_group(groups: Iterable[EventGroup]) -> EventGroup | None:
    """Return what was asked for of the selected mailbox."""
    return next((group for group in groups if group.mailboxes is None), None)


def _covers(chosen: MailboxFilter, name: str, subscribed: bool) -> bool:
    match chosen.kind:
        case FilterKind.SUBSCRIBED:
            return subscribed
        case FilterKind.MAILBOXES:
            return name in chosen.names
        case FilterKind.SUBTREE:
            return any((name + SEPARATOR).startswith(top + SEPARATOR) for top in chosen.names)
        case _:  # PERSONAL; mail may be delivered to any mailbox, so INBOXES are the same (RFC 5465 §6.3)
            return split_shared(name) is None


# Syntax


def parse_event_groups(scanner: Scanner) -> tuple[EventGroup, ...]:
    """Read `(filter events) (filter events) …`."""
    groups = [_parse_group(scanner)]
    while scanner.accept(b" "):
        if len(groups) >= MAX_EVENT_GROUPS:
            raise SyntaxFailure("Too many event groups")
        groups.append(_parse_group(scanner))
    if sum(group.mailboxes is None for group in groups) > 1:
        raise SyntaxFailure("Only one of SELECTED and SELECTED-DELAYED can be used")
    return tuple(groups)


def _parse_group(scanner: Scanner) -> EventGroup:
    scanner.expect(b"(")
    start = scanner.position
    name = scanner.atom_keyword()
    chosen: MailboxFilter | None = None
    if name not in (b"SELECTED", b"SELECTED-DELAYED"):
        scanner.position = start
        chosen = parse_filter(scanner)
        if chosen.kind not in _OTHERS:
            raise SyntaxFailure("Unknown kind of mailboxes")
    scanner.space()
    events, items, unknown = _parse_events(scanner)
    scanner.expect(b")")
    if not unknown:
        _check(chosen, events, items)
    return EventGroup(chosen, events, items, name == b"SELECTED-DELAYED", unknown)


def _parse_events(scanner: Scanner) -> tuple[Event, tuple[FetchAttribute, ...], bool]:
    """Read events; the parentheses around them may be missing, as in the RFC's own example (§3.1)."""
    start = scanner.position
    if scanner.peek() != b"(" and scanner.atom_keyword() == b"NONE":
        return Event.NONE, (), False
    scanner.position = start
    in_list = scanner.accept(b"(")
    events, unknown = Event.NONE, False
    items: tuple[FetchAttribute, ...] = ()
    for _ in range(MAX_EVENTS):
        name = scanner.atom_keyword()
        event = _BY_NAME.get(name, Event.NONE)
        events |= event
        unknown = unknown or not event
        if event is Event.MESSAGE_NEW and scanner.text.startswith(b" (", scanner.position):
            scanner.space()
            items = parse_fetch_items(scanner)
        if scanner.peek() == b")":
            break
        scanner.space()
    else:
        raise SyntaxFailure("Too many events")
    if in_list:
        scanner.expect(b")")
    return events, items, unknown


def _check(chosen: MailboxFilter | None, events: Event, items: tuple[FetchAttribute, ...]) -> None:
    """Refuse what RFC 5465 §5 and §6.1 rule out."""
    if events & COUNT_EVENTS and events & COUNT_EVENTS != COUNT_EVENTS:
        raise SyntaxFailure("MessageNew and MessageExpunge need each other")
    if Event.FLAG_CHANGE in events and not events & COUNT_EVENTS:
        raise SyntaxFailure("FlagChange needs MessageNew and MessageExpunge")
    if chosen is None and events & ~MESSAGE_EVENTS:
        raise SyntaxFailure("Only message events can be asked for of the selected mailbox")
    if chosen is not None and items:
        raise SyntaxFailure("Only of the selected mailbox new messages can be shown")
