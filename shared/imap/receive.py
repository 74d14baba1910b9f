"""The receive buffer: octets in, events out; finds commands and literals (RFC 3501 §2.2, RFC 7888).

    buffer.feed(data)
    while (event := buffer.next_event()) is not None: ...

A `LiteralRequest` stops the buffer until the session has called `accept_literal`,
`stream_literal` or `refuse_literal`. For a synchronising literal the session itself sends
the `+` continuation, after accepting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from shared.imap.limits import BEFORE_LOGIN, MAX_LITERAL, MAX_TAG, ReceiveLimits


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A whole command without its last CRLF; buffered literals stand in it as on the wire."""

    text: bytes


@dataclass(frozen=True, slots=True)
class LiteralRequest:
    """The client announces a literal of `size` octets; it waits for `+` when `sync`.

    `text` is the command up to and including the `{n}`, from its beginning or from the end
    of its last streamed literal. `tag` and `name` (upper case) are the whole command's.
    `fits` says that accepting (buffering) it stays within the limits; streaming always does.
    """

    tag: bytes
    name: bytes
    size: int
    sync: bool
    binary: bool
    first_argument: bool
    fits: bool
    text: bytes


@dataclass(frozen=True, slots=True)
class LiteralChunk:
    """Octets of a streamed literal."""

    data: bytes


@dataclass(frozen=True, slots=True)
class LiteralEnd:
    """The streamed literal is whole."""


@dataclass(frozen=True, slots=True)
class CommandTail:
    """The end of a command that had a streamed literal: what followed the last one, without CRLF."""

    text: bytes


@dataclass(frozen=True, slots=True)
class LineReceived:
    """The line asked for by `expect_line` (SASL responses, DONE), without CRLF."""

    data: bytes


@dataclass(frozen=True, slots=True)
class CommandRejected:
    """A command over a limit: answer `tag BAD text` (`*` without a tag); the buffer resyncs itself."""

    tag: bytes | None
    text: bytes


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The stream can't be brought back in step within limits: say BYE and close."""

    text: bytes


Event = (
    CommandReceived | LiteralRequest | LiteralChunk | LiteralEnd | CommandTail | LineReceived | CommandRejected | GiveUp
)

# literal = "{" number ["+"] "}" CRLF; literal8 = "~{" number ["+"] "}" CRLF
_LITERAL_AT_END = re.compile(rb"(~?)\{([0-9]{1,20})(\+?)\}\Z")
_LONGEST_LITERAL_MARK = 25  # ~{20 digits+} and a CR
_TAG = re.compile(rb"[!#$&',\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]+")
_HEAD = re.compile(rb"([^ ]+) +((?:UID +)?[A-Z0-9]+)", re.IGNORECASE)
_FIRST_ARGUMENT = re.compile(rb"[^ ]+ +(?:UID +)?[A-Z0-9]+ +~?\{[0-9]+\+?\}", re.IGNORECASE)


class _State(Enum):
    LINE = auto()
    DECISION = auto()
    BUFFERED_LITERAL = auto()
    STREAMED_LITERAL = auto()
    SKIPPED_LITERAL = auto()
    SKIPPED_LINE = auto()
    HOPELESS = auto()
    GIVEN_UP = auto()


