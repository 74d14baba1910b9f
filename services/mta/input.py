"""What a client has sent and nobody has read yet: lines for commands, pieces for messages."""

from __future__ import annotations

import asyncio

from services.mta.limits import MAX_GATHERED, MAX_UNREAD, TEXT_PIECE
from services.mta.text import TERMINATOR


class Gone(Exception):
    """The client has closed the connection, or it was closed."""


class LineTooLong(Exception):
    """A line beyond its limit; it has been thrown away."""


class Input:
    """Bounded: a client that is too far ahead isn't read from until we have caught up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.transport: asyncio.Transport | None = None
        self._loop = loop
        self._data = b""
        self._at = 0  # what lies before is read
        self._gathered: list[bytes] = []  # what came after `_data`, while a message's text is awaited …
        self._gathered_size = 0
        self._tail: bytes | None = None  # … and the end of it, which may be the beginning of the text's end
        self._enough, self._until = TEXT_PIECE, 0.0
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._paused = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is here that wasn't read."""
        return not self._data and not self._gathered

    def feed(self, data: bytes) -> None:
        """Take what has arrived."""
        if self._tail is not None:
            self._gathered.append(data)
            self._gathered_size += len(data)
            if not self._is_text_enough(self._tail, data):
                return
            self._tail = None
            data = self._all_gathered()
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0
        if len(self._data) > MAX_UNREAD and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def hold(self, line: bytes, after: bytes, limit: int, until: float) -> None:
        """Keep a line back until the text that follows it is here, or a good piece of that; see `more_text`."""
        self._data, self._at = line, 0
        self._tail, self._enough, self._until = after, min(limit, TEXT_PIECE), until

    def end(self) -> None:
        """No more will come; what is there can still be read."""
        self._ended = True
        self._data += self._all_gathered()
        self._wake()

    def clear(self) -> None:
        """Forget what wasn't read (RFC 3207 §6: nothing said before TLS counts after it)."""
        self._data, self._at = b"", 0
        self._all_gathered()

    def take_line(self) -> bytes | None:
        """Return the next line with its line end, None if it isn't whole yet."""
        end = self._data.find(b"\n", self._at)
        if end < 0:
            return None
        line = self._data[self._at : end + 1]
        self._advance(end + 1)
        return line

    def take(self, most: int = -1) -> bytes:
        """Return what is there, up to `most` octets if that isn't negative."""
        end = len(self._data) if most < 0 else min(len(self._data), self._at + most)
        taken = self._data[self._at : end]
        self._advance(end)
        return taken

    def put_back(self, data: bytes) -> None:
        """Give back the end of what was taken last."""
        self._data = data + self._data[self._at :]
        self._at = 0

    async def line(self, limit: int) -> bytes:
        """Wait for a whole line of at most `limit` octets; LineTooLong, Gone."""
        while (line := self.take_line()) is None:
            if len(self._data) - self._at > limit:
                await self._skip_line()
                raise LineTooLong
            await self.more()
        if len(line) > limit:
            raise LineTooLong
        return line

    async def more(self) -> None:
        """Wait until more has arrived; Gone when nothing will."""
        if self._ended:
            raise Gone
        if self._paused and self.transport is not None:
            self._paused = False
            self.transport.resume_reading()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def more_text(self, after: bytes, limit: int, until: float) -> None:
        """Wait for the end of a message's text, or a good piece of it: what a client sends in one go comes in dozens.

        `after` was taken before and may be the beginning of the end. `limit` octets are a good piece whatever we think
        one is, and past `until`, by the loop's clock, any octet is. Gone when no more will come.
        """
        self._tail, self._enough, self._until = after, min(limit, TEXT_PIECE), until
        try:
            await self.more()
        finally:
            self._tail = None
            self._data += self._all_gathered()

    def _is_text_enough(self, tail: bytes, data: bytes) -> bool:
        if self._gathered_size >= self._enough or len(self._gathered) >= MAX_GATHERED:
            return True
        short = len(TERMINATOR) - 1
        self._tail = (tail + data[-short:])[-short:]
        return TERMINATOR in data or TERMINATOR in tail + data[:short] or self._loop.time() > self._until

    def _all_gathered(self) -> bytes:
        data = self._gathered[0] if len(self._gathered) == 1 else b"".join(self._gathered)
        self._gathered.clear()
        self._gathered_size = 0
        return data

    def _advance(self, at: int) -> None:
        self._at = at
        if at == len(self._data):
            self.clear()  # an idle connection holds no memory

    async def _skip_line(self) -> None:
        while self.take_line() is None:
            self.clear()
            await self.more()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
