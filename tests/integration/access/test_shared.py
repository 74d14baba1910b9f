"""Quotas and shared mailboxes over the wire: what each command refuses without the right it takes (RFC 4314 §4)."""

from __future__ import annotations

import time

import pytest
from imapclient import IMAPClient

from shared.directory import admin
from tests.integration.access.conftest import ALICE, BOB, RunningAccess
from tests.integration.access.messages import HELLO
from tests.integration.access.wire import Client

BOX = f'"Other Users/{ALICE}/Box"'
NOPERM = b"NO [NOPERM]"


@pytest.fixture(params=["sqlite", "postgres"])
def running(request: pytest.FixtureRequest) -> RunningAccess:
    fixture = "access" if request.param == "sqlite" else "access_on_postgres"
    return request.getfixturevalue(fixture)  # type: ignore[no-any-return]


def share(running: RunningAccess, rights: str) -> tuple[Client, Client]:
    """Alice with a mailbox of three messages, and Bob who has some rights in it and has it selected if he may."""
    alice, bob = running.log_in(ALICE, None), running.log_in(BOB, None)
    alice.ok("CREATE Box")
    for _ in range(3):
        assert alice.append(HELLO, "Box").startswith(b"OK")
    alice.ok(f"SETACL Box {BOB} {rights}")
    if "r" in rights:
        bob.ok(f"SELECT {BOX}")
    return alice, bob


def flags(client: Client, number: int) -> bytes:
    return client.ok(f"FETCH {number} FLAGS")[0]


def test_reading_marks_nothing_without_the_right_to(running: RunningAccess) -> None:
    alice, bob = share(running, "lrw")
    bob.ok("FETCH 1 BODY[TEXT]")
    assert flags(bob, 1) == b"* 1 FETCH (FLAGS (\\Recent))"
    alice.ok(f"SETACL Box {BOB} +s")
    assert b"FLAGS (\\Seen \\Recent)" in b"".join(bob.ok("FETCH 1 BODY[TEXT]"))


def test_what_goes_takes_two_rights(running: RunningAccess) -> None:
    alice, bob = share(running, "lrwsti")
    bob.ok("STORE 1 +FLAGS (\\Deleted)")
    for refused in ("EXPUNGE", "UID EXPUNGE 1", "MOVE 1 INBOX", "UID MOVE 1 INBOX"):
        assert bob.command(refused)[1].startswith(NOPERM), refused
    replaced = b"REPLACE 1 INBOX {%d+}\r\n" % len(HELLO) + HELLO
    assert bob.command(replaced)[1].startswith(NOPERM)
    bob.ok("CLOSE")
    assert bob.ok(f"STATUS {BOX} (MESSAGES DELETED)")[0].endswith(b"(MESSAGES 3 DELETED 1)")
    alice.ok(f"SETACL Box {BOB} +e")
    bob.ok(f"SELECT {BOX}")
    bob.ok("CLOSE")
    assert bob.ok(f"STATUS {BOX} (MESSAGES)")[0].endswith(b"(MESSAGES 2)")


def test_what_comes_takes_one(running: RunningAccess) -> None:
    alice, bob = share(running, "lr")
    assert bob.append(HELLO, BOX).startswith(NOPERM)
    two = b"APPEND %b {%d+}\r\n%b {%d+}\r\n%b" % (BOX.encode(), len(HELLO), HELLO, len(HELLO), HELLO)
    assert bob.command(two)[1].startswith(NOPERM)
    bob.ok("SELECT INBOX")
    bob.append(HELLO)
    for refused in (f"COPY 1 {BOX}", f"UID MOVE 1 {BOX}"):
        assert bob.command(refused)[1].startswith(NOPERM), refused
    alice.ok(f"SETACL Box {BOB} +i")
    assert bob.append(HELLO, BOX, "(\\Seen $Nice \\Deleted)").startswith(b"OK [APPENDUID")
    bob.ok(f"UID MOVE 1 {BOX}")
    assert bob.ok("STATUS INBOX (MESSAGES)")[0].endswith(b"(MESSAGES 0)")
    alice.ok("SELECT Box")
    assert [flags(alice, number) for number in (4, 5)] == [b"* %d FETCH (FLAGS (\\Recent))" % n for n in (4, 5)]


