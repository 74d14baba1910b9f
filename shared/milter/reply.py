"""What a milter says: an answer to a step, or a change to the message."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from shared.milter.packet import MilterError, Packet

_INDEX = struct.Struct(">I")
_CODE = re.compile(rb"([45]\d\d)(?:[ -](?:([245]\.\d{1,3}\.\d{1,3}) ?)?(.*))?\Z", re.DOTALL)
MAX_TEXT = 2_000  # characters of an answer's text that are kept


class Answer(Enum):
    """What is to become of the step, or of the message."""

    CONTINUE = b"c"
    ACCEPT = b"a"  # whatever follows
    REJECT = b"r"
    TEMPFAIL = b"t"
    DISCARD = b"d"
    CONNECTION_FAILURE = b"f"  # 421
    SKIP = b"s"  # enough of the body
    PROGRESS = b"p"  # it is still at work


@dataclass(frozen=True, slots=True)
class ReplyCode:
    """A refusal in the milter's own words."""

    code: int
    status: str
    text: str


@dataclass(frozen=True, slots=True)
class AddField:
    """A field after the last one."""

    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class InsertField:
    """A field at a place, 0 = before all others."""

    index: int
    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class ChangeField:
    """Another value for field number `index` of a name, counted from 1; without a value it is deleted."""

    index: int
    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class ReplaceBody:
    """A piece of the new body."""

    chunk: bytes


@dataclass(frozen=True, slots=True)
class AddRecipient:
    """Somebody who gets it as well, without brackets."""

    address: str
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeleteRecipient:
    """Somebody who doesn't get it."""

    address: str


@dataclass(frozen=True, slots=True)
class ChangeSender:
    """Another reverse-path."""

    address: str
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Accept it, and keep it back."""

    reason: str


Modification: TypeAlias = (
    AddField | InsertField | ChangeField | ReplaceBody | AddRecipient | DeleteRecipient | ChangeSender | Quarantine
)
Reply: TypeAlias = Answer | ReplyCode | Modification

_ANSWERS = {answer.value: answer for answer in Answer}


def parse_reply(packet: Packet) -> Reply:
    """Read a packet from a milter; MilterError for what is none of the protocol's replies."""
    answer = _ANSWERS.get(packet.letter)
    if answer is not None:
        return answer
    match packet.letter:
        case b"y":
            return _reply_code(packet.data)
        case b"h":
            name, value = _pair(packet.data)
            return AddField(name, value)
        case b"i":
            index, (name, value) = _index(packet.data), _pair(packet.data[_INDEX.size :])
            return InsertField(index, name, value)
        case b"m":
            index, (name, value) = _index(packet.data), _pair(packet.data[_INDEX.size :])
            return ChangeField(index, name, value)
        case b"b":
            return ReplaceBody(packet.data)
        case b"+":
            return AddRecipient(_path(_words(packet.data)[0]))
        case b"2":
            words = _words(packet.data)
            return AddRecipient(_path(words[0]), _parameters(words))
        case b"-":
            return DeleteRecipient(_path(_words(packet.data)[0]))
        case b"e":
            words = _words(packet.data)
            return ChangeSender(_path(words[0]), _parameters(words))
        case b"q":
            return Quarantine(_words(packet.data)[0][:MAX_TEXT])
    raise MilterError(f"an unknown reply {packet.letter!r}")


def _reply_code(data: bytes) -> ReplyCode:
    """Read "550 5.7.1 text"; of several lines the texts are joined."""
    lines = data.partition(b"\0")[0].replace(b"\r\n", b"\n").split(b"\n")
    found = [_CODE.match(line) for line in lines if line]
    if not found or found[0] is None:
        raise MilterError(f"a reply code {data[:80]!r}")
    texts = [match[3].strip() for match in found if match is not None and match[3]]
    status = found[0][2].decode("ascii") if found[0][2] else ""
    return ReplyCode(
        int(found[0][1]), status, b" ".join(texts).decode("utf-8", "replace").replace("%%", "%")[:MAX_TEXT]
    )


def _index(data: bytes) -> int:
    if len(data) < _INDEX.size:
        raise MilterError("a change without its index")
    return int(_INDEX.unpack_from(data)[0])


def _pair(data: bytes) -> tuple[str, bytes]:
    name, _, rest = data.partition(b"\0")
    value, _, _ = rest.partition(b"\0")
    if not name or not all(33 <= octet <= 126 and octet != 58 for octet in name):
        raise MilterError(f"a header field's name {name[:80]!r}")
    return name.decode("ascii"), value


def _words(data: bytes) -> list[str]:
    words = [word.decode("utf-8", "surrogateescape") for word in data.split(b"\0")]
    if not data or not words[0]:
        raise MilterError("a change that says nothing")
    return words


def _parameters(words: list[str]) -> tuple[str, ...]:
    return tuple(word for text in words[1:] for word in text.split())


def _path(text: str) -> str:
    text = text.strip()
    return text[1:-1] if text[:1] == "<" and text[-1:] == ">" else text
