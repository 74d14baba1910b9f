"""The receive buffer: octets in, lines out (RFC 1939 §3, RFC 2449 §4)."""

from __future__ import annotations

from dataclasses import dataclass

MAX_LINE = 255  # octets with CRLF, RFC 2449 §4
MAX_AUTH_LINE = 12_290  # octets with CRLF, RFC 5034 §4
MAX_DISCARD = 64 * 1024  # octets of a line that is too long, before the connection is given up


@dataclass(frozen=True, slots=True)
class LineReceived:
    """One line without its CRLF."""

    data: bytes


@dataclass(frozen=True, slots=True)
class LineTooLong:
    """A line over the limit: answer -ERR; it is skipped."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """A line without end: close."""


Event = LineReceived | LineTooLong | GiveUp


class ReceiveBuffer:
    """Cuts a client's octets into lines; `max_line` may be raised while a SASL response is awaited."""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self.max_line = max_line
        self._input = bytearray()
        self._scanned = 0
        self._skipped = 0  # octets dropped of a line that is too long
        self._given_up = False

    @property
    def pending(self) -> int:
        """Octets fed and not yet used."""
        return len(self._input)

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take octets from the client; take all events before feeding more, to stay bounded."""
        self._input += data

    def clear(self) -> None:
        """Forget everything fed: whatever came before a TLS handshake."""
        self._input.clear()
        self._scanned = self._skipped = 0

    def next_event(self) -> Event | None:
        """Return the next event, or None when more octets are needed."""
        while not self._given_up:
            end = self._input.find(b"\n", self._scanned)
            if end < 0:
                return self._wait()
            line = bytes(self._input[:end])
            del self._input[: end + 1]
            self._scanned = 0
            if not self._skipped:
                return self._line(line)
            self._skipped = 0
        self._input.clear()
        return None

    def _line(self, line: bytes) -> Event:
        if line.endswith(b"\r"):
            line = line[:-1]
        return LineReceived(line) if len(line) + 2 <= self.max_line else LineTooLong()

    def _wait(self) -> Event | None:
        self._scanned = len(self._input)
        if len(self._input) < self.max_line and not self._skipped:
            return None
        first = not self._skipped
        self._skipped += len(self._input)
        self._input.clear()
        self._scanned = 0
        if self._skipped > MAX_DISCARD:
            self._given_up = True
            return GiveUp()
        return LineTooLong() if first else None
