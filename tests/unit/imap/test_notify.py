"""NOTIFY's grammar, and which mailboxes an event group is about."""

from __future__ import annotations

import pytest

from shared.imap.command import Notify
from shared.imap.command_parser import BadCommand, parse_command
from shared.imap.fetch import FetchItem
from shared.imap.notify import COUNT_EVENTS, EVENTS, MESSAGE_EVENTS, Event, events_of, selected_group


def parse(text: bytes) -> Notify:
    command = parse_command(b"a NOTIFY " + text)
    assert isinstance(command, Notify)
    return command


def test_none() -> None:
    assert parse(b"NONE") == Notify(b"a")


def test_the_selected_mailbox() -> None:
    command = parse(b"SET STATUS (selected (MessageNew (uid flags) MessageExpunge)) (personal (MailboxName))")
    assert command.with_status
    group = selected_group(command.groups)
    assert group is not None
    assert group.events == COUNT_EVENTS
    assert group.items == (FetchItem.UID, FetchItem.FLAGS)
    assert not group.delayed
    delayed = selected_group(parse(b"SET (SELECTED-DELAYED NONE)").groups)
    assert delayed is not None
    assert delayed.delayed
    assert not delayed.events


def test_parentheses_may_be_missing_as_in_the_rfc() -> None:
    command = parse(b"set (selected MessageNew (uid) MessageExpunge FlagChange) (subtree Lists MailboxName)")
    assert command.groups[0].events == MESSAGE_EVENTS
    assert command.groups[1].events is Event.MAILBOX_NAME


@pytest.mark.parametrize(
    ("groups", "name", "expected"),
    [
        (b"(personal (MailboxName))", "INBOX", Event.MAILBOX_NAME),
        (b"(personal (MailboxName))", "Other Users/bob@b.test/INBOX", Event.NONE),
        (b"(inboxes (MailboxName))", "Work", Event.MAILBOX_NAME),
        (b"(subscribed (MailboxName))", "Work", Event.NONE),
        (b"(subtree (Work Lists) (MailboxName))", "Work", Event.MAILBOX_NAME),
        (b"(subtree (Work Lists) (MailboxName))", "Lists/x/y", Event.MAILBOX_NAME),
        (b"(subtree (Work Lists) (MailboxName))", "Workers", Event.NONE),
        (b"(mailboxes (Work) (MailboxName))", "Work/x", Event.NONE),
        (b"(mailboxes Work (MailboxName))", "Work", Event.MAILBOX_NAME),
        (
            b"(mailboxes INBOX (MessageNew MessageExpunge)) (personal (SubscriptionChange))",
            "INBOX",
            COUNT_EVENTS | Event.SUBSCRIPTION_CHANGE,
        ),
    ],
)
def test_which_mailboxes(groups: bytes, name: str, expected: Event) -> None:
    assert events_of(parse(b"SET " + groups).groups, name, subscribed=False) == expected


def test_subscribed() -> None:
    groups = parse(b"SET (subscribed (MailboxName))").groups
    assert events_of(groups, "x", subscribed=True) is Event.MAILBOX_NAME


def test_events_that_there_are_not_are_known_as_such() -> None:
    assert parse(b"SET (personal (AnnotationChange MailboxName))").groups[0].unknown
    assert all(not parse(b"SET (personal (%b))" % name).groups[0].unknown for name in list(EVENTS)[3:])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"SOME",
        b"SET",
        b"SET STATUS",
        b"SET STATUS STATUS (personal NONE)",
        b"SET (selected ())",
        b"SET (selected (MessageNew))",
        b"SET (personal (FlagChange))",
        b"SET (selected (SubscriptionChange))",
        b"SET (selected NONE) (selected NONE)",
        b"SET (mailboxes (MailboxName))",
        b"SET (subtree () (MailboxName))",
        b"SET (subtree-one x (MailboxName))",
        b"SET (personal (MessageNew (UID) MessageExpunge))",
        b"SET (selected (MessageNew () MessageExpunge))",
        b"SET (selected (" + b" ".join([b"MessageNew MessageExpunge"] * 11) + b"))",
        b"SET " + b" ".join([b"(personal NONE)"] * 101),
    ],
)
def test_bad(text: bytes) -> None:
    with pytest.raises(BadCommand):
        parse_command(b"a NOTIFY " + text)
