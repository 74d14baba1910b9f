"""IMAP clients that mean harm, against a whole stack: each ends in BAD, NO or BYE, and memory is measured."""

from __future__ import annotations

import base64
import random
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from services.access.memory import KEPT
from tests.e2e.running import running
from tests.e2e.sessions import imap, trust
from tests.tools.processes import proportional_memory
from tests.tools.stack import Stack

ALICE = "alice@packetboat.test"
MEGABYTE = 1024 * 1024
SLOW = 10  # clients that don't read
EACH_SLOW = 12 * MEGABYTE  # of one such client: a batch that was made, one that is read ahead, and what TLS buffers
FLOOD = 300  # clients that haven't logged in
EACH_FLOODING = 128 * 1024
SPARE = KEPT + 24 * MEGABYTE  # what a process takes for anything at all, and what it frees but keeps


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("hostile-imap") / "data") as started:
        yield started


class Wire:
    """A connection that sends what it is told and reads only when it is told."""

    def __init__(self, stack: Stack, *, tls: bool = True) -> None:
        port = stack.ports.imaps if tls else stack.ports.imap
        plain = socket.create_connection((stack.host, port), 30)
        self.socket: socket.socket = trust(stack).wrap_socket(plain, server_hostname=stack.host) if tls else plain
        self.file = self.socket.makefile("rb")
        assert self.file.readline().startswith(b"* OK")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.file.close()
        self.socket.close()

    def log_in(self, stack: Stack) -> None:
        assert self.ask(f"LOGIN {ALICE} {stack.passwords()[ALICE]}".encode()).startswith(b"t OK")
        assert self.ask(b"SELECT Trash").startswith(b"t OK")

    def ask(self, text: bytes) -> bytes:
        """The tagged response to a command, what comes before it passed over."""
        self.socket.sendall(b"t " + text + b"\r\n")
        while not (line := self.file.readline()).startswith(b"t "):
            assert line
        return line

    def until_closed(self) -> bytes:
        """All that is still sent."""
        received = b""
        try:
            while data := self.socket.recv(65536):
                received = (received + data)[-65536:]
        except (ConnectionError, ssl.SSLError):
            pass
        return received


def memory(stack: Stack) -> int:
    return proportional_memory(stack.processes()["access"].workers)


def grows(stack: Stack, work: Callable[[], None]) -> int:
    """Octets that the access workers have more at any time while something is done."""
    before = memory(stack)
    work()
    return memory(stack) - before


def text(size: int) -> bytes:
    """Lines that can't be compressed by much."""
    return base64.encodebytes(random.Random(size).randbytes(size * 3 // 4)).replace(b"\n", b"\r\n")


@pytest.fixture(scope="module")
def filled(stack: Stack) -> Stack:
    """Alice's Trash has 60 messages of 200 KB and one of 20 MB."""
    with imap(stack, ALICE) as client:
        for _ in range(60):
            client.append("Trash", "", "", b"Subject: x\r\n\r\n" + text(200_000))
        client.append("Trash", "", "", b"Subject: big\r\n\r\n" + text(20 * MEGABYTE))
    return stack


@pytest.mark.parametrize("what", [b"1:60 BODY.PEEK[]", b"61 BODY.PEEK[]", b"61 BINARY.PEEK[1]", b"1:60 BINARY.PEEK[1]"])
def test_clients_that_never_read(filled: Stack, what: bytes) -> None:
    with ExitStack() as open_ones:
        clients = [open_ones.enter_context(Wire(filled)) for _ in range(SLOW)]
        for client in clients:
            client.log_in(filled)

        def ask_and_wait() -> None:
            for client in clients:
                client.socket.sendall(b"f FETCH " + what + b"\r\n" * 1)
                client.socket.sendall(b"".join(b"g%d FETCH %b\r\n" % (n, what) for n in range(50)))
            time.sleep(2)

        first = grows(filled, ask_and_wait)
        assert first < SLOW * EACH_SLOW + SPARE
        assert grows(filled, lambda: time.sleep(1.5)) < 4 * MEGABYTE  # nothing is made meanwhile
        assert clients[0].file.readline().startswith(b"* ")  # and it goes on when one reads


def test_a_compressed_client_that_never_reads(filled: Stack) -> None:
    with Wire(filled) as client:
        client.log_in(filled)
        assert client.ask(b"COMPRESS DEFLATE").startswith(b"t OK")
        deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        commands = deflate.compress(b"f FETCH 1:* BODY.PEEK[]\r\n" * 200) + deflate.flush(zlib.Z_SYNC_FLUSH)

        def ask_and_wait() -> None:
            client.socket.sendall(commands)
            time.sleep(3)

        assert grows(filled, ask_and_wait) < EACH_SLOW + SPARE


def test_a_flood_of_clients_that_never_log_in(stack: Stack) -> None:
    """Each sends what is refused at once, what is held (30 KB of a literal), and garbage."""
    with ExitStack() as open_ones:
        clients: list[Wire] = []

        def flood() -> None:
            for number in range(FLOOD):
                client = open_ones.enter_context(Wire(stack, tls=False))
                clients.append(client)
                client.socket.sendall(b"a LOGIN {2147483648}\r\nb LOGIN {30000+}\r\n" + b"x" * 29_999)
                if number % 3 == 0:
                    client.socket.sendall(b"x x\r\n" + b"\xff\x00 garbage {\r\n" * 10)
            time.sleep(1)

        assert grows(stack, flood) < FLOOD * EACH_FLOODING + SPARE
        assert clients[0].file.readline() == b"a BAD Literal too large\r\n"
        with imap(stack, ALICE) as client:
            assert client.noop()[0] == "OK"


def test_two_gigabytes_that_nobody_asked_for(stack: Stack) -> None:
    with Wire(stack) as client:
        client.log_in(stack)

        def send() -> None:
            client.socket.sendall(b"a APPEND Trash {2147483647+}\r\n")
            try:
                for _ in range(200):
                    client.socket.sendall(b"x" * MEGABYTE)
            except OSError:
                return

        assert grows(stack, send) < SPARE


def nested(depth: int, kind: bytes) -> bytes:
    """Multiparts or messages in one another."""
    if kind == b"message":
        return b"Content-Type: message/rfc822\r\n\r\n" * depth + b"Subject: innermost\r\n\r\ntext\r\n"
    opening = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth))
    return opening + b"Content-Type: text/plain\r\n\r\ninnermost\r\n"


