"""One IMAP session: events of the receive buffer in, handlers by table, tagged responses out (RFC 3501 §3)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from services.access.connection import Connection, Goodbye
from services.access.desk import Desk
from services.access.imap import append, compress, context, enable, idle, login, metadata, namespace, notify, recent
from services.access.imap.capability import capabilities
from services.access.imap.handlers import HANDLERS
from services.access.imap.outcome import BROKEN, Outcome, of_failure, rejected
from services.access.imap.selected import Selected
from services.access.limits import FAIR_SHARE
from shared.errors import MailFailure, PacketboatError, TemporaryFailure
from shared.imap import command as commands
from shared.imap import response
from shared.imap.command import Command
from shared.imap.command_parser import BadCharset, BadCommand, parse_command
from shared.imap.limits import AFTER_LOGIN, MAX_UNASKED_LITERAL
from shared.imap.receive import (
    CommandReceived,
    CommandRejected,
    CommandTail,
    Event,
    GiveUp,
    LineReceived,
    LiteralChunk,
    LiteralEnd,
    LiteralRequest,
    ReceiveBuffer,
)
from shared.imap.search_parser import CHARSETS
from shared.imap.sequence import BadSequence
from shared.imap.state import Extension, SessionState, is_allowed, may_report_expunge, next_state
from shared.metrics import COMMAND_SECONDS

if TYPE_CHECKING:
    from services.access.imap.append import Target, Upload
    from services.access.imap.compress import Compression
    from services.access.imap.idle import Idling
    from services.access.imap.metadata import Followed
    from services.access.imap.notify import Notifying
    from shared.directory import Account
    from shared.sasl.exchange import Exchange


_GOODBYES = {
    Goodbye.TIMEOUT: (b"Autologout, idle for too long", None),
    Goodbye.SHUTDOWN: (b"The server is going down; connect again", response.UNAVAILABLE),
    Goodbye.FULL: (b"Too many connections", response.UNAVAILABLE),
}
# What these remove is told whatever NOTIFY says: it is about what others do (RFC 3501 §6.4.3, RFC 6851 §3.3)
_REMOVING = (commands.Expunge, commands.UidExpunge, commands.Move, commands.Replace)
# Selecting reports everything itself; the others end what there is to report on
_WITHOUT_SYNC = (commands.Select, commands.Examine, commands.Close, commands.Unselect, commands.Logout)


class ImapSession:
    """A client's state; handlers of commands read and change it."""

    __slots__ = (
        "_errors",
        "account",
        "annotations",
        "buffer",
        "compression",
        "connection",
        "desk",
        "enabled",
        "exchange",
        "failed_logins",
        "idling",
        "notifying",
        "selected",
        "state",
        "target",
        "upload",
    )

    def __init__(self, desk: Desk, connection: Connection) -> None:
        self.desk = desk
        self.connection = connection
        self.buffer = ReceiveBuffer()
        self.state = SessionState.NOT_AUTHENTICATED
        self.account: Account | None = None
        self.selected: Selected | None = None
        self.enabled = Extension.NONE
        self.annotations: Followed | None = None  # while METADATA is enabled
        self.exchange: tuple[bytes, Exchange] | None = None  # AUTHENTICATE's tag, while a response is awaited
        self.target: Target | None = None  # the last APPEND's mailbox, if it is the account's own
        self.upload: Upload | None = None  # APPEND's message, while it arrives
        self.idling: Idling | None = None
        self.notifying: Notifying | None = None
        self.compression: Compression | None = None
        self.failed_logins = 0
        self._errors = 0

    # What the connection calls

    @property
    def pending(self) -> int:
        compressed = self.compression.inflater.pending if self.compression is not None else 0
        return self.buffer.pending + compressed

    def greet(self) -> None:
        self.write(response.greeting(b"Packetboat is ready", capabilities(self)))

    def feed(self, data: bytes) -> None:
        if self.compression is None:
            self.buffer.feed(data)
        else:
            self.compression.inflater.feed(data)

    def say_goodbye(self, why: Goodbye) -> None:
        self.write(response.bye(*_GOODBYES[why]))

    def closed(self) -> None:
        idle.stop(self)
        notify.stop(self)
        append.give_up(self)
        self.selected = None

    async def work(self) -> None:
        handled = 0
        while not self.connection.end_of_work():
            event = self.buffer.next_event()
            if event is not None:
                await self._handle(event)
                handled += 1
            elif not compress.read_more(self) and not await self._report():
                break
            await self.connection.drain()
            if handled % FAIR_SHARE == FAIR_SHARE - 1:
                await asyncio.sleep(0)
        compress.rest(self)
        if self.account is not None:
            self.connection.expect_within(self.desk.limits.idle_time)

    async def _report(self) -> bool:
        """Tell of changes outside commands; False when nothing has woken the session."""
        if self.exchange is not None or self.upload is not None:
            return False
        return await idle.report(self) or await notify.report(self)

    # What handlers use

    def write(self, data: bytes) -> None:
        """Send octets."""
        self.connection.write(data if self.compression is None else self.compression.deflater.compress(data))

    def write_all(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Send octets that are in pieces."""
        if self.compression is None:
            self.connection.write_all(pieces)
        else:
            self.write(b"".join(pieces))

    @property
    def utf8(self) -> bool:
        """Whether mailbox names are UTF-8 in both directions (RFC 6855, RFC 9051)."""
        return bool(self.enabled & (Extension.UTF8 | Extension.REV2))

    def the_account(self) -> Account:
        """Return who is logged in; only for commands that need that."""
        assert self.account is not None
        return self.account

    def the_selected(self) -> Selected:
        """Return the selected mailbox; only for commands that need one."""
        assert self.selected is not None
        return self.selected

    def logged_in(self, account: Account) -> None:
        """Take an account, and what is allowed to one."""
        self.account = account
        self.buffer.limits = AFTER_LOGIN

    def end(self, text: bytes) -> None:
        """Say BYE and close."""
        self.write(response.bye(text))
        self.connection.close()

    # Events

    async def _handle(self, event: Event) -> None:
        match event:
            case CommandReceived(text):
                await self._run(text)
            case LiteralRequest():
                await self._decide(event)
            case LiteralChunk(data):
                await append.take_chunk(self, data)
            case LiteralEnd():
                pass
            case CommandTail(text):
                await self._finish_append(text)
            case LineReceived(data):
                await self._take_line(data)
            case CommandRejected(tag, text):
                self._reject(tag, text)
            case GiveUp(text):
                self.end(text)

    async def _run(self, text: bytes) -> None:
        try:
            command = parse_command(text, utf8=self.utf8)
        except BadCharset as error:
            if error.saves and self.selected is not None:
                self.selected.saved = ()
            self.write(response.no(error.tag or b"*", error.text, response.code_badcharset(CHARSETS)))
            return
        except BadCommand as error:
            self._reject(error.tag, error.text)
            return
        if not is_allowed(command, self.state):
            self._reject(command.tag, b"Not allowed now")
        elif (objection := enable.objection(self, command)) is not None:
            self._reject(command.tag, objection.text, objection.code)
        else:
            self._errors = 0
            await self._perform(command)

    async def _perform(self, command: Command) -> None:
        begin = time.perf_counter()
        enable.use_implied(self, command)
        outcome = await self._outcome(command)
        COMMAND_SECONDS.labels(type(command).__name__).observe(time.perf_counter() - begin)
        if outcome is not None:
            await self.finish(command, outcome)

    async def _outcome(self, command: Command) -> Outcome | None:
        try:
            if not await namespace.look_again(self):
                return None
            return await HANDLERS[type(command)](self, command)
        except Exception as error:  # noqa: BLE001 - the session goes on
            return self.failure(error, type(command).__name__)

    def failure(self, error: Exception, what: str) -> Outcome:
        """Return what to answer to a command that raised, and log what the operator should know of."""
        if isinstance(error, OSError):
            raise error  # the connection's own
        if isinstance(error, PacketboatError | BadSequence):
            if isinstance(error, TemporaryFailure):  # a permanent one is the client's own doing
                self.desk.log.trouble("command failed", command=what, error=str(error))
            return of_failure(error)
        self.desk.log.trouble("command broke", command=what, error=type(error).__name__, exc_info=error)
        return BROKEN

    async def finish(self, command: Command, outcome: Outcome) -> None:
        """Report what has changed, answer, and go over to the command's next state."""
        notify.note_own(self, command, outcome)
        tells = isinstance(command, _REMOVING) or notify.tells_messages(self)
        if self.selected is not None and tells and not isinstance(command, _WITHOUT_SYNC):
            with_uid = bool(getattr(command, "uid", False))
            await self.synchronise(may_report_expunge(command), with_uid=with_uid, outcome=outcome)
        if Extension.METADATA in self.enabled:
            await metadata.report(self)
        succeeded = outcome.condition is response.Condition.OK
        self.state = next_state(command, self.state, succeeded)
        code = outcome.code
        if (highest := self._highest(command)) is not None:
            if code is None and succeeded:
                code = highest
            else:
                self.tell_highest(highest)
        tagged = response.tagged(command.tag, outcome.condition, outcome.text, code)
        self.write(outcome.untagged + tagged)
        if self.state is SessionState.LOGOUT:
            self.connection.close()

    async def synchronise(self, with_expunges: bool, *, with_uid: bool = False, outcome: Outcome | None = None) -> None:
        """Tell the client what has changed in the selected mailbox, as far as it wants to know (NOTIFY).

        `outcome` is that of the command which is to be answered.
        """
        selected, with_flags = self.the_selected(), notify.tells_flags(self)
        last = selected.view.largest_uid
        try:
            changes = await self.desk.messages.changes(selected.mailbox_id, selected.since(with_flags))
            if not changes.is_complete:
                selected.compare(await self.desk.messages.select(selected.mailbox_id))
        except PacketboatError as error:
            self._not_synchronised(error)
            return
        has_recent = selected.gain(await recent.claim_arrivals(self, selected, changes))
        following = context.Following(self, changes, with_expunges=with_expunges) if selected.contexts else None
        if following is not None:
            await following.before()
        report = selected.report(
            changes,
            with_expunges=with_expunges,
            with_uid=with_uid or notify.shows_uids(self),
            with_flags=with_flags,
            enabled=self.enabled,
            has_recent=has_recent,
        )
        for piece in report:
            self.write(piece)
            await self.connection.drain()
        if following is not None:
            await following.after()
        if self.notifying is not None:
            await notify.show_new(self, last, outcome)

    async def learn_keywords(self, rows: Sequence[Any]) -> None:
        """Tell the client of keywords it hasn't heard of, so that the flags of rows are shown whole."""
        selected = self.the_selected()
        if selected.lacks_keywords(rows):
            self.write(selected.learn(await self.desk.messages.keywords(selected.mailbox_id)))

    def tell_highest(self, code: bytes | None = None) -> None:
        """Tell how far the client has been told of changes, if it has to know (RFC 7162 §3.2.4)."""
        code = code or self._highest(None)
        if code is not None:
            self.write(response.untagged_status(response.Condition.OK, b"Highest mod-sequence", code))

    def _highest(self, command: Command | None) -> bytes | None:
        if self.selected is None or Extension.CONDSTORE not in self.enabled or isinstance(command, _WITHOUT_SYNC):
            return None
        highest = self.selected.highest(only_held=Extension.QRESYNC not in self.enabled)
        return None if highest is None else response.code_highestmodseq(highest)

    def _not_synchronised(self, error: PacketboatError) -> None:
        self.the_selected().not_followed()
        if isinstance(error, MailFailure):
            self.desk.log.trouble("mailbox not synchronised", error=str(error))
        else:
            self.end(b"The selected mailbox was deleted")

    # Literals and lines

    async def _decide(self, request: LiteralRequest) -> None:
        try:
            decision = await self._ask(request)
        except BadCommand as error:
            self._refuse_literal()
            self._reject(error.tag, error.text)
            return
        except Exception as error:  # noqa: BLE001 - the session goes on
            decision = self.failure(error, "Append")
        if isinstance(decision, Outcome):
            self._refuse_literal()
            self.write(response.tagged(request.tag, decision.condition, decision.text, decision.code))
            return
        if decision is append.Literal.STREAMED:
            self.buffer.stream_literal()
        else:
            self.buffer.accept_literal()
        if request.sync:
            self.write(response.continuation())

    async def _ask(self, request: LiteralRequest) -> append.Literal | Outcome:
        decision: append.Literal | Outcome = append.Literal.BUFFERED
        if self.account is None and not request.sync and request.size > MAX_UNASKED_LITERAL:
            raise BadCommand(request.tag, f"Literals over {MAX_UNASKED_LITERAL} octets have to be announced first")
        if request.name in append.NAMES:
            decision = await append.announce(self, request)
        if decision is append.Literal.BUFFERED and not request.fits:
            raise BadCommand(request.tag, "Literal too large")
        return decision

    def _refuse_literal(self) -> None:
        append.give_up(self)
        self.buffer.refuse_literal()

    async def _finish_append(self, tail: bytes) -> None:
        upload = self.upload
        assert upload is not None
        try:
            outcome = await append.finish(self, upload, tail)
        except BadCommand as error:
            outcome = rejected(error.text)
        except Exception as error:  # noqa: BLE001 - the session goes on
            outcome = self.failure(error, "Append")
        finally:
            append.give_up(self)
        COMMAND_SECONDS.labels(type(upload.command).__name__).observe(time.perf_counter() - upload.began)
        await self.finish(upload.command, outcome)

    async def _take_line(self, data: bytes) -> None:
        if self.exchange is not None:
            await login.take_response(self, data)
        else:
            await idle.take_done(self, data)

    def _reject(self, tag: bytes | None, text: bytes, code: bytes | None = None) -> None:
        if self.exchange is not None:
            tag = self.exchange[0]
            self.exchange = None
        if self.idling is not None:
            tag = self.idling.command.tag
            idle.stop(self)
        self.write(response.bad(tag, text, code))
        self._errors += 1
        if self._errors >= self.desk.limits.errors:
            self.end(b"Too many commands that make no sense")
