"""The milter protocol's packets and values."""

from __future__ import annotations

import struct

import pytest

from shared.milter import command
from shared.milter.limits import MAX_PACKET
from shared.milter.options import Changes, Stage, Steps, agree, offer
from shared.milter.packet import MilterError, Packet, PacketReader
from shared.milter.reply import (
    AddField,
    AddRecipient,
    Answer,
    ChangeField,
    ChangeSender,
    DeleteRecipient,
    InsertField,
    Quarantine,
    ReplaceBody,
    ReplyCode,
    parse_reply,
)


def test_packets_are_found_in_pieces_of_any_size() -> None:
    wire = b"".join(Packet(b"c", bytes(n)).encode() for n in range(5))
    for size in (1, 3, len(wire)):
        reader, found = PacketReader(), []
        for start in range(0, len(wire), size):
            reader.feed(wire[start : start + size])
            while (packet := reader.next()) is not None:
                found.append(packet)
        assert found == [Packet(b"c", bytes(n)) for n in range(5)]


@pytest.mark.parametrize("length", [0, MAX_PACKET + 1, 2**32 - 1])
def test_impossible_lengths_are_refused_before_anything_is_kept(length: int) -> None:
    reader = PacketReader()
    reader.feed(struct.pack(">I", length))
    with pytest.raises(MilterError):
        reader.next()


def test_the_negotiation() -> None:
    assert offer().data[:4] == struct.pack(">I", 6)
    wanted = struct.pack(">III", 6, 0x01, 0x2 | 0x80) + struct.pack(">I", 2) + b"i {auth_authen}\0"
    options = agree(Packet(b"O", wanted))
    assert options.changes == Changes.ADD_HEADERS
    assert options.steps == Steps.NO_HELO | Steps.SILENT_HEADER
    assert options.symbols == {Stage.MAIL: ("i", "auth_authen")}


@pytest.mark.parametrize(
    "packet",
    [
        Packet(b"c"),
        Packet(b"O", b"\0\0"),
        Packet(b"O", struct.pack(">III", 1, 0, 0)),
        Packet(b"O", struct.pack(">III", 7, 0, 0)),
        Packet(b"O", struct.pack(">III", 6, 0x1000, 0)),
        Packet(b"O", struct.pack(">III", 6, 0, 0x800)),  # it wants refused recipients, which aren't told
        Packet(b"O", struct.pack(">III", 6, 0, 0) + struct.pack(">I", 0) + b"unfinished"),
    ],
)
def test_a_negotiation_that_makes_no_sense(packet: Packet) -> None:
    with pytest.raises(MilterError):
        agree(packet)


@pytest.mark.parametrize(
    ("packet", "reply"),
    [
        (Packet(b"c"), Answer.CONTINUE),
        (Packet(b"s"), Answer.SKIP),
        (Packet(b"y", b"550 5.7.1 No, thanks\0"), ReplyCode(550, "5.7.1", "No, thanks")),
        (Packet(b"y", b"451 later\0"), ReplyCode(451, "", "later")),
        (Packet(b"y", b"550-5.7.1 One\r\n550 5.7.1 two\0"), ReplyCode(550, "5.7.1", "One two")),
        (Packet(b"y", b"421\0"), ReplyCode(421, "", "")),
        (Packet(b"h", b"X-A\0b\n c\0"), AddField("X-A", b"b\n c")),
        (Packet(b"i", struct.pack(">I", 3) + b"X-A\0b\0"), InsertField(3, "X-A", b"b")),
        (Packet(b"m", struct.pack(">I", 1) + b"Subject\0\0"), ChangeField(1, "Subject", b"")),
        (Packet(b"b", b"body\0\xff"), ReplaceBody(b"body\0\xff")),
        (Packet(b"+", b"<a@b.test>\0"), AddRecipient("a@b.test")),
        (Packet(b"2", b"<a@b.test>\0NOTIFY=NEVER X=1\0"), AddRecipient("a@b.test", ("NOTIFY=NEVER", "X=1"))),
        (Packet(b"-", b"a@b.test\0"), DeleteRecipient("a@b.test")),
        (Packet(b"e", b"<>\0"), ChangeSender("")),
        (Packet(b"q", b"virus\0"), Quarantine("virus")),
    ],
)
def test_replies(packet: Packet, reply: object) -> None:
    assert parse_reply(packet) == reply


@pytest.mark.parametrize(
    "packet",
    [
        Packet(b"?"), Packet(b"y", b"nonsense\0"), Packet(b"y", b"250 fine\0"), Packet(b"y"), Packet(b"h"),
        Packet(b"h", b"X A\0b\0"), Packet(b"h", b"X\r\nY\0b\0"), Packet(b"i", b"\0"), Packet(b"+"), Packet(b"-", b"\0"),
    ],
)  # fmt: skip
def test_replies_that_make_no_sense(packet: Packet) -> None:
    with pytest.raises(MilterError):
        parse_reply(packet)


def test_commands() -> None:
    assert command.connect("mx.test", "192.0.2.1", 25).data == b"mx.test\x004\x00\x19192.0.2.1\0"
    assert command.connect("mx.test", "2001:db8::1", 25).data == b"mx.test\x006\x00\x19IPv6:2001:db8::1\0"
    assert command.connect("local", "", 0).data == b"local\0U"
    assert command.mail("a@b.test", ["SIZE=3"]).data == b"<a@b.test>\0SIZE=3\0"
    assert command.mail("").data == b"<>\0"
    assert command.header(b"Subject", b"a\r\n b").data == b"Subject\0a\n b\0"
    assert command.macros(b"M", {"i": "x", "auth_authen": "me"}).data == b"Mi\0x\0{auth_authen}\0me\0"
    assert command.helo("evil\0name").data == b"evilname\0"
