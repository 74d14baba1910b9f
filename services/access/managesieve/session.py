"""One ManageSieve session: commands in, handlers by table, responses out (RFC 5804)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from services.access.connection import Connection, Goodbye
from services.access.desk import Desk
from services.access.managesieve import login, scripts
from services.access.managesieve.answer import of_failure
from shared.errors import PacketboatError
from shared.managesieve import response
from shared.managesieve.command import Command, CommandError, Verb, parse_command, parse_string
from shared.managesieve.limits import AFTER_LOGIN, BEFORE_LOGIN
from shared.managesieve.receive import Event, Hopeless, Line, Receiver, Refused
from shared.managesieve.response import Code

if TYPE_CHECKING:
    from shared.directory import Account
    from shared.sasl.exchange import Exchange


Handler = Callable[["SieveSession", Command], Awaitable[bytes | None]]

BEFORE: dict[Verb, Handler] = {
    Verb.AUTHENTICATE: login.authenticate,
    Verb.STARTTLS: login.start_tls,
}
ALWAYS: dict[Verb, Handler] = {
    Verb.CAPABILITY: login.capability,
    Verb.LOGOUT: login.logout,
    Verb.NOOP: login.noop,
}
AFTER: dict[Verb, Handler] = {
    Verb.UNAUTHENTICATE: login.unauthenticate,
    Verb.CHECKSCRIPT: scripts.check,
    Verb.DELETESCRIPT: scripts.delete,
    Verb.GETSCRIPT: scripts.get,
    Verb.HAVESPACE: scripts.have_space,
    Verb.LISTSCRIPTS: scripts.list_scripts,
    Verb.PUTSCRIPT: scripts.put,
    Verb.RENAMESCRIPT: scripts.rename,
    Verb.SETACTIVE: scripts.set_active,
}
"""Handlers by when their command is allowed; one returns its response, or None when it has sent it itself."""

_GOODBYES = {
    Goodbye.TIMEOUT: response.bye("Idle for too long"),
    Goodbye.SHUTDOWN: response.bye("The server is going down", Code.TRY_LATER),
    Goodbye.FULL: response.bye("Too many connections", Code.TRY_LATER),
}


class SieveSession:
    """A client's state; handlers of commands read and change it."""

    __slots__ = ("_errors", "account", "connection", "desk", "exchange", "failed_logins", "receiver")

    def __init__(self, desk: Desk, connection: Connection) -> None:
        self.desk = desk
        self.connection = connection
        self.receiver = Receiver()
        self.account: Account | None = None
        self.exchange: Exchange | None = None  # while a SASL response is awaited
        self.failed_logins = 0
        self._errors = 0

    # What the connection calls

    @property
    def pending(self) -> int:
        return self.receiver.pending

    def greet(self) -> None:
        self.write(login.greeting(self))

    def feed(self, data: bytes) -> None:
        self.receiver.feed(data)

    def say_goodbye(self, why: Goodbye) -> None:
        self.write(_GOODBYES[why])

    def closed(self) -> None:
        self.exchange = None

    async def work(self) -> None:
        await self.connection.answer_all(self.receiver.next, self._handle)
        if self.account is not None:
            self.connection.expect_within(self.desk.limits.idle_time)

    # What handlers use

    def write(self, data: bytes) -> None:
        """Send octets."""
        self.connection.write(data)

    def log_in(self, account: Account | None) -> None:
        """Begin to act for an account, or for nobody any more."""
        self.account = account
        self.receiver.limits = BEFORE_LOGIN if account is None else AFTER_LOGIN
        if account is None:
            self.connection.expect_within(self.desk.limits.login_time)

    def end(self, text: str) -> None:
        """Say why and close."""
        self.write(response.bye(text))
        self.connection.close()

    # Events

    async def _handle(self, event: Event) -> None:
        match event:
            case Line() if self.exchange is not None:
                await self._continue(self.exchange, event)
            case Line():
                await self._run(event)
            case Refused(reason, _, too_large):
                self.exchange = None
                self.write(response.no(reason, Code.QUOTA_SIZE if too_large else None))
                self._count_error()
            case Hopeless(reason):
                self.end(reason)

    async def _continue(self, exchange: Exchange, line: Line) -> None:
        self.exchange = None
        try:
            data = parse_string(line)
        except CommandError as error:
            self._reject(str(error))
            return
        await self._answer(login.take_response(self, exchange, data))

    async def _run(self, line: Line) -> None:
        try:
            command = parse_command(line)
        except CommandError as error:
            self._reject(str(error))
            return
        self._errors = 0
        handler = ALWAYS.get(command.verb) or (BEFORE if self.account is None else AFTER).get(command.verb)
        if handler is None:
            when = "Log in first" if self.account is None else "You are logged in already"
            self.write(response.no(when))
            return
        await self._answer(handler(self, command))

    async def _answer(self, work: Awaitable[bytes | None]) -> None:
        """Send what a handler returns, or what its failure deserves."""
        try:
            answer = await work
        except PacketboatError as error:
            answer = of_failure(error)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - the session goes on
            self.desk.log.trouble("command broke", exc_info=error)
            answer = response.no("Internal error, see the server's log", Code.TRY_LATER)
        if answer is not None:
            self.write(answer)

    def _reject(self, text: str) -> None:
        self.write(response.no(text))
        self._count_error()

    def _count_error(self) -> None:
        self._errors += 1
        if self._errors >= self.desk.limits.errors:
            self.end("Too many commands that make no sense")
