"""LMTP to other servers: one message to one recipient, and its reply (RFC 2033); connections serve for many."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass

from shared.errors import PermanentFailure, TemporaryFailure
from shared.smtp.client import (
    Abandoned,
    Client,
    ClientOptions,
    Dialect,
    Event,
    Finished,
    Over,
    SendBody,
    State,
    TlsPolicy,
)
from shared.smtp.dots import BareLineEnd
from shared.smtp.reply import Reply
from shared.smtp.transaction import Transaction

READ_SIZE = 64 * 1024
PIECE = 256 * 1024  # octets given to the socket at once
IDLE = 5.0  # seconds that a connection is kept for the next message
MAX_IDLE = 32  # connections kept to one server
OURS = "LMTP Packetboat"  # what our mta's greeting says after its name


class _Stale(Exception):
    """The server ended a session before it said anything about a message."""


@dataclass(eq=False, slots=True)
class _Line:
    """A connection and what is said over it."""

    client: Client
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def close(self) -> None:
        if self.client.state is State.READY and not self.writer.is_closing():
            self.client.quit()
            self.writer.write(self.client.outgoing())
        self.writer.close()


class Lines:
    """Connections to LMTP servers, kept for a moment after each message; one per process."""

    def __init__(self, hostname: str) -> None:
        self._options = ClientOptions(hostname, Dialect.LMTP, TlsPolicy.NEVER)
        self._idle: dict[tuple[str, int], list[_Line]] = defaultdict(list)

    async def send(self, host: str, port: int, transaction: Transaction, message: bytes) -> Reply:
        """Return the positive reply; TemporaryFailure, PermanentFailure with the server's, OSError for none.

        How long it may take is the caller's business; `message` has CRLF line ends.
        """
        while kept := self._idle[host, port]:
            try:
                return await self._send_over((host, port), kept.pop(), transaction, message)
            except _Stale:
                continue  # closed while it was idle
        reader, writer = await asyncio.open_connection(host, port, limit=READ_SIZE)
        line = _Line(Client(self._options), reader, writer)
        try:
            return await self._send_over((host, port), line, transaction, message)
        except _Stale as error:
            raise TemporaryFailure(str(error), status="4.4.2") from None

    def close(self) -> None:
        """Say QUIT to all."""
        for kept in self._idle.values():
            while kept:
                kept.pop().close()

    async def _send_over(self, server: tuple[str, int], line: _Line, transaction: Transaction, message: bytes) -> Reply:
        is_over = True
        try:
            reply = await _converse(line, transaction, message)
            is_over = not line.client.can_begin or len(self._idle[server]) >= MAX_IDLE
        except BareLineEnd as error:
            raise PermanentFailure(str(error), code=554, status="5.6.0") from None
        finally:
            if is_over:
                line.close()
            else:
                self._keep(server, line)
        if reply.is_positive:
            return reply
        kind = PermanentFailure if reply.is_permanent else TemporaryFailure
        raise kind(reply.text.removeprefix(f"{reply.status} "), code=reply.code, status=reply.status or None)

    def _keep(self, server: tuple[str, int], line: _Line) -> None:
        self._idle[server].append(line)
        asyncio.get_running_loop().call_later(IDLE, self._let_go, server, line)

    def _let_go(self, server: tuple[str, int], line: _Line) -> None:
        if line in self._idle[server]:  # it may be in use again; then it is closed a little early the next time
            self._idle[server].remove(line)
            line.close()


async def _converse(line: _Line, transaction: Transaction, message: bytes) -> Reply:
    """Return the final reply for the recipient; _Stale if none was given."""
    client, has_begun = line.client, False
    events: list[Event] = []
    while True:
        if client.can_begin and not has_begun:
            _check_loop(client)
            has_begun = True
            events += client.begin(transaction)
        for event in events:
            match event:
                case SendBody():
                    await _send_body(line, message)
                case Finished(_, replies):
                    return replies[0]
                case Abandoned():
                    raise _Stale("the server ended the session")
                case Over(reply):  # whatever it says is of the session, not of the message
                    raise _Stale(str(reply))
        line.writer.write(client.outgoing())
        await line.writer.drain()
        data = await line.reader.read(READ_SIZE)
        events = client.receive(data) if data else client.connection_lost("the server closed the connection")


def _check_loop(client: Client) -> None:
    """Send nothing to our own mta, which would hand it back to us; the operator may mend that before mail expires."""
    if client.greeting == f"{client.options.hostname} {OURS}":
        raise TemporaryFailure("the LMTP server is this mail system itself: mail goes in circles", status="4.4.6")


async def _send_body(line: _Line, message: bytes) -> None:
    view = memoryview(message)
    for start in range(0, len(message), PIECE):
        line.writer.write(line.client.encode(bytes(view[start : start + PIECE])))
        await line.writer.drain()
    line.writer.write(line.client.end_of_data())
