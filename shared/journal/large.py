"""A body that is streamed to its own file as it arrives, before a record names it."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from zlib_ng.zlib_ng import crc32

from shared.durable import sync_folder
from shared.journal.active import FULL, make_durable_folder
from shared.journal.errors import JournalFailed, JournalFull
from shared.journal.record import LargeFile
from shared.journal.reference import large_path

_MODE = 0o640


class LargeUpload:
    """One large file being written; memory is bounded by `chunk` bytes, all IO happens in threads.

    A repeat of an entry (a child message has the same id again) makes another file: names end randomly.
    """

    def __init__(
        self,
        root: Path,
        entry_id: str,
        *,
        chunk: int,
        slots: asyncio.Semaphore,
        on_poison: Callable[[Exception], None],
    ) -> None:
        self.name = f"{entry_id}-{secrets.token_hex(4)}"
        self.size = 0  # bytes taken
        self._path = large_path(root, self.name)
        self._chunk = chunk
        self._slots = slots
        self._on_poison = on_poison
        self._buffer: list[bytes] = []
        self._buffered = 0
        self._crc = 0
        self._offset = 0
        self._descriptor: int | None = None
        self._ended = False

    async def write(self, data: bytes) -> None:
        """Take more of the body; JournalFull or JournalFailed, after which only `abort` is of use."""
        if self._ended:
            raise JournalFailed("the large body was ended before")
        self._buffer.append(bytes(data))
        self._buffered += len(data)
        self.size += len(data)
        if self._buffered >= self._chunk:
            await self._in_thread(self._flush)

    async def finish(self) -> LargeFile:
        """Make the file and its name durable, and return what the record says of it."""
        if self._ended:
            raise JournalFailed("the large body was ended before")
        await self._in_thread(self._finish)
        self._ended = True
        return LargeFile(self.name, self.size, self._crc)

    async def abort(self) -> None:
        """Remove the file; harmless after an error and after another abort."""
        if not self._ended:
            self._ended = True
            await asyncio.shield(asyncio.to_thread(self._remove))

    async def _in_thread(self, work: Callable[[], None]) -> None:
        async with self._slots:
            task = asyncio.ensure_future(asyncio.to_thread(work))
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                await asyncio.wait({task})  # the thread still uses the descriptor
                raise
            except OSError as error:
                raise self._failure(error) from error

    def _failure(self, error: OSError) -> JournalFull | JournalFailed:
        if error.errno in FULL:
            return JournalFull("the mail volume is full")
        if error.errno == errno.EIO:
            self._on_poison(error)
        return JournalFailed("the mail volume can't be written")

    def _flush(self) -> None:
        if self._descriptor is None:
            make_durable_folder(self._path.parent)
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        data = b"".join(self._buffer)
        self._buffer.clear()
        self._buffered = 0
        self._crc = crc32(data, self._crc)
        if os.pwrite(self._descriptor, data, self._offset) != len(data):
            raise OSError(errno.ENOSPC, "short write")
        self._offset += len(data)

    def _finish(self) -> None:
        self._flush()
        assert self._descriptor is not None
        try:
            os.fsync(self._descriptor)
            sync_folder(self._path.parent)
        except OSError as error:
            # whatever the reason was: a repeated fsync would claim success
            raise OSError(errno.EIO, f"fsync: {error.strerror}") from error
        os.close(self._descriptor)
        self._descriptor = None

    def _remove(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._path.unlink(missing_ok=True)
