"""Negotiation: what a milter may change, which steps it wants to see, and which macros."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from shared.milter.limits import MAX_SYMBOLS
from shared.milter.packet import MilterError, Packet

VERSION = 6
OLDEST = 2
_OPTIONS = struct.Struct(">III")
_STAGE = struct.Struct(">I")


class Changes(IntFlag):
    """What a milter may do to a message (SMFIF)."""

    ADD_HEADERS = 0x01
    CHANGE_BODY = 0x02
    ADD_RECIPIENTS = 0x04
    DELETE_RECIPIENTS = 0x08
    CHANGE_HEADERS = 0x10
    QUARANTINE = 0x20
    CHANGE_SENDER = 0x40
    ADD_RECIPIENTS_WITH_PARAMETERS = 0x80
    SET_SYMBOLS = 0x100


class Steps(IntFlag):
    """Steps left out (NO_…), steps without an answer (SILENT_…), and how (SMFIP)."""

    NO_CONNECT = 0x01
    NO_HELO = 0x02
    NO_MAIL = 0x04
    NO_RCPT = 0x08
    NO_BODY = 0x10
    NO_HEADERS = 0x20
    NO_END_OF_HEADERS = 0x40
    SILENT_HEADER = 0x80
    NO_UNKNOWN = 0x100
    NO_DATA = 0x200
    SKIP = 0x400  # it may answer that it has seen enough of the body
    REFUSED_RECIPIENTS = 0x800
    SILENT_CONNECT = 0x1000
    SILENT_HELO = 0x2000
    SILENT_MAIL = 0x4000
    SILENT_RCPT = 0x8000
    SILENT_DATA = 0x10000
    SILENT_UNKNOWN = 0x20000
    SILENT_END_OF_HEADERS = 0x40000
    SILENT_BODY = 0x80000
    LEADING_SPACE = 0x100000  # values are told with the space after the colon


class Stage(IntEnum):
    """Where macros are told."""

    CONNECT = 0
    HELO = 1
    MAIL = 2
    RCPT = 3
    DATA = 4
    END_OF_MESSAGE = 5
    END_OF_HEADERS = 6


ALL_CHANGES = Changes(0x1FF)
ALL_STEPS = Steps(0x1FFFFF & ~Steps.REFUSED_RECIPIENTS)  # refused recipients are never told


@dataclass(frozen=True, slots=True)
class Options:
    """What was agreed."""

    version: int = VERSION
    changes: Changes = ALL_CHANGES
    steps: Steps = ALL_STEPS
    symbols: dict[Stage, tuple[str, ...]] = field(default_factory=dict)  # the macros that it wants, where it says so


def offer() -> Packet:
    """Return what we can."""
    return Packet(b"O", _OPTIONS.pack(VERSION, ALL_CHANGES, ALL_STEPS))


def agree(packet: Packet) -> Options:
    """Read what the milter wants of it; MilterError if that is more, or of a version we don't know."""
    if packet.letter != b"O" or len(packet.data) < _OPTIONS.size:
        raise MilterError("no answer to the negotiation")
    version, changes, steps = _OPTIONS.unpack_from(packet.data)
    if not OLDEST <= version <= VERSION:
        raise MilterError(f"version {version} of the protocol")
    if changes & ~int(ALL_CHANGES) or steps & 0x1FFFFF & ~int(ALL_STEPS):
        raise MilterError("it wants what wasn't offered")
    return Options(version, Changes(changes), Steps(steps & ALL_STEPS), _symbols(packet.data[_OPTIONS.size :]))


def _symbols(data: bytes) -> dict[Stage, tuple[str, ...]]:
    symbols: dict[Stage, tuple[str, ...]] = {}
    while len(data) > _STAGE.size:
        (number,) = _STAGE.unpack_from(data)
        names, nul, data = data[_STAGE.size :].partition(b"\0")
        if not nul:
            raise MilterError("a list of macros without an end")
        if number in Stage._value2member_map_:
            words = names.decode("ascii", "replace").replace(",", " ").split()
            symbols[Stage(number)] = tuple(_bare(word) for word in words[:MAX_SYMBOLS])
    return symbols


def _bare(name: str) -> str:
    return name.strip("{}")
