"""One client's connection: TLS, limits, back-pressure and time; what is said on it is its session's business.

There is no task while a client is silent: octets that arrive (or a mailbox that changes under IDLE) start
one, which ends when everything is answered. A client that doesn't read stops it in `drain`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum, auto
from typing import Any, Protocol, cast

from services.access.desk import Desk
from services.access.limits import CLOSING_TIME, FAIR_SHARE, INPUT_HIGH, OUTPUT_HIGH, OUTPUT_LOW, TLS_TIME
from shared.net import peer_ip
from shared.sasl.mechanisms import offered
from shared.tls import channel_bindings

JOINED = 1024  # octets of a piece on average, below which one copy of all costs less than a vector


class Goodbye(Enum):
    """Why the server ends a session."""

    TIMEOUT = auto()
    SHUTDOWN = auto()
    FULL = auto()  # too many connections


class Session(Protocol):
    """A protocol's side of a connection."""

    @property
    def pending(self) -> int:
        """Octets fed and not yet used."""

    def greet(self) -> None:
        """Send the greeting."""

    def feed(self, data: bytes) -> None:
        """Take octets."""

    async def work(self) -> None:
        """Answer what has been fed; return when there is nothing to do."""

    def say_goodbye(self, why: Goodbye) -> None:
        """Tell the client that the connection will be closed."""

    def closed(self) -> None:
        """Give back what the session holds."""


