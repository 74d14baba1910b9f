"""The two directions of COMPRESS=DEFLATE: raw DEFLATE, of which an idle connection holds next to nothing (RFC 4978).

A compressor takes 256 KiB; it lives for a burst of output only. That is possible since after a sync flush the
stream stands at an octet's border between two blocks, and nothing obliges the next block to refer to earlier ones.
A decompressor must know the last 32 KiB that it gave out. While nothing arrives they are kept as they are (mostly a
few commands), and the decompressor's 40 KiB aren't: it is made again, with them as its dictionary.
"""

from __future__ import annotations

import zlib

LEVEL = 1  # typical responses shrink to a third (RFC 4978 §4), at 100 MB/s and more
WINDOW_BITS = -15  # raw
WINDOW = 32 * 1024  # octets that a block may refer back to
_FLUSHED = b"\x00\x00\xff\xff"  # what a sync flush ends with


class BadDeflate(ValueError):
    """The client's octets are no DEFLATE stream: say BYE."""


class Deflater:
    """Compresses what is sent; each call's result is complete."""

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        self._stream: zlib._Compress | None = None

    def compress(self, data: bytes) -> bytes:
        """Return octets to send."""
        if self._stream is None:
            self._stream = zlib.compressobj(LEVEL, zlib.DEFLATED, WINDOW_BITS)
        return self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)

    def rest(self) -> None:
        """Give memory back until there is more to send."""
        self._stream = None


class Inflater:
    """Decompresses what arrives, as much at a time as is asked for."""

    __slots__ = ("_full", "_history", "_input", "_last", "_stream", "ended")

    def __init__(self) -> None:
        self._stream: zlib._Decompress | None = zlib.decompressobj(WINDOW_BITS)
        self._input = b""
        self._full = False  # there may be more output for the same input
        self._history = b""
        self._last = b""  # the last octets of input
        self.ended = False  # the client has finished its stream

    @property
    def pending(self) -> int:
        """Octets of input that aren't used yet."""
        return len(self._input)

    @property
    def has_more(self) -> bool:
        """Whether `read` may give something."""
        return (bool(self._input) or self._full) and not self.ended

    def feed(self, data: bytes) -> None:
        """Take octets of the client's."""
        self._input += data

    def read(self, limit: int) -> bytes:
        """Return at most `limit` octets, at most up to where the client flushed: what follows may be no DEFLATE.

        BadDeflate.
        """
        stream = self._stream
        if stream is None:
            self._stream = stream = zlib.decompressobj(WINDOW_BITS, zdict=self._history)
        flushed = self._input.find(_FLUSHED) + len(_FLUSHED)
        taken, later = self._input[:flushed], self._input[flushed:]
        if flushed < len(_FLUSHED):  # it isn't there
            taken, later = self._input, b""
        try:
            output = stream.decompress(taken, limit)
        except zlib.error as error:
            raise BadDeflate(str(error)) from None
        self.ended = stream.eof
        left = stream.unused_data if stream.eof else stream.unconsumed_tail
        self._last = (self._last + taken[: len(taken) - len(left)][-len(_FLUSHED) :])[-len(_FLUSHED) :]
        self._input = left + later
        self._full = len(output) == limit
        self._history = (self._history + output)[-WINDOW:]
        return output

    def rest(self) -> None:
        """Give memory back until more arrives; only while nothing of a command is missing.

        After a whole line the four octets of a sync flush can't be anything else: in a stored block they would be
        the line's last octets. A client that flushes otherwise keeps its decompressor.
        """
        if not self.has_more and self._last == _FLUSHED:
            self._stream = None

    def take_rest(self) -> bytes:
        """Return the input that isn't used, which the client sent after its stream's end."""
        rest, self._input = self._input, b""
        return rest