def test_without_reading_there_is_a_name_only(running: RunningAccess) -> None:
    _, bob = share(running, "l")
    listed = bob.ok(f'LIST "" {BOX} RETURN (STATUS (MESSAGES) MYRIGHTS)')
    assert listed == [
        b'* LIST (\\Noselect \\HasNoChildren) "/" %b' % BOX.encode(),
        b"* MYRIGHTS %b l" % BOX.encode(),
    ]
    for refused in (f"SELECT {BOX}", f"EXAMINE {BOX}", f"STATUS {BOX} (MESSAGES)", f"GETQUOTAROOT {BOX}"):
        assert bob.command(refused)[1].startswith(NOPERM), refused
    assert bob.command(f"GETMETADATA {BOX} /shared/comment")[1].startswith(NOPERM)


@pytest.mark.parametrize("command", ["SETACL {} x lr", "DELETEACL {} x", "GETACL {}", "LISTRIGHTS {} x"])
def test_rights_are_given_by_who_has_that_one(access: RunningAccess, command: str) -> None:
    alice, bob = share(access, "lrswipkxte")
    assert bob.command(command.format(BOX))[1].startswith(NOPERM)
    alice.ok(f"SETACL Box {BOB} +a")
    bob.ok(command.format(BOX))


def test_an_idle_session_of_another_account_hears_of_changes_soon(running: RunningAccess) -> None:
    alice, bob = share(running, "lrs")
    bob.send(b"i IDLE\r\n")
    assert bob.line().startswith(b"+")
    alice.ok("SELECT Box")
    begin = time.monotonic()
    alice.ok("STORE 2 +FLAGS.SILENT (\\Flagged)")
    assert bob.line() == b"* 2 FETCH (FLAGS (\\Flagged \\Recent))"
    assert time.monotonic() - begin < 2
    alice.ok("DELETEACL Box bob")
    alice.append(HELLO, "Box")
    assert bob.line() == b"* BYE The selected mailbox is shared no longer"


def test_a_copy_tells_nobody_else_the_address_it_came_to(running: RunningAccess) -> None:
    running.deliver(HELLO)
    alice, bob = share(running, "lr")
    alice.ok("SELECT INBOX")
    assert b"Delivered-To" in b"".join(alice.ok("FETCH 1 BODY.PEEK[HEADER]"))
    bob.ok("CREATE Open")
    bob.ok(f"SETACL Open {ALICE} lrsi")
    alice.ok(f'COPY 1 "Other Users/{BOB}/Open"')
    bob.ok("SELECT Open")
    [got] = bob.ok("FETCH 1 (RFC822.SIZE BODY.PEEK[])")
    assert b"Delivered-To" not in got
    assert b"RFC822.SIZE %d " % len(HELLO) in got
    assert HELLO in got


# Quotas


def test_a_quota_of_messages_and_octets(running: RunningAccess) -> None:
    client = running.log_in(ALICE)
    assert client.ok("GETQUOTAROOT INBOX") == [b"* QUOTAROOT INBOX alice@a.test", b"* QUOTA alice@a.test ()"]
    running.in_database(admin.set_quota, ALICE, 2048)
    running.in_database(admin.set_quota_messages, ALICE, 2)
    assert client.append(HELLO).startswith(b"OK")
    assert client.ok("GETQUOTA alice@a.test") == [b"* QUOTA alice@a.test (STORAGE 1 2 MESSAGE 1 2)"]
    assert client.ok('GETQUOTA ""') == [b'* QUOTA "" (STORAGE 1 2 MESSAGE 1 2)']
    client.ok("COPY 1 INBOX")
    assert client.command("COPY 1 INBOX")[1].startswith(b"NO [OVERQUOTA]")
    assert client.append(HELLO).startswith(b"NO [OVERQUOTA]")
    running.in_database(admin.set_quota_messages, ALICE, 0)
    large = HELLO + b"x" * 3000 + b"\r\n"
    assert client.append(large).startswith(b"NO [OVERQUOTA]")
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    assert client.ok("STATUS INBOX (DELETED DELETED-STORAGE)")[0].endswith(
        b"(DELETED 1 DELETED-STORAGE %d)" % len(HELLO)
    )
    client.ok("EXPUNGE")
    assert client.ok("GETQUOTA alice@a.test") == [b"* QUOTA alice@a.test (STORAGE 1 2)"]
    assert client.command("SETQUOTA alice@a.test (STORAGE 9)")[1].startswith(NOPERM)
    assert client.command("GETQUOTA nobody")[1].startswith(b"NO [NONEXISTENT]")
    assert client.ok("GETQUOTAROOT NotThere")[0] == b"* QUOTAROOT NotThere alice@a.test"


