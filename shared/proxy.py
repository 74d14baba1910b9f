"""The PROXY protocol, versions 1 and 2: how a TCP proxy tells whose connection it passes on.

`Header` says how many octets it wants next and never more than the header has, so that what follows (a TLS
handshake, say) stays in the socket. The specification is HAProxy's doc/proxy-protocol.txt; sections are its.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from shared.errors import PacketboatError

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"  # §2.2, 12 octets; no version 1 header is shorter
PREFIX = b"PROXY "  # §2.1
MAX_LINE = 107  # octets of a version 1 header with its CRLF (§2.1)
MAX_BODY = 2048  # octets of a version 2 header beyond its first 16: addresses and extensions
FIXED = 16  # octets: signature, version and command, family, length

_LOCAL, _PROXY = 0x20, 0x21  # version 2 and the command
_TCP4, _TCP6 = 0x11, 0x21  # address family and transport
_ADDRESSES = {_TCP4: 4, _TCP6: 16}  # octets of one address
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
_FAMILIES: dict[bytes, type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]] = {
    b"TCP4": ipaddress.IPv4Address,
    b"TCP6": ipaddress.IPv6Address,
}


class BadHeader(PacketboatError):
    """What a proxy sent is no PROXY header: the connection must be closed (§2)."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other side: `address` is "" if it is the proxy itself, such as for a health check."""

    address: str
    port: int


class Header:
    """A header that arrives in pieces."""

    def __init__(self) -> None:
        self._data = b""
        self._peer: Peer | None = None

    @property
    def peer(self) -> Peer | None:
        """Who connects; None until the header is whole."""
        return self._peer

    @property
    def wanted(self) -> int:
        """How many octets to feed next at most: at least 1 until the header is whole, then 0."""
        data = self._data
        if self._peer is not None:
            return 0
        if len(data) < len(SIGNATURE):
            return len(SIGNATURE) - len(data)
        if not data.startswith(SIGNATURE):
            return 1 if data.endswith(b"\r") else 2  # CR LF at least
        if len(data) < FIXED:
            return FIXED - len(data)
        return FIXED + _length(data) - len(data)

    def feed(self, octets: bytes) -> None:
        """Take at most `wanted` octets; BadHeader as soon as it can't become a header."""
        if len(octets) > self.wanted:
            raise ValueError("more than wanted")
        self._data += octets
        data = self._data
        if SIGNATURE.startswith(data[: len(SIGNATURE)]):
            self._check_binary()
        elif PREFIX.startswith(data[: len(PREFIX)]):
            self._check_line()
        else:
            raise BadHeader("neither version of the PROXY protocol")

    def _check_line(self) -> None:
        if self._data.endswith(b"\r\n"):
            self._peer = parse_line(self._data)
        elif len(self._data) >= MAX_LINE or b"\n" in self._data:
            raise BadHeader("a version 1 header without its end")

    def _check_binary(self) -> None:
        data = self._data
        if len(data) < FIXED:
            return
        if data[12] not in (_LOCAL, _PROXY):
            raise BadHeader(f"version and command {data[12]:#x}")
        if _length(data) > MAX_BODY:
            raise BadHeader(f"{_length(data)} octets of addresses")
        if len(data) == FIXED + _length(data):
            self._peer = parse_binary(data)


def parse_line(line: bytes) -> Peer:
    """Read a whole version 1 header: `PROXY TCP4 CLIENT SERVER PORT PORT CRLF` (§2.1)."""
    words = line[:-2].split(b" ")
    if words[:2] == [b"PROXY", b"UNKNOWN"]:
        return Peer("", 0)
    if len(words) != 6 or words[0] != b"PROXY" or words[1] not in _FAMILIES:
        raise BadHeader("a malformed version 1 header")
    try:
        client, _ = (_FAMILIES[words[1]](word.decode("ascii")) for word in words[2:4])
    except ValueError:  # UnicodeDecodeError is one
        raise BadHeader("a malformed address") from None
    ports = [int(word) for word in words[4:6] if _PORT.fullmatch(word)]
    if len(ports) != 2 or max(ports) > 65535:
        raise BadHeader("a malformed port")
    return Peer(_text(client), ports[0])


def parse_binary(data: bytes) -> Peer:
    """Read a whole version 2 header; extensions (TLVs) are ignored (§2.2)."""
    size = _ADDRESSES.get(data[13])
    if data[12] == _LOCAL or size is None:  # UNSPEC, UDP or a Unix socket: the connection's own address (§2.2)
        return Peer("", 0)
    if len(data) < FIXED + 2 * size + 4:
        raise BadHeader("too short for its addresses")
    port = int.from_bytes(data[FIXED + 2 * size : FIXED + 2 * size + 2], "big")
    packed = data[FIXED : FIXED + size]
    return Peer(_text(ipaddress.IPv4Address(packed) if size == 4 else ipaddress.IPv6Address(packed)), port)


def _length(data: bytes) -> int:
    return int.from_bytes(data[14:16], "big")


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """Write an address as everything else does: without a zone, IPv4 as IPv4 also when it came as IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if address.scope_id is not None:
            raise BadHeader("an address with a zone")
    return str(address)
