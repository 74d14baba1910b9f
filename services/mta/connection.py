"""A connection around aiosmtpd's session: admission, time, lines and replies, TLS, the end.

aiosmtpd's reading loop is replaced: it logs each line, writes each reply by itself, and takes LF for CRLF.
The verbs are in session.py.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable
from typing import AnyStr, TypeVar, cast

from aiosmtpd.smtp import SMTP

from services.mta import replies
from services.mta.client import Client, Role, Transaction
from services.mta.desk import Desk
from services.mta.input import Gone, Input, LineTooLong
from services.mta.limits import LINGER, MAX_AUTH_LINE, MAX_REPLIES
from shared.errors import MailFailure
from shared.listener import HANDSHAKE_TIME
from shared.metrics import REJECTED
from shared.net import peer_ip
from shared.tls import describe_tls

T = TypeVar("T")


class Farewell(Exception):
    """Ends the session with a reply."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


class Connection(SMTP):
    """From accept to close; replies wait while more of the client's input is here (RFC 2920)."""

    def __init__(self, desk: Desk, role: Role) -> None:
        loop = asyncio.get_running_loop()
        # SMTP's own constructor looks through all methods for hooks: 90 µs for each connection
        asyncio.StreamReaderProtocol.__init__(self, None, self._cb_client_connected, loop)  # type: ignore[arg-type]
        self.loop = loop
        self.transport = self.session = self.envelope = None
        self._original_transport = self._timeout_handle = self._handler_coroutine = None
        self._desk = desk
        self._input = Input(loop)
        self._replies: list[bytes] = []
        self._client = Client("", role)
        self._transaction: Transaction | None = None
        self._commands = self._errors = 0  # since the last accepted message
        self._admitted = self._idle = self._working = self._leaving = self._ended = self._choked = False
        self._heard = loop.time()

    def came_from(self, ip: str) -> None:
        """Take the client's address from a proxy."""
        self._client.ip = ip

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the client, or refuse one who has too many connections, and begin."""
        stream = cast("asyncio.Transport", transport)  # uvloop's don't inherit from it
        ip = self._client.ip or peer_ip(stream)
        if not ip or not self._desk.gate.acquire(ip):
            REJECTED.labels(self._client.role.value, "421").inc()
            stream.write(replies.TOO_MANY_CONNECTIONS + b"\r\n")
            stream.close()
            return
        self._admitted = True
        self._client.ip, self._client.trusted = ip, self._desk.is_trusted(ip)
        self._client.tls = describe_tls(stream)  # of a port with implicit TLS
        self._input.transport = self.transport = stream
        self._desk.sessions.add(self)
        self._writer = asyncio.StreamWriter(stream, self, None, self.loop)
        self._reset_timeout()
        # not SMTP's own connection_made: it makes a session and an envelope that nobody reads, and logs
        self._handler_coroutine = self.loop.create_task(self._handle_client())

    def pause_writing(self) -> None:
        """Note that the client doesn't read its replies."""
        self._choked = True
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that it does again."""
        self._choked = False
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        self._heard = self.loop.time()
        if self._idle and self._input.is_empty:
            data = self._obey_at_once(data)
        if data:
            self._input.feed(data)

    def eof_received(self) -> bool:
        """Read what is there to the end; the client may still hear replies, but not over TLS."""
        self._input.end()
        return not self._client.tls

    def connection_lost(self, error: Exception | None) -> None:
        """Leave a message that is being written to become durable; its sender will send it again."""
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        self._input.end()
        self._ended = True
        self._cancel_timeout()
        if self._admitted:
            self._admitted = False
            self._desk.gate.release(self._client.ip)

    def wind_down(self) -> None:
        """Say 421 now, or once the message that the client is sending has its reply."""
        self._leaving = True
        if self._idle and self._transaction is None:
            self._hang_up(replies.SHUTTING_DOWN)

    def cut_off(self) -> None:
        """Close now, whatever is under way; no 250 was said for it."""
        self._hang_up(replies.SHUTTING_DOWN)

    def _hang_up(self, reply: bytes) -> None:
        if not self._ended:
            self._ended = True
            self._replies.append(reply + b"\r\n")
            self._close()

    def _close(self) -> None:
        """Write what is left to say and close; a client that doesn't read it is not waited for long."""
        self._say()
        self._writer.close()
        if self._admitted:
            self._cancel_timeout()
            self._timeout_handle = self.loop.call_later(LINGER, self._writer.transport.abort)

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Start the timer; it looks at its end whether anything was heard, so that a command costs nothing."""
        wait = duration or self._desk.limits.command_time
        self._timeout_handle = self.loop.call_later(wait, self._timeout_cb)

    def _cancel_timeout(self) -> None:
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()

    def _timeout_cb(self) -> None:
        silent = 0.0 if self._working else self.loop.time() - self._heard
        if silent < self._desk.limits.command_time:
            self._reset_timeout(self._desk.limits.command_time - silent)
        else:
            self._hang_up(replies.TIMEOUT)

    # the loop

    async def _handle_client(self) -> None:
        try:
            await self._welcome()
            while not self._ended:
                await self._next_command()
        except Farewell as farewell:
            await self.push(farewell.reply)
        except (Gone, OSError) as error:  # TLS that fails is an OSError, too
            self._desk.log.debug("connection lost", ip=self._client.ip, error=str(error))
        finally:
            await self._drop_transaction()
            self._close()
            self._desk.sessions.discard(self)

    async def _welcome(self) -> None:
        await self.push(replies.greeting(self._desk.hostname))

    async def _next_command(self) -> None:
        self._check_patience()
        try:
            line = self._input.take_line() or await self._wait_for_line()
            await self._obey(line)
        except LineTooLong:
            await self.push(replies.LINE_TOO_LONG)
        except MailFailure as failure:
            await self.push(replies.refusal(failure))
        except (Gone, Farewell, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - the edge: a client gets a reply, the operator the reason
            self._desk.log.trouble("command failed", ip=self._client.ip, error=repr(error), exc_info=error)
            await self._drop_transaction()
            await self.push(replies.INTERNAL_ERROR)

    async def _wait_for_line(self) -> bytes:
        await self._flush()
        self._idle = True
        try:
            return await self._input.line(MAX_AUTH_LINE)
        finally:
            self._idle = False

    @abstractmethod
    async def _obey(self, line: bytes) -> None:
        """Carry a command out; a MailFailure is its refusal."""

    def _obey_at_once(self, data: bytes) -> bytes:
        """Carry out commands for which nothing has to be waited, and return what is left for `_obey`."""
        return data

    def _check_patience(self) -> None:
        if self._leaving and self._transaction is None:
            raise Farewell(replies.SHUTTING_DOWN)
        if self._errors >= self._desk.limits.errors:
            raise Farewell(replies.TOO_MANY_ERRORS)
        if self._commands >= self._desk.limits.commands:
            raise Farewell(replies.TOO_MANY_COMMANDS)
        self._commands += 1

    async def _unhurried(self, work: Awaitable[T]) -> T:
        """Await what is our own work: the time that it takes isn't the client's silence."""
        self._working = True
        try:
            return await work
        finally:
            self._working = False
            self._heard = self.loop.time()

    async def push(self, status: AnyStr) -> None:
        """Reply, at the latest when we wait for the client."""
        reply = status.encode("ascii", "replace") if isinstance(status, str) else bytes(status)
        if reply[0] >= ord("4"):
            self._errors += reply[0] == ord("5")
            REJECTED.labels(self._client.role.value, reply[:3].decode()).inc()
        self._replies.append(reply + b"\r\n")
        if len(self._replies) > MAX_REPLIES:
            await self._flush()

    async def _flush(self) -> None:
        if self._replies:
            self._say()
            if self._choked:
                await self._writer.drain()

    def _say(self) -> None:
        if self._replies and not self._writer.is_closing():
            self._writer.write(b"".join(self._replies))
        self._replies.clear()

    async def _start_tls(self) -> None:
        assert self._desk.tls is not None
        self._input.clear()
        transport = await self.loop.start_tls(
            cast("asyncio.Transport", self.transport),
            self,
            self._desk.tls.server,
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE_TIME,
        )
        if transport is None:
            raise Gone
        self.transport = self._input.transport = transport
        self._plain_writer = self._writer  # kept: where it goes, newer Pythons close its connection
        self._writer = asyncio.StreamWriter(transport, self, None, self.loop)
        self._client.tls = describe_tls(transport)

    async def _drop_transaction(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None and transaction.body is not None:
            await transaction.body.discard()
