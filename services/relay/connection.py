"""One session with one host: the SMTP client core on a socket, with time limits and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import ssl
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from services.relay.letter import Letter
from services.relay.route import Hop
from shared.errors import PacketboatError
from shared.smtp.client import (
    Abandoned,
    Client,
    ClientOptions,
    Event,
    Finished,
    Over,
    SendBody,
    StartTls,
    State,
    TlsPolicy,
    Verb,
)
from shared.smtp.dots import BareLineEnd
from shared.smtp.outcome import Via
from shared.smtp.reply import Reply, local_reply
from shared.tls import describe_tls

READ_SIZE = 64 * 1024
PIECE = 256 * 1024  # octets of a large message read and sent at once


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds, RFC 5321 §4.5.3.2."""

    connect: float = 30.0
    greeting: float = 300.0
    command: float = 300.0
    data: float = 180.0
    end: float = 600.0

    def of(self, verb: Verb | None) -> float:
        """Return how long to wait for a reply."""
        match verb:
            case Verb.MAIL | Verb.RCPT | Verb.RSET:
                return self.command
            case Verb.DATA | None:
                return self.data
            case Verb.END:
                return self.end
            case _:
                return self.greeting


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """The context for STARTTLS or TLS from the start, and whether its failure may be followed by plain text."""

    context: ssl.SSLContext
    from_start: bool = False


class HostFailure(PacketboatError):
    """No session with this host: try the next one."""

    def __init__(self, hop: Hop, reply: Reply) -> None:
        super().__init__(f"{hop.host}[{hop.address}]:{hop.port}: {reply}")
        self.hop = hop
        self.reply = reply


class TlsFailure(HostFailure):
    """The TLS handshake failed."""


async def connect(hop: Hop, options: ClientOptions, timeouts: Timeouts, tls: TlsSettings) -> Connection:
    """Return a session that is ready; HostFailure if there is none.

    Where TLS is only an opportunity and fails, another connection is made without it.
    """
    try:
        return await _connect(hop, options, timeouts, tls)
    except TlsFailure:
        if options.tls is not TlsPolicy.OPPORTUNISTIC:
            raise
    return await _connect(hop, replace(options, tls=TlsPolicy.NEVER), timeouts, tls)


async def _connect(hop: Hop, options: ClientOptions, timeouts: Timeouts, tls: TlsSettings) -> Connection:
    context = tls.context if tls.from_start else None
    try:
        async with asyncio.timeout(timeouts.connect):
            reader, writer = await asyncio.open_connection(
                hop.address,
                hop.port,
                ssl=context,
                server_hostname=_server_name(hop) if context else None,
                limit=READ_SIZE,
            )
    except ssl.SSLError as error:
        raise TlsFailure(hop, _tls_reply(error)) from error
    except TimeoutError as error:
        raise HostFailure(hop, _lost(f"no answer within {timeouts.connect:g} s")) from error
    except OSError as error:
        raise HostFailure(hop, _lost(error.strerror or str(error))) from error
    connection = Connection(hop, replace(options, encrypted=tls.from_start), timeouts, reader, writer)
    try:
        await connection.get_ready(tls.context)
    except BaseException:
        connection.abort()
        raise
    return connection


