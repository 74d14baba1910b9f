"""Many client connections in one thread: each is a generator that says what to send and what ends the reply.

    def quick(mail):
        yield b"", (b"220 ",)                   # the greeting
        reply = yield b"NOOP\\r\\n", (b"250 ",)

A reply is complete when its last line begins with the first of the given prefixes; where it begins with
another of them, `Refused` is raised. Requests are built beforehand, replies read with recv_into.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from collections.abc import Callable, Generator, Iterable, Iterator

from tests.bench.server import Endpoint

Prefixes = tuple[bytes, ...]
Conversation = Generator[tuple[bytes, Prefixes], bytes, None]

READ_SIZE = 1 << 20
STALLED_AFTER = 60.0  # seconds without any reply


class Refused(Exception):
    """A server's reply was not the one expected."""


class _Client:
    """One connection and where its conversation stands."""

    __slots__ = ("conversation", "prefixes", "reply", "socket")

    def __init__(self, connection: socket.socket, conversation: Conversation) -> None:
        self.socket = connection
        self.conversation = conversation
        self.reply = b""
        request, self.prefixes = next(conversation)
        if request:
            connection.sendall(request)


def converse(
    conversations: Iterable[Conversation],
    endpoint: Endpoint,
    clients: int,
    *,
    tls: ssl.SSLContext | None = None,
    until: float | None = None,
) -> None:
    """Hold conversations, each over a connection of its own, at most `clients` at once.

    A conversation that is over is replaced by the next one; after the instant `until` (perf_counter) none is
    begun any more. Raises Refused, or TimeoutError when nobody replies.
    """
    waiting = iter(conversations)
    poll = select.epoll()
    active: dict[int, _Client] = {}
    buffer = memoryview(bytearray(READ_SIZE))
    for _ in range(clients):
        _open_next(waiting, endpoint, tls, poll, active, until)
    while active:
        events = poll.poll(STALLED_AFTER)
        if not events:
            stuck = next(iter(active.values()))
            raise TimeoutError(f"{len(active)} clients wait; one for {stuck.prefixes} after {stuck.reply[-300:]!r}")
        for number, _ in events:
            client = active[number]
            if not _advance(client, buffer):
                poll.unregister(number)
                del active[number]
                client.socket.close()
                _open_next(waiting, endpoint, tls, poll, active, until)


def hold_open(
    conversations: Iterable[Conversation], endpoint: Endpoint, *, tls: ssl.SSLContext | None = None
) -> list[socket.socket]:
    """Hold each conversation to its end, one after the other, and leave all connections open."""
    buffer = memoryview(bytearray(READ_SIZE))
    held = []
    for conversation in conversations:
        client = _Client(connect(endpoint, tls), conversation)
        while _advance(client, buffer):
            pass
        held.append(client.socket)
    return held


def connect(endpoint: Endpoint, tls: ssl.SSLContext | None = None) -> socket.socket:
    """A connection without Nagle's delay; raises OSError."""
    connection = socket.create_connection(endpoint, timeout=STALLED_AFTER)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(connection) if tls is not None else connection


def exchange(connection: socket.socket, request: bytes, prefix: bytes, buffer: memoryview) -> int:
    """Send a request and read into `buffer` until the last line begins with `prefix`; octets read."""
    if request:
        connection.sendall(request)
    end = 0
    while True:
        received = connection.recv_into(buffer[end:])
        if not received:
            raise Refused(f"closed after {bytes(buffer[max(0, end - 300) : end])!r}")
        end += received
        tail = bytes(buffer[max(0, end - 1000) : end])
        if tail.endswith(b"\r\n"):
            last = tail[tail.rfind(b"\n", 0, -2) + 1 :]
            if last.startswith(prefix):
                return end
            if last.startswith(prefix.split(b" ")[0] + b" "):
                raise Refused(last.decode(errors="replace"))


def _open_next(
    waiting: Iterator[Conversation],
    endpoint: Endpoint,
    tls: ssl.SSLContext | None,
    poll: select.epoll,
    active: dict[int, _Client],
    until: float | None,
) -> None:
    if until is not None and time.perf_counter() >= until:
        return
    conversation = next(waiting, None)
    if conversation is not None:
        client = _Client(connect(endpoint, tls), conversation)
        active[client.socket.fileno()] = client
        poll.register(client.socket.fileno(), select.EPOLLIN)


def _advance(client: _Client, buffer: memoryview) -> bool:
    """Read what is there; False once the conversation is over."""
    received = client.socket.recv_into(buffer)
    if not received:
        raise Refused(f"closed while waiting for {client.prefixes} after {client.reply[-300:]!r}")
    data = bytes(buffer[:received])
    client.reply = client.reply + data if client.reply else data
    reply = client.reply
    if not reply.endswith(b"\r\n"):
        return True
    last = reply[reply.rfind(b"\n", 0, -2) + 1 :]
    if not last.startswith(client.prefixes):
        return True
    if not last.startswith(client.prefixes[0]):
        raise Refused(f"expected {client.prefixes[0]!r}, got {last[:300]!r}")
    client.reply = b""
    try:
        request, client.prefixes = client.conversation.send(reply)
    except StopIteration:
        return False
    if request:
        client.socket.sendall(request)
    return True


def numbered(make: Callable[[int], Conversation], count: int) -> Iterator[Conversation]:
    """`count` conversations, told their number."""
    return (make(number) for number in range(count))
