"""From octets to whole commands: lines with their literals (RFC 5804 §4), within limits."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from shared.managesieve.limits import BEFORE_LOGIN, MAX_LITERALS, ReceiveLimits

# literal-c2s = "{" number "+}" CRLF *OCTET, at the end of a line (RFC 5804 §4)
_LITERAL = re.compile(rb"\{([0-9]{1,20})\+\}\Z")
_SYNCHRONISING = re.compile(rb"(?:\A| )\{[0-9]{1,20}\}\Z")


@dataclass(frozen=True, slots=True)
class Literal:
    """The octets of a literal."""

    octets: bytes


Piece: TypeAlias = bytes | Literal


@dataclass(frozen=True, slots=True)
class Line:
    """One command: what stands between its literals, and the literals."""

    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """A command that was skipped whole: the session answers NO and goes on."""

    reason: str
    start: bytes
    """How the command began."""
    too_large: bool = False
    """Whether a literal was larger than any script may be: QUOTA/MAXSIZE (RFC 5804 §1.3)."""


@dataclass(frozen=True, slots=True)
class Hopeless:
    """The session can't get back in step: it says BYE."""

    reason: str


TOO_LARGE = "The script is too large"
LITERAL_LENGTH = 24
"""Octets of a skipped line that are held: they may announce a literal, which is skipped too."""
SHOWN = 32
"""Octets of a refused command's start that are kept."""

Event: TypeAlias = Line | Refused | Hopeless


class Receiver:
    """Takes octets as they come and gives whole commands; `limits` may be changed between commands."""

    __slots__ = ("_buffer", "_discarded", "_length", "_pieces", "_refusal", "_start", "hopeless", "limits")

    def __init__(self, limits: ReceiveLimits = BEFORE_LOGIN) -> None:
        self.limits = limits
        self.hopeless = False
        self._buffer = bytearray()
        self._pieces: list[Piece] = []
        self._length: int | None = None  # octets of the literal that is awaited
        self._start = b""
        self._refusal: str | None = None  # why the command is being skipped
        self._discarded = 0  # octets skipped so far

    @property
    def pending(self) -> int:
        """Octets fed and not yet used."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take the next octets."""
        if not self.hopeless:
            self._buffer += data

    def take(self) -> bytes:
        """The octets that are left, for what comes after STARTTLS: it must be nothing."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def next(self) -> Event | None:
        """The next whole command, or None until more octets come."""
        while not self.hopeless:
            step = self._line() if self._length is None else self._literal(self._length)
            if not isinstance(step, bool):
                return step
            if not step:
                return None
        return None

    def _line(self) -> Event | bool:
        """Take a line: the command it ends, or whether to go on."""
        at = self._buffer.find(b"\n")
        held = sum(len(piece) for piece in self._pieces if isinstance(piece, bytes))
        if at < 0:
            most = self.limits.line + self._buffer.endswith(b"\r")  # perhaps half of a line end
            if self._refusal is None and len(self._buffer) + held <= most:
                return False
            self._refuse("The line is too long")
            return self._skip(max(0, len(self._buffer) - LITERAL_LENGTH)) or False
        line = bytes(self._buffer[:at]).removesuffix(b"\r")
        if not self._pieces and not self._start:
            self._start = line[:SHOWN]
        del self._buffer[: at + 1]
        if len(line) + held > self.limits.line:
            self._refuse("The line is too long")
        match = _LITERAL.search(line)
        if match is None:
            return self._finish(line)
        return self._begin_literal(line[: match.start()], int(match[1]))

    def _begin_literal(self, before: bytes, length: int) -> Event | bool:
        literals = sum(isinstance(piece, Literal) for piece in self._pieces)
        if length > self.limits.literal:
            self._refuse(TOO_LARGE)
        elif literals >= MAX_LITERALS:
            self._refuse("There are too many strings")
        if self._refusal is None:
            self._pieces.append(before)
        elif self._discarded + length > self.limits.discard:
            return self._give_up()
        self._length = length
        return True

    def _literal(self, length: int) -> Event | bool:
        """Take a literal, or as much as is there of one that is skipped."""
        if self._refusal is not None:
            part = min(length, len(self._buffer))
            self._length = length - part or None
            return self._skip(part) or self._length is None
        if len(self._buffer) < length:
            return False
        self._pieces.append(Literal(bytes(self._buffer[:length])))
        del self._buffer[:length]
        self._length = None
        return True

    def _finish(self, line: bytes) -> Event:
        pieces = (*self._pieces, line)
        refusal, start = self._refusal, self._start
        self._pieces.clear()
        self._refusal, self._discarded, self._start = None, 0, b""
        if refusal is not None:
            return Refused(refusal, start, refusal == TOO_LARGE)
        if _SYNCHRONISING.search(line):
            return Refused("A literal needs a plus sign: {n+}", start)
        return Line(pieces)

    def _refuse(self, reason: str) -> None:
        """Skip this command; the first reason counts."""
        self._refusal = self._refusal or reason
        self._start = self._start or bytes(self._buffer[:SHOWN])
        self._pieces.clear()

    def _skip(self, octets: int) -> Event | None:
        del self._buffer[:octets]
        self._discarded += octets
        return self._give_up() if self._discarded > self.limits.discard else None

    def _give_up(self) -> Hopeless:
        self.hopeless = True
        self._buffer.clear()
        return Hopeless("More was sent than anybody would skip")
