"""Whatever a milter sends is a reply or a MilterError, in bounded memory."""

from __future__ import annotations

import struct

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.milter.limits import MAX_PACKET
from shared.milter.options import agree
from shared.milter.packet import MilterError, Packet, PacketReader
from shared.milter.reply import parse_reply

LETTERS = b"acdefhilmpqrstyboO+2-"
SEEDS = [
    b"550 5.7.1 text\0", b"X-Field\0value\0", struct.pack(">I", 1) + b"Subject\0x\0", b"<a@b.test>\0NOTIFY=NEVER\0",
    struct.pack(">III", 6, 0x1FF, 0x1FFFFF) + struct.pack(">I", 4) + b"i {x}\0",
]  # fmt: skip


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    seed = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        if seed:
            seed[draw(st.integers(0, len(seed) - 1))] = draw(st.integers(0, 255))
    return Packet(bytes([draw(st.sampled_from(LETTERS))]), bytes(seed) + draw(st.binary(max_size=20)))


@settings(max_examples=400, deadline=None)
@given(packets())
def test_a_packet_is_a_reply_or_an_error(packet: Packet) -> None:
    for read in (parse_reply, agree):
        try:
            read(packet)
        except MilterError:
            continue


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_octets_are_packets_or_an_error(pieces: list[bytes]) -> None:
    reader, taken, given_ = PacketReader(), 0, 0
    try:
        for piece in pieces:
            reader.feed(piece)
            given_ += len(piece)
            while (packet := reader.next()) is not None:
                taken += 5 + len(packet.data)
                assert len(packet.data) < MAX_PACKET
    except MilterError:
        return
    assert taken <= given_
