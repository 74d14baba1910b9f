"""A message that arrives through APPEND: kept in memory while it is short, streamed into the journal's volume else."""

from __future__ import annotations

import asyncio
import mmap
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from services.access.desk import Desk
from services.access.imap.outcome import Outcome, refused
from shared.imap import response
from shared.imap.flags import FlagSet
from shared.journal.record import LARGE_THRESHOLD, LargeFile
from shared.journal.reference import large_path
from shared.journal.writer import LargeUpload
from shared.message.binary import NotTransferable, to_transferable
from shared.message.lineends import to_crlf
from shared.message.rendered import Rendered, render

RENDER_INLINE = 32 * 1024  # octets of a message beyond which another thread parses it
MAX_HELD = 1024 * 1024  # octets of all of a command's messages in memory; beyond it also short ones get a file

TOO_LARGE = refused(b"The message is too large", response.TOOBIG)
EMPTY = refused(b"An empty message can't be stored", response.CANNOT)


class Refused(Exception):
    """An APPEND can't be done; `outcome` says why."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Arrived:
    """A whole message: its octets are in `data` or in `file`."""

    entry: str
    flags: FlagSet
    internal_date: datetime | None
    rendered: Rendered
    data: bytes
    file: LargeFile | None
    ascii_header: bool  # a client that knows no UTF-8 could have written it (RFC 6855 §4)


@dataclass(slots=True)
class Arriving:
    """A message of which octets are missing; `limit` is how many it may have."""

    desk: Desk
    entry: str
    flags: FlagSet
    internal_date: datetime | None
    limit: int
    size: int = 0
    binary: bool = False  # some of it came as a literal8: it may have to be encoded
    _small: bytearray = field(default_factory=bytearray)
    _large: LargeUpload | None = None
    _after_cr: bool = False  # the last chunk ended with CR

    async def expect(self, size: int, held: int) -> None:
        """Make ready for more octets, with `held` of the command in memory already; Refused."""
        if self.size + size > self.limit:
            raise Refused(TOO_LARGE)
        if self._large is None and (self.size + size > LARGE_THRESHOLD or held + size > MAX_HELD):
            self._large = self.desk.journal.large(self.entry)
            await self._large.write(bytes(self._small))
            self._small.clear()

    async def take(self, chunk: bytes, *, binary: bool = False) -> None:
        """Take octets, with bare LF made CRLF unless `binary`; PermanentFailure for NUL, JournalFull, JournalFailed."""
        if not binary:
            held = b"\r" if self._after_cr else b""
            self._after_cr = chunk.endswith(b"\r")
            chunk = to_crlf(held + chunk)[len(held) :]
        else:
            self.binary = True
            self._after_cr = chunk.endswith(b"\r")
        self.size += len(chunk)
        if self._large is None:
            self._small += chunk
        else:
            await self._large.write(chunk)

    @property
    def held(self) -> int:
        """Octets of it in memory."""
        return len(self._small)

    async def finish(self) -> Arrived:
        """Understand the message; what can't be transferred as it is gets encoded. Refused."""
        if not self.size:
            raise Refused(EMPTY)
        try:
            if self._large is None:
                return await self._finish_small()
            return await self._finish_large(self._large)
        except NotTransferable as failure:
            raise Refused(refused(failure.text.encode("ascii"), response.UNKNOWN_CTE)) from failure

    async def _finish_small(self) -> Arrived:
        data = bytes(self._small)
        self._small = bytearray()
        if self.binary:
            data = await asyncio.to_thread(_encoded, data)
            if len(data) > self.limit:
                raise Refused(TOO_LARGE)
            if len(data) > LARGE_THRESHOLD:
                self._large = self.desk.journal.large(self.entry)
                await self._large.write(data)
                self.binary = False
                return await self._finish_large(self._large)
        rendered = render(data) if len(data) <= RENDER_INLINE else await asyncio.to_thread(render, data)
        is_ascii = data[: rendered.header_size].isascii()
        return Arrived(self.entry, self.flags, self.internal_date, rendered, data, None, is_ascii)

    async def _finish_large(self, upload: LargeUpload) -> Arrived:
        file = await upload.finish()
        path = large_path(self.desk.volume, file.name)
        if self.binary:
            file = await self._encode_large(path)
            path = large_path(self.desk.volume, file.name)
        rendered, is_ascii = await asyncio.to_thread(_render_file, path)
        return Arrived(self.entry, self.flags, self.internal_date, rendered, b"", file, is_ascii)

    async def _encode_large(self, path: Path) -> LargeFile:
        """Write the message again, in another file, with its binary parts encoded."""
        self._large = upload = self.desk.journal.large(self.entry)
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            pieces = to_transferable(data)
            try:
                while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                    await upload.write(piece)
                    if upload.size > self.limit:
                        raise Refused(TOO_LARGE)
            finally:
                pieces.close()
                await asyncio.to_thread(path.unlink, True)
        return await upload.finish()

    def give_up(self) -> None:
        """Forget it."""
        if self._large is not None:
            self.desk.clean_up(self._large.abort())


def _encoded(data: bytes) -> bytes:
    return b"".join(to_transferable(data))


def _render_file(path: Path) -> tuple[Rendered, bool]:
    """What is known of a message, and whether its header is ASCII."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        rendered = render(data)
        return rendered, data[: rendered.header_size].isascii()
