"""APPEND and REPLACE beyond what transcripts show: long messages, many of them, quotas, and clients that break off."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable

from shared.db import Query, Statement, Work
from tests.integration.access.conftest import ALICE, RunningAccess
from tests.integration.access.messages import HELLO
from tests.integration.access.wire import Client

LONG = b"Subject: long\r\n\r\n" + b"0123456789abcde\r\n" * 40_000


def octets(client: Client, number: int, item: str = "BODY.PEEK[]") -> bytes:
    """What FETCH of one section gives."""
    [line] = client.ok(f"FETCH {number} {item}")
    head, _, rest = line.partition(b"}\r\n")
    size = int(head.rpartition(b"{")[2])
    return rest[:size]


def test_many_messages_at_once(access: RunningAccess) -> None:
    """1,000 short ones (some of which go to files, since no more than 1 MiB is held), and a long one among others."""
    client = access.log_in()
    messages = [b"Subject: %d\r\n\r\n" % n + b"x" * 1500 + b"\r\n" for n in range(1000)]
    command = b"".join(b" {%d+}\r\n%b" % (len(message), message) for message in messages)
    client.socket.settimeout(60)
    assert client.command(b"APPEND INBOX" + command)[1].endswith(b" 1:1000] APPEND completed")
    assert octets(client, 1000) == messages[999]
    command = b"".join(b" {%d+}\r\n%b" % (len(m), m) for m in (HELLO, LONG, HELLO))
    assert client.command(b"APPEND INBOX" + command)[1].endswith(b" 1001:1003] APPEND completed")
    assert octets(client, 1002) == LONG
    too_many = b" {1+}\r\nx" * 1001
    assert client.command(b"APPEND INBOX" + too_many)[1] == b"BAD Too many messages"
    assert client.command("NOOP")[1].startswith(b"OK")


def test_all_or_nothing_with_a_quota(access: RunningAccess) -> None:
    client = access.log_in()
    set_quota(access, 3000)
    message = b"Subject: x\r\n\r\n" + b"x" * 984 + b"\r\n"
    three = b"".join(b" {%d+}\r\n%b" % (len(message), message) for _ in range(4))
    assert client.command(b"APPEND INBOX" + three)[1].startswith(b"NO [OVERQUOTA]")
    assert client.ok("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 0)"]
    for _ in range(3):
        assert client.append(message).startswith(b"OK")
    assert client.append(message).startswith(b"NO [OVERQUOTA]")
    # what is replaced makes room (RFC 8508 §3.4)
    assert client.command(b"REPLACE 1 INBOX {%d+}\r\n%b" % (len(message), message))[1] == b"OK REPLACE completed"
    longer = message + b"y" * 100
    assert client.command(b"REPLACE 1 INBOX {%d+}\r\n%b" % (len(longer), longer))[1].startswith(b"NO [OVERQUOTA]")
    assert client.ok("STATUS INBOX (MESSAGES UIDNEXT)") == [b"* STATUS INBOX (MESSAGES 3 UIDNEXT 5)"]


def test_a_replacement_of_what_another_session_expunged(access: RunningAccess) -> None:
    access.deliver(HELLO, HELLO)
    client, other = access.log_in(), access.log_in()
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    other.ok("EXPUNGE")
    untagged, status = client.command(b"REPLACE 1 INBOX {3+}\r\nx\r\n")
    assert status.startswith(b"NO [EXPUNGEISSUED]")
    assert b"* 1 EXPUNGE" in untagged
    assert client.ok("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 1)"]


def test_long_messages_are_catenated(access: RunningAccess) -> None:
    client = access.log_in()
    assert client.append(LONG).startswith(b"OK")
    client.ok("NOOP")
    command = b'APPEND INBOX CATENATE (TEXT {9+}\r\nX: new\n\r\n URL "/INBOX/;UID=1" URL "/INBOX/;UID=1/;SECTION=TEXT")'
    assert client.command(command)[1].startswith(b"OK [APPENDUID")
    client.ok("NOOP")
    assert octets(client, 2) == b"X: new\r\n\r\n" + LONG + LONG.partition(b"\r\n\r\n")[2]
    big = b"APPEND INBOX CATENATE (" + b" ".join([b'URL "/INBOX/;UID=2"'] * 100) + b")"
    assert client.command(big)[1].startswith(b"NO [TOOBIG]")
    leftovers_vanish(access, 2)


def test_binary_messages_of_any_size(access: RunningAccess) -> None:
    client = access.log_in()
    for size in (5_000, 150_000, 300_000, 3_000_000):
        body = random.Random(size).randbytes(size)
        head = b"Subject: x\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        status = client.command(b"APPEND INBOX ~{%d+}\r\n%b%b" % (len(head) + size, head, body))[1]
        assert status.startswith(b"OK [APPENDUID"), status
        client.ok("NOOP")
        number = int(client.ok("STATUS INBOX (MESSAGES)")[0].rpartition(b" ")[2].rstrip(b")"))
        stored = octets(client, number)
        assert b"Content-Transfer-Encoding: base64\r\n\r\n" in stored
        assert base64.b64decode(stored.partition(b"\r\n\r\n")[2]) == body
        [line] = client.ok(f"FETCH {number} BINARY.PEEK[1]")
        assert line.endswith(b"\r\n" + body + b")")
        [line] = client.ok(f"FETCH {number} BINARY.PEEK[1]<5.3>")
        assert line.endswith(b"\r\n" + body[5:8] + b")")
        assert client.ok(f"FETCH {number} BINARY.SIZE[1]") == [b"* %d FETCH (BINARY.SIZE[1] %d)" % (number, size)]
    leftovers_vanish(access, 2)  # of the two that are over 256 KiB; the octets as they came are gone


def test_a_client_that_vanishes_leaves_nothing(access: RunningAccess) -> None:
    for text in (
        b"APPEND INBOX {5+}\r\nhello {400000+}\r\n" + b"x" * 300_000,
        b"APPEND INBOX ~{400000+}\r\n" + b"\0" * 300_000,
        b"APPEND INBOX CATENATE (TEXT {400000+}\r\n" + b"x" * 399_999,
        b"APPEND INBOX CATENATE (TEXT {400000+}\r\n" + b"x" * 400_000 + b" URL /x",
    ):
        client = access.log_in()
        client.send(b"a " + text)
        time.sleep(0.1)
        client.close()
    leftovers_vanish(access, 0)
    assert access.log_in().ok("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 0)"]


def test_headers_that_must_be_ascii(start_access: Callable[..., RunningAccess]) -> None:
    """RFC 6855 §4, where it is wanted."""
    client = start_access(access_ascii_headers=True).log_in()
    message = "Subject: Grüße\r\n\r\n".encode()
    assert client.append(message).startswith(b"NO [CANNOT]")
    assert client.append(b"Subject: x\r\n\r\n" + "Grüße".encode()).startswith(b"OK")
    client.ok("ENABLE UTF8=ACCEPT")
    assert client.append(message).startswith(b"OK")


def test_unauthenticate_can_be_forbidden(start_access: Callable[..., RunningAccess]) -> None:
    client = start_access(access_unauthenticate=False).log_in()
    assert b"UNAUTHENTICATE" not in client.ok("CAPABILITY")[0]
    assert client.command("UNAUTHENTICATE")[1].startswith(b"BAD")


def set_quota(access: RunningAccess, size: int) -> None:
    def work() -> Work[None]:
        statement: Statement = Query("quota", "UPDATE account SET quota_bytes = :size WHERE address = :address")(
            size=size, address=ALICE
        )
        yield statement

    access.in_database(work)


def leftovers_vanish(access: RunningAccess, files: int) -> None:
    """Wait until there are no more large files than messages that have one."""
    deadline = time.monotonic() + 5
    while len(list((access.settings.journal / "large").rglob("*.msg"))) > files:
        assert time.monotonic() < deadline
        time.sleep(0.05)
