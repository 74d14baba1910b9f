"""Hostile and slow clients: every one ends in BAD, NO or BYE, with bounded memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from services.access.connection import Connection
from services.access.limits import OUTPUT_HIGH
from tests.integration.access.conftest import ALICE, RunningAccess
from tests.integration.access.messages import HELLO

CHUNK = 2 * 1024 * 1024  # octets that may be made beyond the high-water mark: one piece of output


def test_a_client_that_never_reads_stops_production(access: RunningAccess) -> None:
    message = HELLO + (b"x" * 78 + b"\r\n") * 3000
    client = access.log_in()
    for _ in range(60):
        assert client.append(message).startswith(b"OK")
    client.ok("NOOP")
    for _ in range(4):
        client.send(b"f FETCH 1:* BODY.PEEK[]\r\n")
    time.sleep(1.5)
    first = _outstanding(access)
    time.sleep(0.5)
    assert max(first, _outstanding(access)) <= OUTPUT_HIGH + 2 * CHUNK * 4
    assert _outstanding(access) == first  # nothing is made meanwhile
    for _ in range(4):
        untagged, status = client.until(b"f")
        assert status == b"OK FETCH completed"
        assert len(untagged) == 60


def test_a_client_that_never_reads_is_cut_off(start_access: Callable[..., RunningAccess]) -> None:
    access = start_access(access_stalled_time=1.0)
    client = access.log_in()
    client.append(HELLO + b"x" * 60 + b"\r\n" * 100_000)
    client.ok("NOOP")
    for _ in range(200):
        client.send(b"f FETCH 1 BODY.PEEK[]\r\n")
    _until(lambda: not access.worker.desk.connections)


def test_idle_sessions_that_do_not_read_get_no_more(access: RunningAccess) -> None:
    client = access.log_in()
    client.send(b"i IDLE\r\n")
    assert client.line().startswith(b"+ ")
    connection = _connections(access)[0]
    access.call(lambda: _pause(connection))
    access.deliver(HELLO, HELLO)
    time.sleep(0.3)
    assert _outstanding(access) == 0
    access.call(lambda: _resume(connection))
    assert client.line() == b"* 2 EXISTS"


def test_literal_announced_and_never_sent(start_access: Callable[..., RunningAccess]) -> None:
    access = start_access(access_idle_time=1.0)
    client = access.log_in(mailbox=None)
    client.send(b"a APPEND INBOX {400000}\r\n")
    assert client.line() == b"+ OK"
    client.send(b"x" * 300_000)
    assert client.line() == b"* BYE Autologout, idle for too long"
    assert client.is_closed()
    _until(lambda: not list((access.settings.journal / "large").rglob("*.msg")))


def test_login_takes_too_long(start_access: Callable[..., RunningAccess]) -> None:
    access = start_access(access_login_time=1.0)
    imap, pop3 = access.connect(), access.connect(access.pop3)
    for number in range(3):
        imap.send(b"a%d NOOP\r\n" % number)
    assert imap.is_closed(4.0)
    assert pop3.is_closed(4.0)


def test_two_gigabytes_announced(access: RunningAccess) -> None:
    client = access.log_in(mailbox=None)
    assert client.command("APPEND INBOX {2147483648}")[1].startswith(b"NO [TOOBIG]")
    client.send(b"b APPEND INBOX {2147483648+}\r\n")
    assert client.line().startswith(b"b NO [TOOBIG]")
    assert client.line().startswith(b"* BYE")
    assert client.is_closed()


def test_unauthenticated_flood_of_literals(access: RunningAccess) -> None:
    client = access.connect()
    client.send(b"a LOGIN {30000+}\r\n" + b"x" * 30_000 + b" {30000+}\r\n" + b"x" * 30_000 + b"\r\n")
    assert client.line().startswith(b"a BAD")
    client.ok("NOOP")


def test_endless_line(access: RunningAccess) -> None:
    client = access.connect()
    client.send(b"a " + b"x" * 20_000)
    assert client.line() == b"a BAD Line too long"
    try:
        for _ in range(100):
            client.send(b"x" * 10_000)
    except OSError:
        return
    assert client.is_closed()


def test_long_literals_are_announced_before_login(access: RunningAccess) -> None:
    """RFC 7888 §5: what LITERAL- is."""
    client = access.connect()
    client.send(b"a1 LOGIN {4097}\r\n")
    assert client.line() == b"+ OK"
    client.send(b"x" * 4097 + b" y\r\n")
    assert client.line().startswith(b"a1 NO [AUTHENTICATIONFAILED]")
    client.send(b"a2 LOGIN {4097+}\r\n" + b"x" * 4097 + b" y\r\na3 LOGIN {4096+}\r\n" + b"x" * 4096 + b" y\r\n")
    assert client.line() == b"a2 BAD Literals over 4096 octets have to be announced first"
    assert client.line().startswith(b"a3 NO [AUTHENTICATIONFAILED]")


def test_garbage_ends_the_session(access: RunningAccess) -> None:
    client = access.connect()
    client.send(b"\x00\xff\r\n" * 1000)
    lines = [client.line() for _ in range(51)]
    assert all(line.startswith(b"* BAD") for line in lines[:50])
    assert lines[50] == b"* BYE Too many commands that make no sense"
    pop3 = access.connect(access.pop3)
    pop3.send(b"garbage\r\n" * 1000)
    assert [pop3.line()[:4] for _ in range(51)] == [b"-ERR"] * 51
    assert pop3.is_closed()


def test_wrong_passwords_end_the_session(access: RunningAccess) -> None:
    client = access.connect()
    client.socket.settimeout(30)
    for _ in range(4):
        assert client.command(f"LOGIN {ALICE} guess")[1].startswith(b"NO [AUTHENTICATIONFAILED]")
    client.send(b"z LOGIN alice@a.test guess\r\n")
    assert client.line() == b"* BYE Too many failed logins"
    assert client.is_closed()


def test_too_many_connections(start_access: Callable[..., RunningAccess]) -> None:
    access = start_access(access_max_connections=2)
    held = [access.connect(), access.connect(access.pop3)]
    assert access.connect().greeting == b"* BYE [UNAVAILABLE] Too many connections"
    assert access.connect(access.pop3).greeting == b"-ERR [SYS/TEMP] Too many connections"
    held[0].close()
    _until(lambda: len(access.worker.desk.connections) == 1)
    assert access.connect().greeting.startswith(b"* OK")


def test_large_sequence_sets(access: RunningAccess) -> None:
    access.deliver(HELLO)
    client = access.log_in()
    numbers = b",".join(b"%d" % n for n in range(1, 100_000, 2))
    assert client.command(b"UID FETCH " + numbers[:60_000].rpartition(b",")[0] + b" FLAGS")[1] == b"OK FETCH completed"
    text = b"SEARCH " + b" ".join([b"1"] * 2000)
    assert client.command(text)[1].startswith(b"BAD")
    assert client.command(b"UID FETCH " + numbers + b" FLAGS")[1].startswith(b"BAD")
    client.ok("NOOP")


def test_pipelined_commands_are_answered_in_order(access: RunningAccess) -> None:
    client = access.log_in()
    client.send(b"".join(b"p%d NOOP\r\n" % n for n in range(3000)))
    assert [client.line() for _ in range(3000)] == [b"p%d OK Completed" % n for n in range(3000)]


def test_commands_before_the_end_of_input_are_answered(access: RunningAccess) -> None:
    client = access.connect()
    client.send(b"a LOGIN alice@a.test wonderland\r\nb SELECT INBOX\r\n")
    client.socket.shutdown(1)
    lines = client.file.read()
    assert b"b OK [READ-WRITE]" in lines


def test_an_internal_error_is_answered_and_the_session_goes_on(access: RunningAccess, monkeypatch: Any) -> None:
    client = access.log_in()

    async def broken(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(access.worker.desk.mailboxes, "get", broken)
    assert client.command("STATUS INBOX (MESSAGES)")[1].startswith(b"NO [SERVERBUG]")
    client.ok("NOOP")


def test_drain_says_bye(start_access: Callable[..., RunningAccess]) -> None:
    access = start_access()
    idle, pop3 = access.log_in(), access.connect(access.pop3)
    idle.send(b"i IDLE\r\n")
    idle.line()
    access.stop()
    assert idle.line() == b"* BYE [UNAVAILABLE] The server is going down; connect again"
    assert pop3.line().startswith(b"-ERR [SYS/TEMP]")


def _connections(access: RunningAccess) -> list[Connection]:
    return list(access.worker.desk.connections)


def _outstanding(access: RunningAccess) -> int:
    """Octets that wait for clients in all."""
    return sum(connection._transport.get_write_buffer_size() for connection in _connections(access))


async def _pause(connection: Connection) -> None:
    connection.pause_writing()


async def _resume(connection: Connection) -> None:
    connection.resume_writing()
    await asyncio.sleep(0)


def _until(condition: Callable[[], bool], patience: float = 8.0) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
