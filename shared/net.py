"""Listeners, TLS and connection limits that the services which accept connections have in common."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from shared import proxy
from shared.errors import ConfigurationError
from shared.sasl.channel import end_point

BACKLOG = 1024  # connections that the kernel keeps for each listener until they are accepted
ACCEPT_BATCH = 100  # connections taken before other work of the loop gets its turn
ACCEPT_PAUSE = 1.0  # seconds without accepting when the process has no descriptors left
HANDSHAKE_TIME = 30.0  # seconds that a client has for its part of a TLS handshake
MAX_HANDSHAKES = 500  # unfinished ones of one listener with implicit TLS
MAX_HANDSHAKES_PER_IP = 50
TLS_RECHECK = 1.0  # seconds between two looks at a certificate's files
MAX_SNI_LABELS = 10  # labels of a client's server name that are tried against our domains
IPV6_PREFIX = 64  # bits: what one IPv6 customer has is counted as one address

PROXY_TIME = 5.0  # seconds that a proxy has to say whose connection it is
REMEMBERED_CLIENTS = 4_096  # addresses of which it is known whether a network has them
MAX_OPENING = 1000  # connections of one listener that wait for that, or for the end of a handshake

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


@runtime_checkable
class Proxied(Protocol):
    """A protocol whose connections may come through a TCP proxy."""

    def came_from(self, ip: str) -> None:
        """Take the client's address, which isn't the transport's; called before `connection_made`."""


class Networks:
    """A set of IPv4 and IPv6 networks."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._holds = lru_cache(REMEMBERED_CLIENTS)(self._is_inside)  # to understand an address takes 15 µs

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, ip: str) -> bool:
        return bool(self._networks) and self._holds(ip)

    def _is_inside(self, ip: str) -> bool:
        address = ipaddress.ip_address(ip.partition("%")[0])
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return any((mapped or address) in network for network in self._networks)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a port to listen on; port 0 asks the system for a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self.host).is_loopback


def parse_listen(addresses: Iterable[str], port: int) -> tuple[Endpoint, ...]:
    """Return an endpoint for each IPv4 or IPv6 address, brackets allowed; ConfigurationError names a bad one."""
    endpoints = [Endpoint(_parse_host(address), port) for address in addresses]
    if not endpoints:
        raise ConfigurationError("listen: name at least one address")
    return tuple(dict.fromkeys(endpoints))


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


def bind(endpoint: Endpoint) -> socket.socket:
    """Return a bound socket with SO_REUSEPORT, not listening yet; ConfigurationError says why it can't be."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        bound = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(f"can't listen on {endpoint}: {error.strerror}") from None
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4 has its own listener
        bound.bind((endpoint.host, endpoint.port))
    except OSError as error:
        bound.close()
        raise ConfigurationError(f"can't listen on {endpoint}: {error.strerror}") from None
    return bound


class TlsContexts:
    """Certificates by server name; a changed file is used from the next handshake on, open sessions stay.

    `server` is the context for listeners and STARTTLS: it picks the certificate at each handshake.
    A file that changes into something unusable is reported once and the last good certificate kept.
    """

    def __init__(
        self,
        certificate: Path,
        key: Path,
        sni: Path | None = None,
        *,
        report: Callable[[str], None] = lambda problem: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load everything; ConfigurationError with one line for what is missing, unreadable or mismatched."""
        self._clock = clock
        self._report = report
        self._problems: dict[str, str] = {}
        self._default = _Pair(certificate, key, report, clock)
        self._folder = sni
        self._folder_checked = clock()
        self._domains = {name: self._pair(name) for name in _names(sni)} if sni is not None else {}
        self.server = _server_context()
        self.server.sni_callback = self._choose

    def context_for(self, name: str | None) -> ssl.SSLContext:
        """Return the context for a server name: that domain's, a parent domain's, or the default one."""
        self._rescan()
        labels = name.lower().rstrip(".").split(".") if name and self._domains else []
        for start in range(min(len(labels), MAX_SNI_LABELS)):
            pair = self._domains.get(".".join(labels[start:]))
            if pair is not None:
                return pair.context()
        return self._default.context()

    def _choose(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self.context_for(name)

    def _rescan(self) -> None:
        """Follow domains that came to the folder or left it."""
        now = self._clock()
        if self._folder is None or now - self._folder_checked < TLS_RECHECK:
            return
        self._folder_checked = now
        try:
            names = _names(self._folder)
        except ConfigurationError as error:
            self._tell("", str(error))
            return
        self._domains = {name: pair for name, pair in self._domains.items() if name in names}
        self._problems = {name: text for name, text in self._problems.items() if name in names}
        for name in names - self._domains.keys():
            self._add(name)

    def _add(self, name: str) -> None:
        try:
            self._domains[name] = self._pair(name)
        except ConfigurationError as error:  # its key may be on its way: tried again at the next look
            self._tell(name, str(error))

    def _tell(self, name: str, problem: str) -> None:
        if self._problems.get(name) != problem:
            self._problems[name] = problem
            self._report(problem)

    def _pair(self, name: str) -> _Pair:
        assert self._folder is not None
        return _Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key", self._report, self._clock)


class ConnectionGate:
    """Counts open connections in all and per address, IPv6 by /64; every acquire that says yes needs a release."""

    def __init__(self, total: int, per_ip: int) -> None:
        self.total = total
        self.per_ip = per_ip
        self.open = 0
        self._by_network: dict[str, int] = {}

    def acquire(self, ip: str) -> bool:
        """Count a connection in; False, and nothing counted, if that would be one too many."""
        network = network_of(ip)
        count = self._by_network.get(network, 0)
        if self.open >= self.total or count >= self.per_ip:
            return False
        self.open += 1
        self._by_network[network] = count + 1
        return True

    def release(self, ip: str) -> None:
        """Count a connection out."""
        network = network_of(ip)
        count = self._by_network[network]
        self.open -= 1
        if count == 1:
            del self._by_network[network]
        else:
            self._by_network[network] = count - 1


@lru_cache(maxsize=4096)
def network_of(ip: str) -> str:
    """Return what an address is counted under: an IPv4 address itself, an IPv6 one's /64."""
    if ":" not in ip:
        return ip
    address = ipaddress.IPv6Address(ip.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, IPV6_PREFIX), strict=False))