@pytest.mark.parametrize("kind", [b"multipart", b"message"])
def test_deep_nesting(stack: Stack, kind: bytes) -> None:
    message = nested(20_000, kind)
    with Wire(stack) as client:
        client.log_in(stack)

        def append_and_fetch() -> None:
            begin = time.monotonic()
            answer = client.ask(b"APPEND INBOX {%d+}\r\n%b" % (len(message), message))
            assert answer.startswith(b"t OK")
            uid = answer.partition(b"]")[0].split()[-1]
            assert client.ask(b"SELECT INBOX").startswith(b"t OK")
            path = b".".join([b"1"] * 100)
            for item in (b"BODYSTRUCTURE", b"ENVELOPE", b"BODY.PEEK[%b]" % path, b"BINARY.SIZE[%b]" % path, b"PREVIEW"):
                assert client.ask(b"UID FETCH %b %b" % (uid, item)).startswith(b"t OK")
            assert client.ask(b"UID FETCH %b BODY[%b]" % (uid, b".".join([b"1"] * 101))).startswith(b"t BAD")
            assert time.monotonic() - begin < 10

        assert grows(stack, append_and_fetch) < SPARE


def test_lists_that_are_too_long_or_too_deep(stack: Stack) -> None:
    with Wire(stack) as client:
        client.log_in(stack)

        def ask() -> None:
            for text in (
                b"SEARCH " + b"(" * 1000 + b"ALL" + b")" * 1000,
                b"SEARCH " + b"NOT " * 10_000 + b"ALL",
                b"SEARCH " + b"OR ALL " * 10_000 + b"ALL",
                b"FETCH 1 (" + b"(" * 10_000,
                b"FETCH 1 (" + b"UID " * 1000 + b"UID)",
                b"FETCH 1 BODY[HEADER.FIELDS (" + b"x " * 5000 + b"x)]",
                b"FETCH " + b",".join(b"%d" % n for n in range(1, 100_000)) + b" UID",
                b"STORE 1 FLAGS (" + b"k " * 5000 + b"k)",
                b"APPEND x CATENATE (" + b"URL x " * 5000 + b"URL x)",
                b'LIST () "" (' + b"x " * 5000 + b"x)",
                b"ID (" + b'"a" "b" ' * 5000 + b'"a" "b")',
            ):
                assert client.ask(text)[:5] in (b"t BAD", b"t NO "), text[:60]

        assert grows(stack, ask) < SPARE
        assert client.ask(b"NOOP").startswith(b"t OK")
