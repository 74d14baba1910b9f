"""NOTIFY beyond its transcript: too many mailboxes, lost notifications, mailboxes of other accounts."""

from __future__ import annotations

import pytest

from services.access.imap import notify
from tests.integration.access.conftest import ALICE, BOB, RunningAccess
from tests.integration.access.messages import HELLO

ALL = "NOTIFY SET (personal (MailboxName MessageNew MessageExpunge))"


def test_too_many_mailboxes_are_refused(access: RunningAccess, monkeypatch: pytest.MonkeyPatch) -> None:
    client = access.log_in(mailbox=None)
    monkeypatch.setattr(notify, "MAX_NOTIFIED", 3)
    assert client.command(ALL)[1].startswith(b"NO [NOTIFICATIONOVERFLOW]")


def test_too_many_mailboxes_end_what_was_asked_for(access: RunningAccess, monkeypatch: pytest.MonkeyPatch) -> None:
    client, other = access.log_in(mailbox=None), access.log_in(mailbox=None)
    client.ok(ALL)
    monkeypatch.setattr(notify, "MAX_NOTIFIED", 3)
    other.ok("CREATE One")
    assert client.line().startswith(b"* OK [NOTIFICATIONOVERFLOW]")
    monkeypatch.undo()
    other.ok("CREATE Two")
    assert client.ok("NOOP") == []
    client.ok(ALL)
    other.ok("CREATE Three")
    assert client.line() == b'* LIST (\\HasNoChildren) "/" Three'


def test_a_lost_notification_is_found_by_the_poll(access: RunningAccess) -> None:
    client = access.log_in(mailbox=None)
    client.ok(ALL)
    access.deliver(HELLO, announce=False)
    access.call(access.worker.desk.watcher.poll)
    assert client.line() == b"* STATUS INBOX (UIDNEXT 2 MESSAGES 1)"


def test_a_mailbox_of_another_account(access: RunningAccess) -> None:
    bob, alice = access.log_in(BOB, mailbox=None), access.log_in(ALICE, mailbox=None)
    shared = f'"Other Users/{BOB}/Team"'
    alice.ok(f"NOTIFY SET (mailboxes ({shared}) (MailboxName MessageNew MessageExpunge))")
    bob.ok("CREATE Team")
    bob.ok(f"SETACL Team {ALICE} lr")
    alice.ok("NOOP")
    alice.ok(f"NOTIFY SET STATUS (subtree ({shared}) (MailboxName MessageNew MessageExpunge))")
    assert bob.append(HELLO, "Team").startswith(b"OK")
    assert alice.line() == b'* STATUS "Other Users/%b/Team" (UIDNEXT 2 MESSAGES 1)' % BOB.encode()
    bob.ok(f"DELETEACL Team {ALICE}")
    assert alice.line().startswith(b'* LIST (\\NonExistent) "/" "Other Users/%b/Team"' % BOB.encode())


def test_annotations_of_a_mailbox_of_another_account(access: RunningAccess) -> None:
    bob, alice = access.log_in(BOB, mailbox=None), access.log_in(ALICE, mailbox=None)
    name = f'"Other Users/{BOB}/Team"'
    bob.ok("CREATE Team")
    bob.ok('SETMETADATA Team (/shared/comment "before")')
    alice.ok('NOTIFY SET (subtree "Other Users" (MailboxName MailboxMetadataChange))')
    bob.ok(f"SETACL Team {ALICE} lr")
    assert b'* LIST (\\HasNoChildren) "/" ' + name.encode() in {alice.line(), alice.line()}
    bob.ok('SETMETADATA Team (/shared/comment "after" /private/comment "mine")')
    assert alice.line() == b"* METADATA " + name.encode() + b" /shared/comment"
    alice.ok(f'SETMETADATA {name} (/private/comment "hers")')
    assert alice.ok("NOOP") == []
    bob.ok(f"SETACL Team {ALICE} l")
    bob.ok('SETMETADATA Team (/shared/comment "hidden")')
    assert alice.ok("NOOP") == []


def test_listable_but_not_readable(access: RunningAccess) -> None:
    bob, alice = access.log_in(BOB, mailbox=None), access.log_in(ALICE, mailbox=None)
    bob.ok("CREATE Team")
    bob.ok(f"SETACL Team {ALICE} l")
    told = alice.ok(f'NOTIFY SET STATUS (mailboxes "Other Users/{BOB}/Team" (MessageNew MessageExpunge))')
    assert told == [b'* LIST (\\NoAccess) "/" "Other Users/%b/Team"' % BOB.encode()]


def test_what_is_new_is_shown_unless_the_client_added_it(access: RunningAccess) -> None:
    client, other = access.log_in(), access.log_in()
    client.ok("NOTIFY SET (selected (MessageNew (UID FLAGS) MessageExpunge FlagChange))")
    untagged, status = client.command(b"APPEND INBOX {%d+}\r\n%b" % (len(HELLO), HELLO))
    assert status.startswith(b"OK [APPENDUID")
    assert untagged == [b"* 1 EXISTS", b"* 1 RECENT"]
    assert other.append(HELLO).startswith(b"OK")
    assert [client.line(), client.line()] == [b"* 2 EXISTS", b"* 2 FETCH (UID 2 FLAGS ())"]  # the other has claimed it


def test_the_watches_end_with_the_session(access: RunningAccess) -> None:
    client = access.log_in()
    client.ok(ALL)
    assert len(access.worker.desk.watcher._accounts) == 1
    client.ok("NOTIFY SET (selected NONE)")
    client.ok("NOTIFY NONE")
    assert not access.worker.desk.watcher._accounts
    client.ok(ALL)
    client.ok("LOGOUT")
    assert client.is_closed()
    assert not access.worker.desk.watcher._accounts
