"""Whatever a proxy sends is a peer, a BadHeader, or not whole yet; no more is taken than was wanted."""

from __future__ import annotations

import ipaddress
import struct

from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.proxy import FIXED, MAX_BODY, MAX_LINE, PREFIX, SIGNATURE, BadHeader, Header

LINES = st.builds(lambda rest: PREFIX + rest, st.binary(max_size=150))
BINARIES = st.builds(
    lambda command, family, length, body: SIGNATURE + bytes([command, family]) + struct.pack("!H", length) + body,
    st.sampled_from([0x20, 0x21, 0x11, 0x22]),
    st.sampled_from([0x00, 0x11, 0x12, 0x21, 0x31, 0xFF]),
    st.integers(0, 300) | st.integers(0, 65535),
    st.binary(max_size=300),
)
ADDRESSES = st.ip_addresses()


@settings(max_examples=600, deadline=None)
@given(st.binary(max_size=300) | LINES | BINARIES, st.integers(1, 400))
@example(SIGNATURE, 1)
@example(PREFIX + b"\r\n", 1)
def test_any_octets(octets: bytes, most: int) -> None:
    header, taken = Header(), 0
    try:
        while header.peer is None and taken < len(octets):
            assert header.wanted > 0
            piece = octets[taken : taken + min(header.wanted, most)]
            header.feed(piece)
            taken += len(piece)
    except BadHeader:
        return
    assert taken <= max(MAX_LINE, FIXED + MAX_BODY)
    if header.peer is not None:
        assert header.wanted == 0
        if header.peer.address:
            ipaddress.ip_address(header.peer.address)
        assert 0 <= header.peer.port <= 65535


@settings(max_examples=300, deadline=None)
@given(ADDRESSES, st.integers(0, 65535), st.booleans())
def test_what_proxies_send_is_read(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, is_line: bool
) -> None:
    if is_line:
        octets = f"PROXY TCP{address.version} {address} {address} {port} 25\r\n".encode()
    else:
        body = address.packed * 2 + struct.pack("!HH", port, 25)
        octets = SIGNATURE + bytes([0x21, 0x11 if address.version == 4 else 0x21]) + struct.pack("!H", len(body)) + body
    header = Header()
    while (wanted := header.wanted) and octets:
        header.feed(octets[:wanted])
        octets = octets[wanted:]
    assert header.peer is not None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    assert header.peer.address == str(mapped or address) and header.peer.port == port
