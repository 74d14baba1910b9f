"""One POP3 session: lines in, handlers by table, responses out (RFC 1939, RFC 2449, RFC 2595, RFC 5034)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from services.access.connection import Connection, Goodbye
from services.access.desk import Desk
from services.access.pop3 import language, listing, login, retrieval, update
from services.access.pop3.answer import of_failure
from services.access.pop3.readahead import ReadAhead
from shared.errors import PacketboatError
from shared.pop3 import command as commands
from shared.pop3 import response
from shared.pop3.command import BadCommand, Command, parse_command
from shared.pop3.maildrop import Maildrop, NoSuchMessage
from shared.pop3.receive import MAX_AUTH_LINE, MAX_LINE, Event, GiveUp, LineReceived, LineTooLong, ReceiveBuffer
from shared.pop3.state import SessionState, is_allowed, next_state

if TYPE_CHECKING:
    from services.access.pop3.claim import Claim
    from shared.directory import Account
    from shared.sasl.exchange import Exchange


Handler = Callable[[Any, Any], Awaitable[bytes | None]]

HANDLERS: dict[type[Command], Handler] = {
    commands.User: login.user,
    commands.Pass: login.password,
    commands.Auth: login.auth,
    commands.Mechanisms: login.mechanisms,
    commands.Stls: login.start_tls,
    commands.Capa: login.capabilities,
    commands.Utf8: language.utf8,
    commands.Lang: language.language,
    commands.Stat: listing.stat,
    commands.List: listing.scan,
    commands.Uidl: listing.unique_ids,
    commands.Retr: retrieval.retrieve,
    commands.Top: retrieval.top,
    commands.Dele: update.delete,
    commands.Rset: update.reset,
    commands.Noop: update.nothing,
    commands.Quit: update.leave,
}
"""A handler returns its response, or None when it has sent it itself or waits for the client."""

_GOODBYES = {
    Goodbye.TIMEOUT: response.err(b"Autologout, idle for too long"),
    Goodbye.SHUTDOWN: response.err(b"The server is going down", response.SYS_TEMP),
    Goodbye.FULL: response.err(b"Too many connections", response.SYS_TEMP),
}


class Pop3Session:
    """A client's state; handlers of commands read and change it."""

    __slots__ = (
        "_errors",
        "account",
        "ahead",
        "buffer",
        "claim",
        "connection",
        "desk",
        "exchange",
        "failed_logins",
        "mailbox_id",
        "maildrop",
        "name",
        "state",
        "uidvalidity",
    )

    def __init__(self, desk: Desk, connection: Connection) -> None:
        self.desk = desk
        self.connection = connection
        self.buffer = ReceiveBuffer()
        self.state = SessionState.AUTHORIZATION
        self.account: Account | None = None
        self.name = b""  # of USER
        self.exchange: Exchange | None = None  # while a SASL response is awaited
        self.claim: Claim | None = None  # to the maildrop, once logged in
        self.maildrop = Maildrop(())
        self.mailbox_id = 0
        self.uidvalidity = 0
        self.ahead: ReadAhead | None = None
        self.failed_logins = 0
        self._errors = 0

    # What the connection calls

    @property
    def pending(self) -> int:
        return self.buffer.pending

    def greet(self) -> None:
        self.write(response.ok(b"Packetboat is ready"))

    def feed(self, data: bytes) -> None:
        self.buffer.feed(data)

    def say_goodbye(self, why: Goodbye) -> None:
        self.write(_GOODBYES[why])

    def closed(self) -> None:
        self.ahead = None
        if self.claim is not None:
            self.desk.clean_up(self.claim.give_up())
            self.claim = None

    async def work(self) -> None:
        await self.connection.answer_all(self.buffer.next_event, self._handle)
        if self.account is not None:
            self.connection.expect_within(self.desk.limits.idle_time)

    # What handlers use

    def write(self, data: bytes) -> None:
        """Send octets."""
        self.connection.write(data)

    def await_response(self, exchange: Exchange | None) -> None:
        """Take the next line as a SASL response, or none any more."""
        self.exchange = exchange
        self.buffer.max_line = MAX_LINE if exchange is None else MAX_AUTH_LINE

    def end(self, text: bytes) -> None:
        """Say why and close."""
        self.write(response.err(text))
        self.connection.close()

    # Events

    async def _handle(self, event: Event) -> None:
        match event:
            case LineReceived(data) if self.exchange is not None:
                await self._answer(login.take_response(self, data), commands.Auth(b""))
            case LineReceived(data):
                await self._run(data)
            case LineTooLong():
                self.await_response(None)
                self._reject(b"Line too long")
            case GiveUp():
                self.end(b"Too much unusable input")

    async def _run(self, line: bytes) -> None:
        try:
            command = parse_command(line)
        except BadCommand as error:
            self._reject(error.text)
            return
        if is_allowed(command, self.state):
            self._errors = 0
            if self.claim is not None and not await self.claim.hold(surely=isinstance(command, commands.Quit)):
                self.end(b"Another session has the mailbox now")
                return
            await self._answer(HANDLERS[type(command)](self, command), command)
        else:
            self._reject(b"Not allowed now")

    async def _answer(self, work: Awaitable[bytes | None], command: Command) -> None:
        """Send what a handler returns, or what its failure deserves."""
        try:
            answer = await work
        except (PacketboatError, NoSuchMessage) as error:
            answer = of_failure(error)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - the session goes on
            self.desk.log.trouble("command broke", command=type(command).__name__, exc_info=error)
            answer = response.err(b"Internal error, see the server's log", response.SYS_TEMP)
        if answer is None:
            return
        self.write(answer)
        if answer.startswith(b"+OK"):
            self.state = next_state(command, self.state)
        if isinstance(command, commands.Quit):
            self.connection.close()

    def _reject(self, text: bytes) -> None:
        self.write(response.err(text))
        self._errors += 1
        if self._errors >= self.desk.limits.errors:
            self.end(b"Too many commands that make no sense")
