"""The octets of a multi-line response: dot-stuffing, and the slice that TOP shows (RFC 1939 §3, §7)."""

from __future__ import annotations

from shared.pop3.response import CRLF, END


class DotStuffer:
    """Stuffs a message that comes in chunks; memory is bounded by one chunk.

    A dot behind a bare LF is stuffed as well: a reader that takes LF for a line end must not
    find the end there.
    """

    def __init__(self) -> None:
        self._last = CRLF

    def feed(self, chunk: bytes) -> bytes:
        """Return the chunk as it goes over the wire."""
        if not chunk:
            return b""
        at_line_start = self._last.endswith(b"\n")
        self._last = (self._last + chunk[-2:])[-2:]
        stuffed = chunk.replace(b"\n.", b"\n..")
        return b"." + stuffed if at_line_start and chunk.startswith(b".") else stuffed

    def end(self) -> bytes:
        """Return what ends the response, with the message's last CRLF if that is missing."""
        return END if self._last == CRLF else CRLF + END


def stuff(message: bytes) -> bytes:
    """Return a whole message as the body of a multi-line response, with its end."""
    stuffer = DotStuffer()
    return stuffer.feed(message) + stuffer.end()


class TopSlicer:
    """Passes a message's header, its empty line, and the first lines of its body."""

    def __init__(self, lines: int) -> None:
        self._missing = lines
        self._seen = b"\n"  # the last octets, so that an empty line across chunks is found
        self._in_body = False
        self.done = False
        """True when the rest of the message isn't needed."""

    def feed(self, chunk: bytes) -> bytes:
        """Return what of the chunk belongs to the slice."""
        if self.done:
            return b""
        start = 0 if self._in_body else self._header_length(chunk)
        if not self._in_body:
            return chunk
        end = self._lines_end(chunk, start)
        return chunk if end == len(chunk) else chunk[:end]

    def _header_length(self, chunk: bytes) -> int:
        """Return how much of the chunk is header with its empty line; all of it when that isn't there."""
        text = self._seen + chunk
        ends = [at + len(mark) for mark in (b"\n\r\n", b"\n\n") if (at := text.find(mark)) >= 0]
        if ends:
            self._in_body = True
            return min(ends) - len(self._seen)
        self._seen = text[-2:]
        return len(chunk)

    def _lines_end(self, chunk: bytes, start: int) -> int:
        count = chunk.count(b"\n", start)
        if count < self._missing:
            self._missing -= count
            return len(chunk)
        end = start
        for _ in range(self._missing):
            end = chunk.index(b"\n", end) + 1
        self._missing = 0
        self.done = True
        return end


def top(message: bytes, lines: int) -> bytes:
    """Return the header and the first lines of the body of a whole message, not yet stuffed."""
    return TopSlicer(lines).feed(message)
