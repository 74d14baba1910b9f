"""The PROXY protocol: headers whole and byte by byte, and a listener behind a proxy."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from shared import net
from shared.listener import Listener
from shared.net import Endpoint, Networks
from shared.proxy import MAX_BODY, SIGNATURE, BadHeader, Header, Peer


def binary(command: int, family: int, addresses: bytes, extensions: bytes = b"") -> bytes:
    body = addresses + extensions
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(body)) + body


V4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("10.0.0.1") + struct.pack("!HH", 4711, 25)
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(16) + struct.pack("!HH", 4712, 25)
MAPPED = socket.inet_pton(socket.AF_INET6, "::ffff:192.0.2.7") + bytes(16) + struct.pack("!HH", 4713, 25)

GOOD = {
    b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 25\r\n": Peer("192.0.2.7", 4711),
    b"PROXY TCP6 2001:db8::7 ::1 4712 25\r\n": Peer("2001:db8::7", 4712),
    b"PROXY TCP6 ::ffff:192.0.2.7 ::1 4713 25\r\n": Peer("192.0.2.7", 4713),
    b"PROXY UNKNOWN\r\n": Peer("", 0),
    b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n": Peer("", 0),
    binary(0x21, 0x11, V4): Peer("192.0.2.7", 4711),
    binary(0x21, 0x11, V4, b"\x04\x00\x03abc"): Peer("192.0.2.7", 4711),
    binary(0x21, 0x21, V6): Peer("2001:db8::7", 4712),
    binary(0x21, 0x21, MAPPED): Peer("192.0.2.7", 4713),
    binary(0x20, 0x00, b""): Peer("", 0),
    binary(0x20, 0x11, V4): Peer("", 0),
    binary(0x21, 0x31, bytes(216)): Peer("", 0),
}
BAD = (
    b"EHLO client.test\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 04711 25\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 65536 25\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 -1 25\r\n",
    b"PROXY TCP4 192.0.2.777 10.0.0.1 1 25\r\n",
    b"PROXY TCP4 2001:db8::7 ::1 1 25\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 1 25\r\n",
    b"PROXY TCP4  192.0.2.7 10.0.0.1 1 25\r\n",
    b"PROXY tcp4 192.0.2.7 10.0.0.1 1 25\r\n",
    b"PROXY UDP4 192.0.2.7 10.0.0.1 1 25\r\n",
    b"PROXY TCP4 192.0.2.7 10.0.0.1 1 25\n\r\n",
    b"PROXY " + b"A" * 200,
    b"PROXY UNKNOWN " + b"A" * 200 + b"\r\n",
    SIGNATURE + b"\x11\x11\x00\x0c" + V4,
    SIGNATURE + b"\x22\x11\x00\x0c" + V4,
    SIGNATURE + b"\x21\x11" + struct.pack("!H", MAX_BODY + 1),
    SIGNATURE + b"\x21\x11\x00\x04" + V4[:4],
)


def read(octets: bytes, most: int) -> tuple[Peer | None, bytes]:
    """Feed as a socket would be read, at most `most` octets a time; return what is left, too."""
    header = Header()
    while header.peer is None and octets:
        size = min(header.wanted, most)
        assert size > 0
        header.feed(octets[:size])
        octets = octets[size:]
    return header.peer, octets


@pytest.mark.parametrize("most", [1, 3, 10_000])
@pytest.mark.parametrize("octets", GOOD)
def test_good_headers_leave_what_follows_alone(octets: bytes, most: int) -> None:
    assert read(octets + b"EHLO", most) == (GOOD[octets], b"EHLO")


@pytest.mark.parametrize("most", [1, 3, 10_000])
@pytest.mark.parametrize("octets", BAD)
def test_bad_headers_are_refused(octets: bytes, most: int) -> None:
    with pytest.raises(BadHeader):
        read(octets, most)


@pytest.mark.parametrize("octets", GOOD)
def test_a_torn_header_is_none(octets: bytes) -> None:
    for end in range(len(octets)):
        assert read(octets[:end], 10_000)[0] is None


class Echo(asyncio.Protocol):
    """Tells where a connection came from, then repeats."""

    def __init__(self) -> None:
        self.ip = ""

    def came_from(self, ip: str) -> None:
        self.ip = ip

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(f"{self.ip or net.peer_ip(transport)}\n".encode())

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def talk(proxies: list[str], said: bytes) -> tuple[bytes, list[str]]:
    """Send to a listener; return its answer until it closes or has repeated `hello`, and what was reported."""
    reports: list[str] = []
    listener = await Listener.open([Endpoint("127.0.0.1", 0)], Echo, proxies=Networks(proxies), report=reports.append)
    place = listener.endpoints[0]
    reader, writer = await asyncio.open_connection(place.host, place.port)
    answer = b""
    try:
        writer.write(said + b"hello\n")
        async with asyncio.timeout(5):
            while not answer.endswith(b"hello\n") and (line := await reader.readline()):
                answer += line
    except ConnectionResetError:
        pass
    finally:
        writer.close()
        listener.close()
    return answer, reports


async def test_a_listener_believes_its_proxy() -> None:
    answer, reports = await talk(["127.0.0.0/8"], binary(0x21, 0x21, V6))
    assert answer == b"2001:db8::7\nhello\n"
    assert not reports


async def test_a_proxy_may_speak_for_itself() -> None:
    assert (await talk(["127.0.0.1/32"], binary(0x20, 0, b"")))[0] == b"127.0.0.1\nhello\n"


async def test_nobody_else_is_believed() -> None:
    header = b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 25\r\n"
    assert (await talk(["10.0.0.0/8"], header))[0] == b"127.0.0.1\n" + header + b"hello\n"


async def test_a_proxy_without_a_header_is_refused_and_reported() -> None:
    answer, reports = await talk(["127.0.0.0/8"], b"EHLO client.test\r\n")
    assert answer == b""
    assert len(reports) == 1 and "127.0.0.1" in reports[0]


async def test_a_silent_proxy_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.listener.PROXY_TIME", 0.05)
    listener = await Listener.open([Endpoint("127.0.0.1", 0)], Echo, proxies=Networks(["127.0.0.0/8"]))
    reader, writer = await asyncio.open_connection(listener.endpoints[0].host, listener.endpoints[0].port)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    listener.close()
