"""A message's text while it arrives: checked, counted, and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.mta.limits import EXCESS
from shared.errors import MailFailure, PermanentFailure
from shared.journal.record import LARGE_THRESHOLD, LargeFile
from shared.journal.writer import LargeUpload
from shared.message.header import find_header_end
from shared.message.lineends import LineEndChecker, LineEndFault

MAX_PIECES = 64  # in memory; a client that sends octet by octet makes us join them


@dataclass(frozen=True, slots=True)
class Text:
    """A whole message: `head` and then, if there is one, the large file."""

    head: bytes
    header_size: int  # octets of `head` up to and with the empty line; all of it if there is none
    size: int
    large: LargeFile | None = None


class Body:
    """Takes the text of one message; beyond 256 KiB it goes to the volume as it comes.

    What is wrong is remembered, so that all of the text can be read before the client is told.
    """

    def __init__(self, begin_upload: Callable[[], LargeUpload], size_limit: int) -> None:
        self.size = 0
        self._begin_upload = begin_upload
        self._size_limit = size_limit
        self._pieces: list[bytes] = []
        self._checker = LineEndChecker()
        self._upload: LargeUpload | None = None
        self._head = b""
        self._header_size = 0
        self._failure: MailFailure | None = None

    @property
    def failure(self) -> MailFailure | None:
        """What is wrong so far."""
        return self._failure

    @property
    def is_hopeless(self) -> bool:
        """Whether the client sends so far beyond the limit that its connection should be closed."""
        return self.size > EXCESS * self._size_limit

    async def write(self, piece: bytes) -> None:
        """Take the next octets."""
        self.size += len(piece)
        if self._failure is not None:
            return
        fault = self._checker.feed(piece)
        if fault is not None:
            await self.fail(_bad_octet(fault))
        elif self.size > self._size_limit:
            await self.fail(PermanentFailure("Message too big", code=552, status="5.3.4"))
        elif self._upload is not None:
            await self._pass_on(self._upload, piece)
        else:
            await self._keep(piece)

    async def finish(self) -> Text:
        """Return the whole message, its large part durable; raises the MailFailure that was remembered."""
        fault = self._checker.finish()
        if self._failure is None and fault is not None:
            await self.fail(_bad_octet(fault))
        if self._failure is not None:
            raise self._failure
        if self._upload is None:
            head = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            return Text(head, find_header_end(head), self.size)
        return Text(self._head, self._header_size, self.size, await self._upload.finish())

    async def fail(self, failure: MailFailure) -> None:
        """Remember what is wrong, forget the text."""
        self._failure = failure
        await self.discard()

    async def discard(self) -> None:
        """Forget the text; harmless at any time before the entry is durable."""
        self._pieces.clear()
        upload, self._upload = self._upload, None
        if upload is not None:
            await upload.abort()

    async def _keep(self, piece: bytes) -> None:
        self._pieces.append(piece)
        if self.size > LARGE_THRESHOLD:
            await self._start_upload()
        elif len(self._pieces) > MAX_PIECES:
            self._pieces = [b"".join(self._pieces)]

    async def _start_upload(self) -> None:
        """The header stays in memory, to be read and completed; the rest goes to the volume."""
        text = b"".join(self._pieces)
        self._pieces.clear()
        self._header_size = find_header_end(text, 0, min(len(text), LARGE_THRESHOLD))
        self._head = text[: self._header_size]
        self._upload = self._begin_upload()
        await self._pass_on(self._upload, text[self._header_size :])

    async def _pass_on(self, upload: LargeUpload, piece: bytes) -> None:
        try:
            await upload.write(piece)
        except MailFailure as failure:
            await self.fail(failure)


def _bad_octet(fault: LineEndFault) -> PermanentFailure:
    return PermanentFailure(f"Message contains {fault.value}", code=550, status="5.6.0")