def peer_ip(transport: asyncio.BaseTransport) -> str:
    """Return the client's address as text, "" when it has gone already."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if peer else ""


def describe_tls(transport: asyncio.BaseTransport) -> str:
    """Return a connection's TLS version and cipher as `TLSv1.3 TLS_AES_256_GCM_SHA384`, "" without TLS."""
    cipher = transport.get_extra_info("cipher")
    return f"{cipher[1]} {cipher[0]}" if cipher else ""


class _Pair:
    """One certificate with its key, loaded again when a file changes."""

    def __init__(self, certificate: Path, key: Path, report: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._certificate = certificate
        self._key = key
        self._report = report
        self._clock = clock
        self._problem = ""
        self._checked = clock()
        self._stamp = self._read_stamp()
        self._context = load_context(certificate, key)

    def context(self) -> ssl.SSLContext:
        now = self._clock()
        if now - self._checked >= TLS_RECHECK:
            self._checked = now
            self._reload()
        return self._context

    def _reload(self) -> None:
        """Take changed files, but only as a working pair: the key may be written after the certificate."""
        try:
            stamp = self._read_stamp()
            if stamp == self._stamp:
                return
            self._context = load_context(self._certificate, self._key)
        except ConfigurationError as error:
            if str(error) != self._problem:
                self._problem = str(error)
                self._report(self._problem)
            return
        self._stamp, self._problem = stamp, ""

    def _read_stamp(self) -> tuple[tuple[int, int, int], ...]:
        return tuple(_file_stamp(path) for path in (self._certificate, self._key))


def load_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a server context for a PEM certificate chain and its key; ConfigurationError with one line."""
    context = _server_context()
    for path in (certificate, key):
        _check_readable(path)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(f"TLS: {key} is not the key of {certificate}") from None
        raise ConfigurationError(f"TLS: {certificate} and {key} are not a PEM certificate and key") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"TLS: can't use {certificate} with {key}: {error}") from None
    context.end_point = end_point(_leaf(certificate))
    return context


def _leaf(certificate: Path) -> bytes:
    """Return the first certificate of a PEM file, in DER."""
    _, _, rest = certificate.read_text(encoding="ascii", errors="replace").partition("-----BEGIN CERTIFICATE-----")
    body, end, _ = rest.partition("-----END CERTIFICATE-----")
    return ssl.PEM_cert_to_DER_cert(f"-----BEGIN CERTIFICATE-----{body}{end}\n") if end else b""


class ServerContext(ssl.SSLContext):
    """A server's context that knows the `tls-server-end-point` binding of its certificate (RFC 5929)."""

    end_point: bytes | None = None


def channel_bindings(transport: asyncio.BaseTransport | None) -> dict[str, bytes]:
    """Return what SASL can bind to on a connection, by type (RFC 5929): nothing without TLS, nor with TLS 1.3.

    There clients that see -PLUS insist on `tls-exporter` (RFC 9266), which Python's ssl can't compute.
    """
    connection = transport.get_extra_info("ssl_object") if transport is not None else None
    if connection is None or connection.version() != "TLSv1.2":
        return {}
    context, found = connection.context, {}
    if isinstance(context, ServerContext) and context.end_point is not None:
        found["tls-server-end-point"] = context.end_point
    if unique := connection.get_channel_binding("tls-unique"):
        found["tls-unique"] = unique
    return found


def _server_context() -> ServerContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted; decrypt it first")  # OpenSSL would ask at the terminal


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ConfigurationError(f"TLS: can't read {path}: {error.strerror}") from None


def _file_stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = os.stat(path)
    except OSError as error:
        raise ConfigurationError(f"TLS: can't read {path}: {error.strerror}") from None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _names(folder: Path) -> set[str]:
    try:
        return {path.stem for path in folder.iterdir() if path.suffix == ".crt"}
    except OSError as error:
        raise ConfigurationError(f"TLS: can't read {folder}: {error.strerror}") from None


def _parse_host(text: str) -> str:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        raise ConfigurationError(f"listen: {text!r} is not an IPv4 or IPv6 address") from None