class Connection:
    """A session over which letters are sent, one after the other."""

    def __init__(
        self,
        hop: Hop,
        options: ClientOptions,
        timeouts: Timeouts,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.hop = hop
        self.client = Client(options)
        self._timeouts = timeouts
        self._reader = reader
        self._writer = writer
        self.last_reply: Reply | None = None  # why the session ended
        self._letters: dict[object, Letter] = {}
        self._begun: dict[object, float] = {}  # when each was, by the loop's clock
        self._message = b""  # in wire form, to go out with what follows it
        self._tls = ""  # version and cipher
        self._loop = asyncio.get_running_loop()
        self._patience = 0.0  # until when, by the loop's clock, something has to come
        self._watch: asyncio.TimerHandle | None = None
        self._was_late = False
        raw: socket.socket | None = writer.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def is_over(self) -> bool:
        """Whether nothing more can be sent over it."""
        return self.client.is_over

    @property
    def offers_dsn(self) -> bool:
        """Whether the host takes over the notifications (RFC 3461)."""
        return "DSN" in self.client.extensions

    def via(self, letter: Letter) -> Via:
        """Return how a letter that has been reported went."""
        now = self._loop.time()
        seconds = now - self._begun.pop(letter.transaction, now)
        return Via(self.hop.address, self._tls, round(seconds, 3))

    async def get_ready(self, context: ssl.SSLContext) -> None:
        """Go through greeting, EHLO, STARTTLS and AUTH; HostFailure if that fails."""
        while self.client.state is not State.READY:
            for event in await self._events():
                if isinstance(event, StartTls):
                    await self._start_tls(context)
                elif isinstance(event, Over):
                    raise HostFailure(self.hop, event.reply)
        self._tls = describe_tls(self._writer.transport)

    async def send(
        self,
        letters: Iterable[Letter],
        report: Callable[[Letter, tuple[Reply, ...]], None],
        may_begin: Callable[[], bool],
    ) -> list[Letter]:
        """Send letters until they are all reported, the session ends or `may_begin` says no.

        Return those that weren't tried.
        """
        waiting = deque(letters)
        left: list[Letter] = []
        self._begin(waiting, report, may_begin)
        while self.client.open_transactions:
            for event in await self._events():
                match event:
                    case SendBody(transaction):
                        await self._send_body(self._letters[transaction], report)
                    case Finished(transaction, replies):
                        report(self._letters.pop(transaction), replies)
                    case Abandoned(transaction):
                        left.append(self._letters.pop(transaction))
                    case Over(reply):
                        self.last_reply = reply
            self._begin(waiting, report, may_begin)
        return [*left, *waiting]

    def close(self) -> None:
        """Say QUIT, if that makes sense, and close without waiting."""
        self.client.quit()
        self._flush()
        self._writer.close()
        self._stop_watching()

    def abort(self) -> None:
        """Close at once."""
        self._stop_watching()
        self._writer.transport.abort()

    def _begin(
        self,
        waiting: deque[Letter],
        report: Callable[[Letter, tuple[Reply, ...]], None],
        may_begin: Callable[[], bool],
    ) -> None:
        while waiting and self.client.can_begin and may_begin():
            if waiting[0].wire is None and self.client.open_transactions:
                return  # a large message may fail half-way: nobody else's reply must be lost with it
            letter = waiting.popleft()
            self._letters[letter.transaction] = letter
            self._begun[letter.transaction] = self._loop.time()
            for event in self.client.begin(letter.transaction):
                if isinstance(event, Finished):
                    report(self._letters.pop(event.transaction), event.replies)

    async def _send_body(self, letter: Letter, report: Callable[[Letter, tuple[Reply, ...]], None]) -> None:
        if letter.wire is not None:
            self._message = letter.wire
            self.client.message_sent()
            return
        try:
            await self._stream(letter)
        except PacketboatError as error:
            # the message can't be ended as if it were whole: the connection goes
            permanent = isinstance(error, BareLineEnd)
            reply = local_reply(554, "5.6.0", str(error)) if permanent else local_reply(451, "4.3.0", str(error))
            self.abort()
            self.client.connection_lost(str(error))
            report(self._letters.pop(letter.transaction), (reply,) * len(letter.recipients))

    async def _stream(self, letter: Letter) -> None:
        position = 0
        while position < letter.reference.size:
            piece = await asyncio.to_thread(letter.read, position, PIECE)
            position += len(piece)
            self._writer.write(self.client.encode(piece))
            if not await self._drained():
                return
        self._writer.write(self.client.end_of_data())

    async def _drained(self) -> bool:
        """Wait until the host takes more; False if it is gone: its last words are read as events then."""
        try:
            async with asyncio.timeout(self._timeouts.data):
                await self._writer.drain()
        except TimeoutError:
            self.abort()
            return False
        except OSError:
            return False
        return True

    async def _events(self) -> list[Event]:
        """Send what is to be sent and wait for what it gives."""
        self._flush()
        self._be_patient(self._timeouts.of(self.client.awaited))
        try:
            while True:
                data = await self._reader.read(READ_SIZE)
                if not data:
                    return self._lose("the host closed the connection")
                events = self.client.receive(data)
                self._flush()
                if events:
                    return events
        except OSError as error:
            self.abort()
            return self._lose(f"lost connection ({error.strerror or error})")
        finally:
            self._patience = math.inf

    def _lose(self, why: str) -> list[Event]:
        return self.client.connection_lost("no answer in time" if self._was_late else why)

    def _be_patient(self, seconds: float) -> None:
        """Close the connection if nothing has come in so many seconds: one timer, which looks again at its end.

        An `asyncio.timeout` for each wait took a tenth of what a message cost.
        """
        self._patience = self._loop.time() + seconds
        if self._watch is None or self._watch.when() > self._patience:
            self._look_later(seconds)

    def _look_later(self, seconds: float) -> None:
        self._stop_watching()
        self._watch = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._watch = None
        left = self._patience - self._loop.time()
        if left <= 0:
            self._was_late = True
            self.abort()
        elif left < math.inf:
            self._look_later(left)

    def _stop_watching(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _flush(self) -> None:
        """Send all that there is at once.

        If a message and the next one's envelope went out apart, Nagle's algorithm at a host that has answered
        to the first would keep back its answers to the second until our delayed acknowledgement: 40 ms each.
        """
        data = self._message + self.client.outgoing()
        if data:
            self._message = b""
            self._writer.write(data)

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await self._writer.start_tls(context, server_hostname=_server_name(self.hop))
        except (ssl.SSLError, OSError, TimeoutError) as error:
            raise TlsFailure(self.hop, _tls_reply(error)) from error
        self.client.tls_started()


def _server_name(hop: Hop) -> str:
    """The name for SNI and the certificate; of an address literal the address."""
    return hop.address if hop.host.startswith("[") else hop.host


def _lost(why: str) -> Reply:
    return local_reply(451, "4.4.1", f"can't connect: {why}")


def _tls_reply(error: Exception) -> Reply:
    return local_reply(451, "4.7.5", f"TLS failed: {error or type(error).__name__}")
