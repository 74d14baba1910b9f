"""The verbs of SMTP, overridden from aiosmtpd's session: what they need, their order and their replies (RFC 5321).

What may be sent to whom is in recipients.py, what becomes of it in accept.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from services.mta import replies
from services.mta.body import Body
from services.mta.client import Role, Transaction
from services.mta.commands import Mail, parse_bdat, parse_mail, parse_rcpt
from services.mta.connection import Connection, Farewell
from services.mta.input import LineTooLong
from services.mta.limits import EXCESS, MAX_AUTH_LINE, MAX_HELO, MAX_LINE
from services.mta.text import DataText
from shared.directory import Account
from shared.errors import MailFailure, PermanentFailure
from shared.ids import new_id
from shared.message.envelope import Envelope
from shared.metrics import ACCEPTED
from shared.operations.rejections import Rejection
from shared.sasl.exchange import Exchange, encode
from shared.sasl.mechanism import Challenge, Reason, Refused
from shared.sasl.mechanisms import offered
from shared.tls import channel_bindings

PROTOCOL = "smtp"

if TYPE_CHECKING:
    from services.mta.milters import SessionMilters
    from services.mta.scan import Screening

_PATH = re.compile(r"<([^<>]*)>")
_HELO = re.compile(r"[!-~\u0080-\ud7ff\ue000-\U0010ffff]+\Z")


class MailSession(Connection):
    """One client's commands."""

    _text_since = 0.0  # by the loop's clock
    _invited = False  # whether the client has its 354 already
    _milters: SessionMilters | None = None

    @property
    def _verbs(self) -> dict[str, Callable[[MailSession, str | None], Awaitable[None]]]:
        return _VERBS

    async def _obey(self, line: bytes) -> None:
        verb, argument = _split(line)
        method = self._verbs.get(verb)
        if len(line) > (MAX_AUTH_LINE if method is MailSession.smtp_AUTH else MAX_LINE):
            raise LineTooLong
        if method is None:
            raise replies.UNKNOWN_COMMAND()
        await method(self, argument)

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
            lines.append("AUTH " + b" ".join(self._mechanisms).decode())
        await self.push(replies.multiline(250, lines))

    async def _greet(self, hostname: str | None, *, extended: bool) -> None:
        if hostname is None or len(hostname) > MAX_HELO or not _HELO.match(hostname):
            raise replies.BAD_HELO()
        await self._drop_transaction()
        self._leave_milters()
        self._client.helo, self._client.extended = hostname, extended

    async def smtp_STARTTLS(self, arg: str | None) -> None:
        """Go on in TLS, and forget what was said before (RFC 3207)."""
        _no_argument(arg)
        if self._desk.tls is None or self._client.tls:
            raise replies.NO_TLS()
        await self.push(replies.READY_FOR_TLS)
        await self._drop_transaction()
        await self._flush()
        self._leave_milters()
        self._client.forget()
        await self._start_tls()

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
        end = await self._exchange(*words)
        if isinstance(end, Refused):
            raise replies.BAD_CREDENTIALS() if end.reason is Reason.WRONG_PROOF else replies.auth_refusal(end.reason)
        self._client.account = end
        await self.push(replies.LOGGED_IN)

    async def _exchange(self, mechanism: bytes, initial: bytes | None = None) -> Account | Refused:
        exchange = Exchange(self._mechanisms, self._bindings)
        step = exchange.begin(mechanism, initial)
        while True:
            answer = await self._unhurried(self._desk.logins.answer(PROTOCOL, self._client.ip, exchange, step))
            if not isinstance(answer, Challenge):
                return answer
            await self.push(b"334 " + encode(answer))
            await self._flush()
            step = exchange.receive(_whole(await self._input.line(MAX_AUTH_LINE)))

    @property
    def _mechanisms(self) -> tuple[bytes, ...]:
        return offered(self._desk.mechanisms, self._bindings)

    @property
    def _bindings(self) -> dict[str, bytes]:
        return channel_bindings(self.transport)

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
        transaction = Transaction(mail, new_id())
        try:
            await self._desk.recipients.check_sender(self._client, mail)
            await self._desk.acceptance.check_space()
            if self._desk.screening is not None:
                await self._tell_milters(self._desk.screening, transaction)
        except MailFailure as failure:
            self._tell_refusal(mail, failure)
            raise
        self._transaction = transaction
        await self.push(replies.SENDER_OK)

    async def smtp_RCPT(self, arg: str | None) -> None:
        """Add a recipient."""
        transaction = self._transaction
        if transaction is None or transaction.body is not None or transaction.broken:
            raise replies.NEED_MAIL()
        try:
            rcpt = parse_rcpt(arg or "", extended=self._client.extended, smtputf8=transaction.mail.smtputf8)
            await self._desk.recipients.add(self._client, transaction, rcpt)
            if transaction.milters is not None:
                await self._ask_milters(transaction.milters, transaction)
        except MailFailure as failure:
            self._tell_refusal(transaction.mail, failure, arg or "")
            raise
        await self.push(replies.RECIPIENT_OK)

    async def _tell_milters(self, screening: Screening, transaction: Transaction) -> None:
        if self._milters is None:
            self._milters = screening.milters_for(self._client)
        transaction.milters = self._milters
        if self._milters is not None:
            await self._unhurried(self._milters.mail(transaction.mail, transaction.entry))

    async def _ask_milters(self, milters: SessionMilters, transaction: Transaction) -> None:
        key, recipient = next(reversed(transaction.recipients.items()))
        try:
            await self._unhurried(milters.rcpt(recipient.address))
        except MailFailure:
            del transaction.recipients[key]
            raise

    def _leave_milters(self) -> None:
        milters, self._milters = self._milters, None
        if milters is not None:
            milters.hang_up()

    def _close(self) -> None:
        self._leave_milters()
        super()._close()

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
        if not self._invited:
            await self._desk.allowance.count_message(self._client)
            await self.push(replies.START_TEXT)
            self._text_since = self.loop.time()
        self._invited = False
        self._check_text_time()
        body = self._begin_text(transaction)
        text = DataText()
        while not text.done:
            piece = text.feed(await self._receive_text(text.held))
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
        await self._desk.allowance.count_message(self._client)
        self._text_since = self.loop.time()
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
        acceptance, entry = self._desk.acceptance, transaction.entry
        transaction.body = Body(lambda: acceptance.begin_upload(entry), self._desk.limits.message_size)
        return transaction.body

    async def _receive(self, most: int) -> bytes:
        """Return the next piece of the text, as it comes."""
        while not (piece := self._input.take(most)):
            await self._flush()
            await self._input.more()
            self._check_text_time()
        return piece

    async def _receive_text(self, after: bytes) -> bytes:
        """Return the next piece of the text that a dot ends; see Input.more_text."""
        while not (piece := self._input.take()):
            await self._flush()
            limits = self._desk.limits
            await self._input.more_text(after, limits.message_size, self._text_since + limits.message_time)
            self._check_text_time()
        return piece

    def _check_text_time(self) -> None:
        if self.loop.time() - self._text_since > self._desk.limits.message_time:
            raise Farewell(replies.TIMEOUT)

    async def _write(self, body: Body, piece: bytes) -> None:
        await self._unhurried(body.write(piece))
        if body.is_hopeless:
            raise Farewell(replies.TOO_BIG)

    async def _finish(self, transaction: Transaction, body: Body) -> None:
        """Take the message over, and only then say so."""
        envelope = await self._take_over(transaction, body)
        await self.push(b"250 2.0.0 Ok: queued as " + envelope.id.encode())
        self._tell_acceptance(envelope, body.size)

    async def _take_over(self, transaction: Transaction, body: Body) -> Envelope:
        self._transaction = None
        try:
            envelope = await self._unhurried(self._accept(transaction, body))
        except MailFailure as failure:
            self._tell_refusal(transaction.mail, failure, ", ".join(r.address for r in transaction.recipients.values()))
            raise
        self._commands = self._errors = 0
        ACCEPTED.labels(self._client.role.value).inc()
        return envelope

    async def _accept(self, transaction: Transaction, body: Body) -> Envelope:
        try:
            text = await body.finish()
            return await self._desk.acceptance.accept(self._client, transaction, text)
        except BaseException:
            await body.discard()
            raise

    def _tell_acceptance(self, envelope: Envelope, size: int) -> None:
        self._desk.log.accepted(
            envelope.id,
            sender=envelope.sender,
            recipients=len(envelope.recipients),
            size=size,
            ip=self._client.ip,
            account=envelope.origin.account,
        )

    def _tell_refusal(self, mail: Mail, failure: MailFailure, recipient: str = "") -> None:
        client, sender = self._client, str(mail.sender or "")
        named = _PATH.search(recipient[:MAX_LINE])
        to = named[1] if named else recipient[:MAX_HELO]
        self._desk.log.rejected(ip=client.ip, sender=sender, recipient=to, reply=str(failure))
        account = client.account.address if client.account is not None else ""
        listener, reply = client.role.value, str(failure)
        self._desk.reject(
            Rejection(time.time(), listener, client.ip, reply, client.helo, client.tls, account, sender, to)
        )

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
        await self.push("214 2.0.0 " + " ".join(self._verbs))

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
    if line[:4].upper() == b"BDAT" and (line[-2:] != b"\r\n" or len(line) > MAX_LINE):
        raise Farewell(replies.refusal(replies.BARE_LINE_END()))  # what follows isn't commands
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
