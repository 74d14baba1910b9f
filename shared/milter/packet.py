"""Packets: a length of 32 bits, a letter, data."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from shared.milter.limits import MAX_PACKET

LENGTH = struct.Struct(">I")


class MilterError(Exception):
    """The milter says what the protocol doesn't allow."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One message of the protocol."""

    letter: bytes
    data: bytes = b""

    def encode(self) -> bytes:
        """Return its octets on the wire."""
        return LENGTH.pack(1 + len(self.data)) + self.letter + self.data


class PacketReader:
    """Finds packets in what arrives, in pieces of any size."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what arrived."""
        self._buffer += data

    def next(self) -> Packet | None:
        """Return the next whole packet, None as long as there is none; MilterError for an impossible length."""
        if len(self._buffer) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack_from(self._buffer)
        if not 1 <= length <= MAX_PACKET:
            raise MilterError(f"a packet of {length} octets")
        end = LENGTH.size + length
        if len(self._buffer) < end:
            return None
        packet = Packet(bytes(self._buffer[4:5]), bytes(self._buffer[5:end]))
        del self._buffer[:end]
        return packet