def test_the_owner_is_charged_for_what_others_put_in(running: RunningAccess) -> None:
    _, bob = share(running, "lri")
    running.in_database(admin.set_quota_messages, ALICE, 4)
    assert bob.append(HELLO, BOX).startswith(b"OK")
    assert bob.append(HELLO, BOX).startswith(b"NO [OVERQUOTA]")
    assert bob.ok(f"GETQUOTAROOT {BOX}")[1] == b"* QUOTA alice@a.test (MESSAGE 4 4)"


# Annotations that a transcript can't show


def test_large_and_binary_annotations(running: RunningAccess) -> None:
    client = running.log_in(ALICE, None)
    value = b"\x00\x01\xff(\r\n"
    client.ok(b"SETMETADATA INBOX (/shared/vendor/x ~{%d+}\r\n%b)" % (len(value), value))
    assert client.ok("GETMETADATA INBOX /shared/vendor/x") == [
        b"* METADATA INBOX (/shared/vendor/x ~{%d}\r\n%b)" % (len(value), value)
    ]
    large = b"x" * (64 * 1024)
    client.ok(b"SETMETADATA INBOX (/private/a {%d+}\r\n%b)" % (len(large), large))
    refused = client.command(b"SETMETADATA INBOX (/private/b {%d+}\r\n%b)" % (len(large) + 1, large + b"y"))[1]
    assert refused.startswith(b"NO [METADATA MAXSIZE 65536]")
    for number in range(9):
        names = " ".join(f'/private/n{number * 11 + i} ""' for i in range(11))
        client.ok(f"SETMETADATA INBOX ({names})")
    assert client.command('SETMETADATA INBOX (/private/more "")')[1].startswith(b"NO [METADATA TOOMANY]")


def test_a_real_client_shares_a_mailbox(access: RunningAccess) -> None:
    with (
        IMAPClient("127.0.0.1", port=access.imap, ssl=False) as alice,
        IMAPClient("127.0.0.1", port=access.imap, ssl=False) as bob,
    ):
        alice.login(ALICE, "wonderland")
        bob.login(BOB, "builder")
        assert alice.namespace().other == (("Other Users/", "/"),)
        alice.create_folder("Pläne")
        alice.setacl("Pläne", BOB, "lrsi")
        assert alice.getacl("Pläne") == [(ALICE.encode(), b"lrswipkxteacd"), (BOB.encode(), b"lrsi")]
        name = f"Other Users/{ALICE}/Pläne"
        assert name in [folder for _, _, folder in bob.list_folders()]
        bob.subscribe_folder(name)
        assert name in [folder for _, _, folder in bob.list_sub_folders()]
        bob.append(name, HELLO)
        assert bob.select_folder(name)[b"EXISTS"] == 1
        assert bob.folder_status(name, ["MESSAGES", "UIDNEXT"]) == {b"MESSAGES": 1, b"UIDNEXT": 2}
        access.in_database(admin.set_quota, ALICE, 1024 * 1024)
        roots, quotas = alice.get_quota_root("INBOX")
        assert roots.quota_roots == [ALICE]
        assert [(quota.quota_root, quota.resource, quota.usage, quota.limit) for quota in quotas] == [
            (ALICE, "STORAGE", 1, 1024)
        ]