class ReceiveBuffer:
    """Cuts a client's octets into events; holds at most one command beyond what was fed."""

    __slots__ = (
        "_command",
        "_discarded",
        "_head",
        "_input",
        "_missing",
        "_position",
        "_raw_line",
        "_scanned",
        "_skipped_end",
        "_state",
        "_streamed",
        "_sync",
        "limits",
    )

    def __init__(self, limits: ReceiveLimits = BEFORE_LOGIN) -> None:
        self.limits = limits
        self._input = bytearray()
        self._position = 0  # of the first octet not yet used
        self._scanned = 0  # no LF before this
        self._state = _State.LINE
        self._raw_line = False
        self._command = bytearray()  # lines and literals so far, since the last streamed literal
        self._head: tuple[bytes | None, bytes] | None = None  # tag and name, once a literal was announced
        self._streamed = False
        self._missing = 0  # octets of the literal still to come
        self._sync = False
        self._discarded = 0
        self._skipped_end = b""

    @property
    def pending(self) -> int:
        """Octets fed and not yet used."""
        return len(self._input) - self._position

    @property
    def between_commands(self) -> bool:
        """True when nothing of a command has been used up yet."""
        return self._state is _State.LINE and self._head is None

    @property
    def is_at_rest(self) -> bool:
        """True when nothing was begun: no command, line or literal has arrived in part."""
        return self.between_commands and not self.pending

    def take_pending(self) -> bytes:
        """Return and forget the octets not yet used, which aren't commands as they are."""
        taken = self._take(self.pending)
        self._release()
        return taken

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take octets from the client; take all events before feeding more, to stay bounded."""
        self._release()
        self._input += data

    def clear(self) -> None:
        """Forget everything fed: whatever came before a TLS handshake (RFC 3501 §6.2.1)."""
        self._input.clear()
        self._position = self._scanned = 0
        self._end_command()

    def expect_line(self) -> None:
        """Give the next line as `LineReceived`, whatever it looks like."""
        self._raw_line = True

    def next_event(self) -> Event | None:
        """Return the next event, or None when more octets are needed."""
        while True:
            match self._state:
                case _State.LINE:
                    return self._read_line()
                case _State.STREAMED_LITERAL:
                    return self._read_streamed()
                case _State.BUFFERED_LITERAL if not self._read_buffered():
                    return None
                case _State.SKIPPED_LITERAL if not self._skip_literal():
                    return None
                case _State.SKIPPED_LINE if not self._skip_line():
                    return None
                case _State.HOPELESS:
                    self._state = _State.GIVEN_UP
                    return GiveUp(b"Too much unusable input")
                case _State.GIVEN_UP:
                    self._take(self.pending)
                    return None
                case _State.DECISION:
                    raise RuntimeError("a literal request is waiting for its decision")

    # Decisions on a literal

    def accept_literal(self) -> None:
        """Hold the announced literal in memory as a part of the command; only when it `fits`."""
        if not self._fits():
            raise RuntimeError("the literal is too large to be buffered")
        self._decide(_State.BUFFERED_LITERAL)
        self._command += b"\r\n"

    def stream_literal(self) -> None:
        """Give the announced literal as `LiteralChunk` events, then `LiteralEnd`."""
        self._decide(_State.STREAMED_LITERAL)
        self._command.clear()
        self._streamed = True

    def refuse_literal(self) -> None:
        """Drop the command (the session answers it); a non-synchronising literal is skipped."""
        self._decide(_State.LINE)
        self._abandon()

    def _decide(self, state: _State) -> None:
        if self._state is not _State.DECISION:
            raise RuntimeError("no literal request is waiting")
        self._state = state

    def _fits(self) -> bool:
        return len(self._command) + self._missing <= self.limits.command

    # Lines

    def _read_line(self) -> Event | None:
        end = self._input.find(b"\n", self._scanned)
        if end < 0:
            self._scanned = len(self._input)
            self._release()
            return self._reject_endless_line() if self.pending > self.limits.line else None
        line = bytes(self._input[self._position : end])
        self._position = self._scanned = end + 1
        if line.endswith(b"\r"):
            line = line[:-1]
        if self._raw_line:
            return self._give_raw_line(line)
        if len(line) > self.limits.line:
            return self._reject_line(line)
        if self._head is None and not line.endswith(b"}"):
            return CommandReceived(line)  # the common case: one line, no literal
        return self._continue_command(line)

    def _release(self) -> None:
        """Drop what was used, so that a connection that idles holds nothing."""
        if self._position:
            del self._input[: self._position]
            self._scanned -= self._position
            self._position = 0

    def _give_raw_line(self, line: bytes) -> Event:
        self._raw_line = False
        if len(line) > self.limits.line:
            return CommandRejected(None, b"Line too long")
        return LineReceived(line)

    def _continue_command(self, line: bytes) -> Event:
        if self._head is None:
            self._head = _head(line)
        self._command += line
        if len(self._command) > self.limits.command:
            return self._reject_line(line, b"Command too long")
        mark = _LITERAL_AT_END.search(line)
        return self._announce(mark) if mark is not None else self._finish()

    def _finish(self) -> Event:
        text = bytes(self._command)
        tail = self._streamed
        self._end_command()
        return CommandTail(text) if tail else CommandReceived(text)

    def _announce(self, mark: re.Match[bytes]) -> Event:
        tag, name = self._head or (None, b"")
        self._missing = int(mark[2])
        self._sync = not mark[3]
        if tag is None or self._missing > MAX_LITERAL:
            self._abandon()
            return CommandRejected(tag, b"Missing tag" if tag is None else b"Literal too large")
        self._state = _State.DECISION
        text = bytes(self._command)
        return LiteralRequest(
            tag=tag,
            name=name,
            size=self._missing,
            sync=self._sync,
            binary=bool(mark[1]),
            first_argument=not self._streamed and _FIRST_ARGUMENT.fullmatch(text) is not None,
            fits=self._fits(),
            text=text,
        )

    # Literals

    def _read_buffered(self) -> bool:
        taken = self._take(self._missing)
        self._command += taken
        self._missing -= len(taken)
        if not self._missing:
            self._state = _State.LINE
        return not self._missing

    def _read_streamed(self) -> Event | None:
        if not self._missing:
            self._state = _State.LINE
            return LiteralEnd()
        taken = self._take(self._missing)
        self._missing -= len(taken)
        return LiteralChunk(taken) if taken else None

    def _take(self, size: int) -> bytes:
        taken = bytes(self._input[self._position : self._position + size])
        self._position += len(taken)
        self._scanned = self._position
        return taken

    # Getting back in step

    def _reject_endless_line(self) -> Event:
        raw, self._raw_line = self._raw_line, False
        tag = None if raw else self._known_tag(bytes(self._input[self._position :][: MAX_TAG + 1]))
        self._end_command()
        self._state = _State.SKIPPED_LINE
        self._discarded = 0
        self._skipped_end = b""
        return CommandRejected(tag, b"Line too long")

    def _reject_line(self, line: bytes, text: bytes = b"Line too long") -> Event:
        tag = self._known_tag(line)
        self._end_command()
        self._discarded = len(line)
        self._skip_announced(line)
        return CommandRejected(tag, text)

    def _known_tag(self, line: bytes) -> bytes | None:
        return (self._head or _head(line))[0]

    def _abandon(self) -> None:
        sync, missing = self._sync, self._missing
        self._end_command()
        if not sync:
            self._discarded = 0
            self._skip(missing)

    def _end_command(self) -> None:
        self._state = _State.LINE
        self._command.clear()
        self._head = None
        self._streamed = False
        self._missing = 0

    def _skip_announced(self, line: bytes) -> None:
        """After a line that is dropped: drop the literal that follows, unless its sender waits for us."""
        mark = _LITERAL_AT_END.search(line)
        self._state = _State.LINE
        if mark is not None and mark[3]:
            self._skip(int(mark[2]))

    def _skip(self, size: int) -> None:
        self._missing = size
        self._discarded += size
        self._skipped_end = b""
        self._state = _State.SKIPPED_LITERAL if self._discarded <= self.limits.discard else _State.HOPELESS

    def _skip_literal(self) -> bool:
        self._missing -= len(self._take(self._missing))
        if not self._missing:
            self._state = _State.SKIPPED_LINE
        return not self._missing

    def _skip_line(self) -> bool:
        end = self._input.find(b"\n", self._position)
        skipped = self._take((end + 1 if end >= 0 else len(self._input)) - self._position)
        self._discarded += len(skipped)
        self._skipped_end = (self._skipped_end + skipped)[-_LONGEST_LITERAL_MARK - 1 :]
        if end >= 0:
            self._skip_announced(self._skipped_end.rstrip(b"\r\n"))
        elif self._discarded > self.limits.discard:
            self._state = _State.HOPELESS
            return True
        return end >= 0


def _head(line: bytes) -> tuple[bytes | None, bytes]:
    found = _HEAD.match(line)
    name = b" ".join(found[2].upper().split()) if found else b""
    tag = line.split(b" ", 1)[0][: MAX_TAG + 1]
    return (tag if len(tag) <= MAX_TAG and _TAG.fullmatch(tag) else None), name
