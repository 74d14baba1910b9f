"""Addresses: where to listen, which networks a client is in, how many connections one may have."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from shared.errors import ConfigurationError

IPV6_PREFIX = 64  # bits: what one IPv6 customer has is counted as one address
REMEMBERED_CLIENTS = 4_096  # addresses of which it is known whether a network has them


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


def _parse_host(text: str) -> str:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        raise ConfigurationError(f"listen: {text!r} is not an IPv4 or IPv6 address") from None
