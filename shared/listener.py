"""Listeners: sockets that give each connection to a protocol, after its PROXY header and TLS handshake."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

from shared import proxy
from shared.net import ConnectionGate, Endpoint, Networks, bind
from shared.tls import TlsContexts

BACKLOG = 1024  # connections that the kernel keeps for each listener until they are accepted
ACCEPT_BATCH = 100  # connections taken before other work of the loop gets its turn
ACCEPT_PAUSE = 1.0  # seconds without accepting when the process has no descriptors left
HANDSHAKE_TIME = 30.0  # seconds that a client has for its part of a TLS handshake
MAX_HANDSHAKES = 500  # unfinished ones of one listener with implicit TLS
MAX_HANDSHAKES_PER_IP = 50
PROXY_TIME = 5.0  # seconds that a proxy has to say whose connection it is
MAX_OPENING = 1000  # connections of one listener that wait for that, or for the end of a handshake

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


@runtime_checkable
class Proxied(Protocol):
    """A protocol whose connections may come through a TCP proxy."""

    def came_from(self, ip: str) -> None:
        """Take the client's address, which isn't the transport's; called before `connection_made`."""


class Listener:
    """Bound sockets that give each connection to a protocol from the factory; every worker binds its own."""

    def __init__(self, servers: Sequence[asyncio.Server | Acceptor]) -> None:
        self._servers = servers

    @classmethod
    async def open(
        cls,
        endpoints: Iterable[Endpoint],
        factory: ProtocolFactory,
        *,
        tls: TlsContexts | None = None,
        proxies: Networks | None = None,
        report: Callable[[str], None] = lambda problem: None,
        backlog: int = BACKLOG,
    ) -> Listener:
        """Bind with SO_REUSEPORT and accept; `tls` makes it implicit TLS. ConfigurationError if it can't.

        Connections from `proxies` begin with a PROXY header, or are closed and reported; `factory` then makes
        protocols that are `Proxied`.
        """
        loop = asyncio.get_running_loop()
        servers: list[asyncio.Server | Acceptor] = []
        try:
            for endpoint in endpoints:
                bound = bind(endpoint)
                if tls is None and not proxies:
                    servers.append(await loop.create_server(factory, sock=bound, backlog=backlog))
                else:
                    servers.append(Acceptor(bound, factory, tls, proxies or Networks(()), report, backlog))
        except BaseException:
            for server in servers:
                server.close()
            raise
        return cls(servers)

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where it listens really: port 0 replaced by the port that the system gave."""
        names = [bound.getsockname() for server in self._servers for bound in server.sockets]
        return [Endpoint(name[0], name[1]) for name in names]

    def close(self) -> None:
        """Accept no more; connections that are open stay open."""
        for server in self._servers:
            server.close()


class Acceptor:
    """Accepts what begins with something else than the protocol: a PROXY header, implicit TLS, or both.

    The loop's own server would hold any number of handshakes that never end. A protocol hears of a connection
    when its handshake is done, and counts it from then on.
    """

    def __init__(
        self,
        bound: socket.socket,
        factory: ProtocolFactory,
        tls: TlsContexts | None,
        proxies: Networks,
        report: Callable[[str], None],
        backlog: int,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = bound
        self._factory = factory
        self._tls = tls
        self._proxies = proxies
        self._report = report
        self._handshakes = ConnectionGate(MAX_HANDSHAKES, MAX_HANDSHAKES_PER_IP)
        self._tasks: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        bound.listen(backlog)
        self._loop.add_reader(bound, self._accept)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening socket, none once it is closed."""
        return (self._socket,) if self._socket.fileno() >= 0 else ()

    def close(self) -> None:
        """Accept no more and give up unfinished handshakes."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        if self._retry is not None:
            self._retry.cancel()
        for task in self._tasks:
            task.cancel()

    def _accept(self) -> None:
        for _ in range(ACCEPT_BATCH):
            try:
                connection, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # out of descriptors or memory: leave the kernel's queue alone for a while
                self._loop.remove_reader(self._socket)
                self._retry = self._loop.call_later(ACCEPT_PAUSE, self._loop.add_reader, self._socket, self._accept)
                return
            if len(self._tasks) >= MAX_OPENING:
                connection.close()
                continue
            task = self._loop.create_task(self._open(connection, address[0]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self, connection: socket.socket, ip: str) -> None:
        connection.setblocking(False)
        try:
            told = await self._ask_proxy(connection) if ip in self._proxies else ""
            if self._tls is None:
                await self._loop.connect_accepted_socket(partial(self._protocol, told), connection)
            else:
                await self._shake_hands(connection, told, ip, self._tls)
        except OSError:  # not TLS, no version in common, too slow, gone: SSLError and TimeoutError are OSErrors
            connection.close()
        except proxy.BadHeader as error:
            connection.close()
            self._report(f"the proxy {ip} sent no PROXY header: {error}")

    async def _ask_proxy(self, connection: socket.socket) -> str:
        """Return the client's address, "" if the proxy speaks for itself; BadHeader, OSError."""
        header = proxy.Header()
        async with asyncio.timeout(PROXY_TIME):
            while header.peer is None:
                octets = await self._loop.sock_recv(connection, header.wanted)
                if not octets:
                    raise ConnectionResetError("closed before the PROXY header's end")
                header.feed(octets)
        return header.peer.address

    async def _shake_hands(self, connection: socket.socket, told: str, ip: str, tls: TlsContexts) -> None:
        if not self._handshakes.acquire(told or ip):
            connection.close()
            return
        try:
            await self._loop.connect_accepted_socket(
                partial(self._protocol, told), connection, ssl=tls.server, ssl_handshake_timeout=HANDSHAKE_TIME
            )
        finally:
            self._handshakes.release(told or ip)

    def _protocol(self, told: str) -> asyncio.BaseProtocol:
        protocol = self._factory()
        if told:
            assert isinstance(protocol, Proxied)
            protocol.came_from(told)
        return protocol
