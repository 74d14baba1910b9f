"""One SMTP connection: aiosmtpd's session with its verbs overridden (RFC 5321; RFC 2920 for pipelining).

Here are lines, replies, the order of commands and TLS; what may be sent to whom is in recipients.py, what
becomes of it in accept.py. aiosmtpd's reading loop is replaced as well: it logs each line, writes each
reply by itself, and takes LF for CRLF.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import AnyStr, cast

from aiosmtpd.smtp import SMTP

from services.mta import replies
from services.mta.accept import Acceptance
from services.mta.body import Body
from services.mta.client import Client, Role, Transaction
from services.mta.commands import parse_bdat, parse_mail, parse_rcpt
from services.mta.input import Gone, Input, LineTooLong
from services.mta.limits import EXCESS, MAX_AUTH_LINE, MAX_HELO, MAX_LINE, MAX_REPLIES, Limits
from services.mta.login import Logins
from services.mta.recipients import Recipients
from services.mta.text import DataText
from shared.errors import MailFailure, PermanentFailure
from shared.ids import new_id
from shared.maillog import MailLog
from shared.metrics import ACCEPTED, REJECTED
from shared.net import ConnectionGate, TlsContexts, describe_tls, peer_ip
from shared.sasl.credentials import Credentials
from shared.sasl.exchange import Exchange, encode
from shared.sasl.mechanism import MECHANISMS, Challenge, Refused, Step

_HELO = re.compile(r"[!-~\u0080-\ud7ff\ue000-\U0010ffff]+\Z")


@dataclass(frozen=True, slots=True)
class Desk:
    """What all connections of a worker share."""

    hostname: str
    limits: Limits
    gate: ConnectionGate
    tls: TlsContexts | None
    recipients: Recipients
    acceptance: Acceptance
    logins: Logins
    log: MailLog
    is_trusted: Callable[[str], bool]
    plaintext_auth: bool = False
    sessions: set[MailSession] = field(default_factory=set)


class Farewell(Exception):
    """Ends the session with a reply."""

    def __init__(self, reply: bytes) -> None:
        super().__init__(reply)
        self.reply = reply


class MailSession(SMTP):
    """A connection from its greeting to its end; replies wait while more of the client's input is here."""

    def __init__(self, desk: Desk, role: Role, *, implicit_tls: bool = False) -> None:
        loop = asyncio.get_running_loop()
        # SMTP's own constructor looks through all methods for hooks: 90 µs for each connection
        asyncio.StreamReaderProtocol.__init__(self, None, self._cb_client_connected, loop)  # type: ignore[arg-type]
        self.loop = loop
        self.transport = self.session = self.envelope = None
        self._original_transport = self._timeout_handle = self._handler_coroutine = None
        self._desk = desk
        self._implicit_tls = implicit_tls
        self._input = Input(loop)
        self._replies: list[bytes] = []
        self._client = Client("", role)
        self._transaction: Transaction | None = None
        self._accepted = ACCEPTED.labels(role.value)
        self._commands = self._errors = 0  # since the last accepted message
        self._admitted = self._idle = self._working = self._leaving = self._ended = False
        self._heard = loop.time()
        self._text_since = 0.0

    # the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit the client, or refuse one who has too many connections, and begin."""
        stream = cast("asyncio.Transport", transport)  # uvloop's don't inherit from it
        ip = peer_ip(stream)
        if not ip or not self._desk.gate.acquire(ip):
            REJECTED.labels(self._client.role.value, "421").inc()
            if not self._implicit_tls:
                stream.write(replies.TOO_MANY_CONNECTIONS + b"\r\n")
            stream.close()
            return
        self._admitted = True
        self._client.ip, self._client.trusted = ip, self._desk.is_trusted(ip)
        self._input.transport = stream
        self._desk.sessions.add(self)
        if self._implicit_tls:
            stream.pause_reading()  # what comes first is for TLS
        super().connection_made(stream)

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        self._heard = self.loop.time()
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
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()
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
            self._writer.write(b"".join(self._replies) + reply + b"\r\n")
            self._replies.clear()
            self._writer.close()

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Start the timer; it looks at its end whether anything was heard, so that a command costs nothing."""
        wait = duration or self._desk.limits.command_time
        self._timeout_handle = self.loop.call_later(wait, self._timeout_cb)

    def _timeout_cb(self) -> None:
        silent = 0.0 if self._working else self.loop.time() - self._heard
        if silent < self._desk.limits.command_time:
            self._reset_timeout(self._desk.limits.command_time - silent)
        else:
            self._hang_up(replies.TIMEOUT)

    # the loop

    async def _handle_client(self) -> None:
        try:
            if self._implicit_tls:
                await self._start_tls()
            await self.push(replies.greeting(self._desk.hostname))
            while not self._ended:
                await self._next_command()
        except Farewell as farewell:
            await self.push(farewell.reply)
        except (Gone, OSError) as error:  # TLS that fails is an OSError, too
            self._desk.log.debug("connection lost", ip=self._client.ip, error=str(error))
        finally:
            await self._drop_transaction()
            self._say()
            self._writer.close()
            self._desk.sessions.discard(self)

    async def _next_command(self) -> None:
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
        self._check_patience()

    async def _wait_for_line(self) -> bytes:
        await self._flush()
        self._idle = True
        try:
            return await self._input.line(MAX_AUTH_LINE)
        finally:
            self._idle = False

    async def _obey(self, line: bytes) -> None:
        verb, argument = _split(line)
        method = _VERBS.get(verb)
        if len(line) > (MAX_AUTH_LINE if method is MailSession.smtp_AUTH else MAX_LINE):
            raise LineTooLong
        if method is None:
            raise replies.UNKNOWN_COMMAND()
        await method(self, argument)

    def _check_patience(self) -> None:
        self._commands += 1
        if self._leaving and self._transaction is None:
            raise Farewell(replies.SHUTTING_DOWN)
        if self._errors >= self._desk.limits.errors:
            raise Farewell(replies.TOO_MANY_ERRORS)
        if self._commands >= self._desk.limits.commands:
            raise Farewell(replies.TOO_MANY_COMMANDS)

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
            await self._writer.drain()  # waits for a client that doesn't read

    def _say(self) -> None:
        if self._replies and not self._writer.is_closing():
            self._writer.write(b"".join(self._replies))
        self._replies.clear()

    # who is there

    async def smtp_HELO(self, hostname: str | None) -> None:
        """Greeting without extensions."""
        await self._greet(hostname, extended=False)
        await self.push(b"250 " + self._desk.hostname.encode())

    async def smtp_EHLO(self, hostname: str | None) -> None:
        """Greeting, and what we can."""
        await self._greet(hostname, extended=True)
        lines = [self._desk.hostname, *replies.EXTENSIONS, f"SIZE {self._desk.limits.message_size}"]
        if self._desk.tls is not None and not self._client.tls:
            lines.append("STARTTLS")
        if self._may_log_in:
            lines.append("AUTH " + " ".join(name.decode() for name in MECHANISMS))
        await self.push(replies.multiline(250, lines))

    async def _greet(self, hostname: str | None, *, extended: bool) -> None:
        if hostname is None or len(hostname) > MAX_HELO or not _HELO.match(hostname):
            raise replies.BAD_HELO()
        await self._drop_transaction()
        self._client.helo, self._client.extended = hostname, extended

    async def smtp_STARTTLS(self, arg: str | None) -> None:
        """Go on in TLS, and forget what was said before (RFC 3207)."""
        _no_argument(arg)
        if self._desk.tls is None or self._client.tls:
            raise replies.NO_TLS()
        await self.push(replies.READY_FOR_TLS)
        await self._drop_transaction()
        await self._flush()
        self._client.forget()
        await self._start_tls()

    async def _start_tls(self) -> None:
        assert self._desk.tls is not None
        self._input.clear()
        transport = await self.loop.start_tls(
            cast("asyncio.Transport", self.transport),
            self,
            self._desk.tls.server,
            server_side=True,
            ssl_handshake_timeout=self._desk.limits.handshake_time,
        )
        if transport is None:
            raise Gone
        self.transport = self._input.transport = transport
        self._writer = asyncio.StreamWriter(transport, self, None, self.loop)
        self._client.tls = describe_tls(transport)

    async def smtp_AUTH(self, arg: str | None) -> None:
        """Log in (RFC 4954)."""
        self._require_greeting()
        if self._client.role is Role.MX:
            raise replies.NO_AUTH()
        if not self._may_log_in:
            raise replies.AUTH_NEEDS_TLS()
        if self._client.account is not None or self._transaction is not None:
            raise replies.AUTH_NOW()
        words = (arg or "").encode("utf-8", "surrogateescape").split()
        if len(words) not in (1, 2):
            raise replies.syntax("AUTH mechanism [initial-response]")
        step = await self._exchange(*words)
        if isinstance(step, Refused):
            raise replies.auth_refusal(step.reason)
        await self._log_in(step)

    async def _exchange(self, mechanism: bytes, initial: bytes | None = None) -> Credentials | Refused:
        exchange = Exchange()
        step: Step = exchange.begin(mechanism, initial)
        while isinstance(step, Challenge):
            await self.push(b"334 " + encode(step))
            await self._flush()
            step = exchange.receive(_whole(await self._input.line(MAX_AUTH_LINE)))
        return step

    async def _log_in(self, credentials: Credentials) -> None:
        self._working = True
        try:
            account = await self._desk.logins.login(self._client.ip, credentials)
        finally:
            self._working = False
            self._heard = self.loop.time()
        if account is None:
            raise replies.BAD_CREDENTIALS()
        self._client.account = account
        await self.push(replies.LOGGED_IN)

    @property
    def _may_log_in(self) -> bool:
        return self._client.role is Role.SUBMISSION and (bool(self._client.tls) or self._desk.plaintext_auth)

    # the envelope

    async def smtp_MAIL(self, arg: str | None) -> None:
        """Begin a message."""
        self._require_greeting()
        if self._transaction is not None:
            raise replies.NESTED_MAIL()
        self._require_login()
        mail = parse_mail(arg or "", extended=self._client.extended)
        await self._desk.recipients.check_sender(self._client, mail)
        await self._desk.acceptance.check_space()
        self._transaction = Transaction(mail, new_id())
        await self.push(replies.SENDER_OK)

    async def smtp_RCPT(self, arg: str | None) -> None:
        """Add a recipient."""
        transaction = self._transaction
        if transaction is None or transaction.body is not None or transaction.broken:
            raise replies.NEED_MAIL()
        try:
            rcpt = parse_rcpt(arg or "", extended=self._client.extended, smtputf8=transaction.mail.smtputf8)
            await self._desk.recipients.add(self._client, transaction, rcpt)
        except MailFailure as failure:
            self._tell_refusal(transaction, failure, arg or "")
            raise
        await self.push(replies.RECIPIENT_OK)

    def _require_greeting(self) -> None:
        if not self._client.helo:
            raise replies.NEED_HELO()

    def _require_login(self) -> None:
        client = self._client
        if client.role is Role.SUBMISSION and client.account is None and not client.trusted:
            raise replies.NEED_AUTH() if self._may_log_in else replies.NEED_TLS()

    # the text

    async def smtp_DATA(self, arg: str | None) -> None:
        """Take the text up to the line with a dot, and the message with it."""
        _no_argument(arg)
        transaction = self._transaction
        if transaction is None or not transaction.recipients or transaction.body is not None or transaction.broken:
            raise replies.NEED_RCPT()
        await self._desk.logins.count_message(self._client)
        await self.push(replies.START_TEXT)
        body = self._begin_text(transaction)
        text = DataText()
        while not text.done:
            piece = text.feed(await self._receive())
            if piece:
                await self._write(body, piece)
        self._input.put_back(text.rest)
        await self._finish(transaction, body)

    async def smtp_BDAT(self, arg: str | None) -> None:
        """Take so many octets of the text, and the message with the last of them (RFC 3030)."""
        try:
            chunk = parse_bdat(arg or "")
        except PermanentFailure as failure:  # the text that follows can't be told from commands
            raise Farewell(replies.refusal(failure)) from None
        if chunk.size > EXCESS * self._desk.limits.message_size:
            raise Farewell(replies.TOO_BIG)
        transaction = self._transaction
        try:
            body = await self._body_for_chunk(transaction)
        except MailFailure:
            await self._read_chunk(None, chunk.size)
            await self._break_off(chunk.last)
            raise
        assert transaction is not None
        await self._read_chunk(body, chunk.size)
        if chunk.last:
            await self._finish(transaction, body)
        elif body.failure is not None:
            await self._break_off(last=False)
            raise body.failure
        else:
            await self.push(f"250 2.0.0 {chunk.size} octets received")

    async def _break_off(self, last: bool) -> None:
        """Refuse the rest of the message as well; with its end it is forgotten."""
        if self._transaction is not None:
            self._transaction.broken = True
        if last:
            await self._drop_transaction()

    async def _body_for_chunk(self, transaction: Transaction | None) -> Body:
        if transaction is None or transaction.broken or not transaction.recipients:
            raise replies.NEED_RCPT()
        if transaction.body is not None:
            return transaction.body
        await self._desk.logins.count_message(self._client)
        return self._begin_text(transaction)

    async def _read_chunk(self, body: Body | None, size: int) -> None:
        if body is None:
            self._text_since = self.loop.time()
        while size:
            piece = await self._receive(size)
            size -= len(piece)
            if body is not None:
                await self._write(body, piece)

    def _begin_text(self, transaction: Transaction) -> Body:
        self._text_since = self.loop.time()
        acceptance, entry = self._desk.acceptance, transaction.entry
        transaction.body = Body(lambda: acceptance.begin_upload(entry), self._desk.limits.message_size)
        return transaction.body

    async def _receive(self, most: int = -1) -> bytes:
        """Return the next piece of the text, as it comes."""
        while not (piece := self._input.take(most)):
            await self._flush()
            await self._input.more()
            if self.loop.time() - self._text_since > self._desk.limits.message_time:
                raise Farewell(replies.TIMEOUT)
        return piece

    async def _write(self, body: Body, piece: bytes) -> None:
        self._working = True
        await body.write(piece)
        self._working = False
        if body.is_hopeless:
            raise Farewell(replies.TOO_BIG)

    async def _finish(self, transaction: Transaction, body: Body) -> None:
        """Take the message over, and only then say so."""
        self._transaction = None
        self._working = True
        try:
            text = await body.finish()
            envelope = await self._desk.acceptance.accept(self._client, transaction, text)
        except MailFailure as failure:
            self._tell_refusal(transaction, failure)
            raise
        finally:
            self._working = False
            self._heard = self.loop.time()
        self._commands = self._errors = 0
        self._accepted.inc()
        await self.push(b"250 2.0.0 Ok: queued as " + envelope.id.encode())
        self._desk.log.accepted(
            envelope.id,
            sender=envelope.sender,
            recipients=len(envelope.recipients),
            size=text.size,
            ip=self._client.ip,
            account=envelope.origin.account,
        )

    async def _drop_transaction(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is not None and transaction.body is not None:
            await transaction.body.discard()

    def _tell_refusal(self, transaction: Transaction, failure: MailFailure, recipient: str = "") -> None:
        sender = str(transaction.mail.sender or "")
        self._desk.log.rejected(ip=self._client.ip, sender=sender, recipient=recipient[:MAX_HELO], reply=str(failure))

    # the rest

    async def smtp_RSET(self, arg: str | None) -> None:
        """Forget the message."""
        _no_argument(arg)
        await self._drop_transaction()
        await self.push(replies.OK)

    async def smtp_NOOP(self, arg: str | None) -> None:
        """Do nothing."""
        await self.push(replies.OK)

    async def smtp_QUIT(self, arg: str | None) -> None:
        """Say goodbye."""
        _no_argument(arg)
        raise Farewell(replies.BYE)

    async def smtp_HELP(self, arg: str | None) -> None:
        """Name the commands."""
        await self.push("214 2.0.0 " + " ".join(_VERBS))

    async def smtp_VRFY(self, arg: str | None) -> None:
        """Say nothing about who is here (RFC 5321 §7.3)."""
        if arg is None:
            raise replies.syntax("VRFY address")
        await self.push(replies.CANNOT_VERIFY)

    async def smtp_EXPN(self, arg: str | None) -> None:
        """Say nothing about lists."""
        raise replies.NOT_IMPLEMENTED()


_VERBS: dict[str, Callable[[MailSession, str | None], Awaitable[None]]] = {
    "HELO": MailSession.smtp_HELO,
    "EHLO": MailSession.smtp_EHLO,
    "STARTTLS": MailSession.smtp_STARTTLS,
    "AUTH": MailSession.smtp_AUTH,
    "MAIL": MailSession.smtp_MAIL,
    "RCPT": MailSession.smtp_RCPT,
    "DATA": MailSession.smtp_DATA,
    "BDAT": MailSession.smtp_BDAT,
    "RSET": MailSession.smtp_RSET,
    "NOOP": MailSession.smtp_NOOP,
    "QUIT": MailSession.smtp_QUIT,
    "HELP": MailSession.smtp_HELP,
    "VRFY": MailSession.smtp_VRFY,
    "EXPN": MailSession.smtp_EXPN,
}


def _split(line: bytes) -> tuple[str, str | None]:
    """Return a command line's verb in upper case and its argument, None if there is none."""
    verb, _, argument = _whole(line).decode("utf-8", "surrogateescape").partition(" ")
    return verb.upper(), argument.strip(" \t") or None


def _whole(line: bytes) -> bytes:
    """Return a line without its CRLF; the next server might see two lines in one with a bare CR or LF."""
    text = line[:-2]
    if line[-2:] != b"\r\n" or b"\r" in text or b"\0" in text:
        raise replies.BARE_LINE_END()
    return text


def _no_argument(argument: str | None) -> None:
    if argument is not None:
        raise replies.NO_ARGUMENT()
