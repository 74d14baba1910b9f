"""IMAP conversations and a bulk reader."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence

from tests.bench.accounts import PASSWORD
from tests.bench.corpus import Mail
from tests.bench.drivers.conversations import Conversation, connect, converse, exchange
from tests.bench.server import Endpoint

BUFFER_SIZE = 128 << 20  # more than the largest mailbox that is read whole
LOADERS = 20  # connections at most, one for each 50 mails
GREETING = (b"* OK",)


def ok(tag: bytes = b"a") -> tuple[bytes, ...]:
    """How a reply to a tagged command may end."""
    return (tag + b" OK", tag + b" NO", tag + b" BAD")


def login_line(address: str, tag: bytes = b"a") -> bytes:
    """The LOGIN command."""
    return tag + b" LOGIN " + address.encode() + b" " + PASSWORD.encode() + b"\r\n"


def append_request(mail: Mail, mailbox: bytes = b"INBOX", tag: bytes = b"a") -> bytes:
    """APPEND with a non-synchronising literal (RFC 7888)."""
    return tag + b" APPEND " + mailbox + b" {%d+}\r\n" % len(mail.data) + mail.data + b"\r\n"


def load(endpoint: Endpoint, address: str, mails: Sequence[Mail], mailbox: bytes = b"INBOX") -> None:
    """Put mails into a mailbox by APPEND, over several connections.

    The first goes alone: Dovecot 2.3.19 panics now and then (mdbox, "Resource deadlock avoided") when
    several first logins of an account create its mailboxes.
    """
    requests = [append_request(mail, mailbox) for mail in mails]
    converse([appender(address, iter(requests[:1]))], endpoint, 1)
    loaders = max(1, min(LOADERS, len(requests) // 50))
    queue = iter(requests[1:])
    converse((appender(address, queue) for _ in range(loaders)), endpoint, loaders)


def appender(address: str, requests: Iterator[bytes]) -> Conversation:
    """Log in, append until the requests are used up, log out."""
    yield b"", GREETING
    yield login_line(address), ok()
    for request in requests:
        yield request, ok()
    yield b"a LOGOUT\r\n", ok()


class ImapReader:
    """One logged-in connection that reads replies of any size into one buffer."""

    _buffer: memoryview | None = None

    def __init__(self, endpoint: Endpoint, address: str) -> None:
        if ImapReader._buffer is None:
            ImapReader._buffer = memoryview(bytearray(b"\x01") * BUFFER_SIZE)  # pages touched: no faults later
        self._bytes = ImapReader._buffer
        self._length = 0
        self._socket: socket.socket = connect(endpoint)
        exchange(self._socket, b"", b"* OK", self._bytes)
        self.command(login_line(address)[2:].strip())

    def command(self, line: bytes) -> float:
        """Send `line` with a tag; seconds until its OK has arrived. Raises Refused on NO and BAD."""
        begin = time.perf_counter()
        self._length = exchange(self._socket, b"a " + line + b"\r\n", b"a OK", self._bytes)
        return time.perf_counter() - begin

    @property
    def reply(self) -> bytes:
        """All of the last reply."""
        return bytes(self._bytes[: self._length])

    def status(self, mailbox: str) -> int:
        """The number of messages in a mailbox."""
        self.command(b"STATUS " + mailbox.encode() + b" (MESSAGES)")
        return int(self.reply.partition(b"(MESSAGES ")[2].partition(b")")[0])

    def select(self, mailbox: str) -> int:
        """SELECT; the number of messages."""
        self.command(b"SELECT " + mailbox.encode())
        exists = next(line for line in self.reply.split(b"\r\n") if line.endswith(b" EXISTS"))
        return int(exists.split()[1])

    def close(self) -> None:
        """LOGOUT."""
        self.command(b"LOGOUT")
        self._socket.close()