class Connection(asyncio.Protocol):
    """One client; small, since thousands of them idle."""

    __slots__ = (
        "_closing",
        "_counted",
        "_desk",
        "_eof",
        "_loop",
        "_lost",
        "_make_session",
        "_not_reading",
        "_paused",
        "_resumed",
        "_session",
        "_task",
        "_transport",
        "deadline",
        "ip",
        "is_tls",
        "winding_down",
    )

    def __init__(self, desk: Desk, make_session: Callable[[Desk, Connection], Session], is_tls: bool) -> None:
        self._desk = desk
        self._make_session = make_session
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._resumed: asyncio.Future[None] | None = None
        self._paused = False  # the client doesn't read
        self._not_reading = False  # we don't
        self._counted = False
        self._closing = False
        self._eof = False
        self._lost = False
        self.is_tls = is_tls
        if is_tls:
            desk.buffers.tls_begins(self._loop)
        self.winding_down = False
        self.ip = ""
        self.deadline = 0.0

    def came_from(self, ip: str) -> None:
        """Take the client's address from a proxy."""
        self.ip = ip

    @property
    def bindings(self) -> dict[str, bytes]:
        """What SASL can bind to, by type (RFC 5929)."""
        return channel_bindings(self._transport)

    @property
    def mechanisms(self) -> tuple[bytes, ...]:
        """The SASL mechanisms that this connection can have, best first."""
        return offered(self._desk.mechanisms, self.bindings)

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=OUTPUT_HIGH, low=OUTPUT_LOW)
        self.ip = self.ip or peer_ip(transport)
        self._session = self._make_session(self._desk, self)
        self._counted = bool(self.ip) and self._desk.gate.acquire(self.ip)
        self._desk.connections.add(self)
        if not self._counted:
            self._session.say_goodbye(Goodbye.FULL)
            self.close()
            return
        self.expect_within(self._desk.limits.login_time)
        self._session.greet()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._session.feed(data)
        if self._task is None:
            self.wake()
        elif self._session.pending > INPUT_HIGH and not self._not_reading:
            self._not_reading = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Answer what a client sent before it closed its half; TLS knows no halves."""
        self._eof = True
        if self._task is None:
            self.close()
        return not self.is_tls

    def pause_writing(self) -> None:
        self._paused = True
        if not self._closing:
            self.expect_within(self._desk.limits.stalled_time)

    def resume_writing(self) -> None:
        self._paused = False
        if not self._closing:
            self.expect_within(self._desk.limits.stalled_time)
        if self._resumed is not None and not self._resumed.done():
            self._resumed.set_result(None)
        elif self._task is None:
            self.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._lost = True
        self._desk.connections.discard(self)
        if self._counted:
            self._counted = False
            self._desk.gate.release(self.ip)
        if self._task is not None:
            self._task.cancel()
        else:
            self._session.closed()

    # What a session calls

    def write(self, data: bytes) -> None:
        """Send octets; `drain` before making many more."""
        if not self._closing:
            self._transport.write(data)

    def write_all(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Send many pieces, long ones without a copy of all; TLS would make a record of each."""
        if self._closing:
            return
        if self.is_tls or sum(map(len, pieces)) < JOINED * len(pieces):
            self._transport.write(b"".join(pieces))
        else:
            self._transport.writelines(pieces)

    @property
    def is_closing(self) -> bool:
        """True once nothing more can be said."""
        return self._closing

    async def drain(self) -> None:
        """Wait until the client has read most of what was sent."""
        while self._paused and not self._closing:
            self._resumed = self._loop.create_future()
            await self._resumed
            self._resumed = None

    def expect_within(self, seconds: float) -> None:
        """End the session unless the client does something in time."""
        self.deadline = self._loop.time() + seconds

    def wake(self) -> None:
        """Have the session look for work, unless it works already."""
        if self._task is None and not self._closing and not self._paused:
            self._task = self._loop.create_task(self._work())

    async def start_tls(self) -> None:
        """Shake hands; OSError (ssl.SSLError too) when that fails."""
        self._desk.buffers.tls_begins(self._loop)
        upgraded = await self._loop.start_tls(
            self._transport, self, self._desk.tls.server, server_side=True, ssl_handshake_timeout=TLS_TIME
        )
        if upgraded is None:
            raise ConnectionResetError("closed during the TLS handshake")
        self._transport = upgraded
        self._transport.set_write_buffer_limits(high=OUTPUT_HIGH, low=OUTPUT_LOW)
        self.is_tls = True

    def close(self) -> None:
        """Send what waits and close."""
        if not self._closing:
            self._closing = True
            self.expect_within(CLOSING_TIME)
            self._transport.close()

    def cut_off(self) -> None:
        """Close at once: the client can't be told anything any more."""
        self._closing = True
        self._transport.abort()

    # What the worker calls

    def check(self, now: float) -> None:
        """End a session whose client was silent, or didn't read, for too long; `now` by the loop's clock."""
        if now < self.deadline:
            return
        if self._closing or self._paused:
            self.cut_off()
        elif self._task is None:
            self._end(Goodbye.TIMEOUT)

    def wind_down(self) -> None:
        """End the session now, or after the command that is under way."""
        self.winding_down = True
        if self._task is None:
            self._end(Goodbye.SHUTDOWN)

    def end_of_work(self) -> bool:
        """Say whether to stop working: the session then has said goodbye if it has to."""
        if self.winding_down and not self._closing:
            self._end(Goodbye.SHUTDOWN)
        return self._closing

    async def answer_all(self, next_event: Callable[[], Any], handle: Callable[[Any], Awaitable[None]]) -> None:
        """Handle what a session's buffer holds, as fast as the client reads the answers, and fairly to others."""
        handled = 0
        while not self.end_of_work():
            event = next_event()
            if event is None:
                break
            await handle(event)
            await self.drain()
            handled += 1
            if handled % FAIR_SHARE == 0:
                await asyncio.sleep(0)

    def _end(self, why: Goodbye) -> None:
        if not self._closing:
            self._session.say_goodbye(why)
            self.close()

    async def _work(self) -> None:
        try:
            await self._session.work()
        except OSError:
            self.cut_off()
        except Exception as error:  # noqa: BLE001 - one session's trouble must not become another's
            self._desk.log.trouble("session failed", ip=self.ip, error=repr(error), exc_info=error)
            self.cut_off()
        finally:
            self._task = None
            if self._lost:
                self._session.closed()
            elif self._eof:
                self.close()
            self._go_on_reading()

    def _go_on_reading(self) -> None:
        if self._not_reading and not self._closing:
            self._not_reading = False
            self._transport.resume_reading()
