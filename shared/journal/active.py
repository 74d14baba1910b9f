"""The segment that a writer appends to: creation, appending, the fence, sealing."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from pathlib import Path

from shared import ids
from shared.durable import sync_folder
from shared.journal.record import Draft, end_record
from shared.journal.reference import nonce_of, open_path, sealed_path
from shared.mounts import is_on_network

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
FILL = 256 * 1024  # bytes of zeros written ahead of the records
SMALL_GROUP = FILL // 4  # bytes; for longer ones zeros cost more than they spare
_MODE = 0o640
_FOLDER_MODE = 0o750


class ActiveSegment:
    """An `.open` file and the offset up to which it is written; used by one thread."""

    def __init__(self, root: Path, name: str, descriptor: int, born: float) -> None:
        self.name = name
        self.nonce = nonce_of(name)
        self.offset = 0
        self.born = born  # Unix time, seconds
        self._filled = 0  # offset up to which the file has blocks
        self._root = root
        self._path = open_path(root, name)
        self._descriptor = descriptor
        self._look_up = _opened if is_on_network(root) else os.stat
        status = os.fstat(descriptor)
        self._identity = (status.st_dev, status.st_ino)

    @classmethod
    def create(cls, root: Path, name: str, now: float) -> ActiveSegment:
        """Create a segment whose name is durable; OSError, and then nothing was written."""
        path = open_path(root, name)
        make_durable_folder(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        try:
            sync_folder(path.parent)
            return cls(root, name, descriptor, now)
        except OSError:
            os.close(descriptor)
            raise

    def write(self, drafts: Sequence[Draft]) -> list[int]:
        """Write records behind the last one and return their offsets; OSError on a short write too."""
        buffers: list[bytes] = []
        offsets: list[int] = []
        end = self.offset
        for draft in drafts:
            buffers += draft.buffers(self.nonce)
            offsets.append(end)
            end += draft.length
        length = end - self.offset
        if length <= SMALL_GROUP and end > self._filled:
            self._fill()
        self._write(buffers, length)
        return offsets

    def sync(self) -> None:
        """Make everything written so far durable."""
        os.fdatasync(self._descriptor)

    def is_fenced(self) -> bool:
        """Say whether another worker sealed the segment: its `.open` name is gone or is another file."""
        try:
            status = self._look_up(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return True
        return (status.st_dev, status.st_ino) != self._identity

    def seal(self) -> bool:
        """End the segment and give it its final name; False if another worker was first."""
        if self.is_fenced():
            self.abandon()
            return False
        self._write_end()
        os.ftruncate(self._descriptor, self.offset)  # the zeros ahead
        try:
            os.rename(self._path, sealed_path(self._root, self.name))
        except FileNotFoundError:
            self.abandon()
            return False
        sync_folder(self._path.parent)
        os.fdatasync(self._descriptor)
        self.abandon()
        return True

    def abandon(self) -> None:
        """Never touch the file again."""
        os.close(self._descriptor)

    def _fill(self) -> None:
        """Put zeros ahead: fdatasync of records that overwrite blocks takes half the time of one that adds them.

        The next fdatasync makes their blocks durable together with the records; readers take them for the end (see
        scan.py). On a full volume the records may fit all the same.
        """
        try:
            self._filled = self.offset + os.pwrite(self._descriptor, bytes(FILL), self.offset)
        except OSError as error:
            if error.errno not in FULL:
                raise

    def _write(self, buffers: Sequence[bytes], length: int) -> None:
        written = os.pwritev(self._descriptor, buffers, self.offset)
        if written != length:
            raise OSError(errno.EIO, f"short write: {written} of {length} bytes")
        self.offset += length

    def _write_end(self) -> None:
        end = end_record(self.nonce)
        try:
            self._write([end], len(end))
        except OSError as error:
            # all records are durable already, and a segment without an end record is a valid one
            if error.errno not in FULL:
                raise


def _opened(path: Path) -> os.stat_result:
    """Return what a name leads to; it is opened for that, because an NFS client asks the server only then."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def new_segment_name(writer: str, number: int, now: float) -> str:
    """Return a segment's name that no other writer can make: it bears the nonce, 128 random bits."""
    day = time.strftime("%Y-%m-%d", time.gmtime(now))
    nonce = ids.encode(int.from_bytes(os.urandom(16), "big"))
    return f"{day}/{writer}-{nonce}-{number}"


def make_durable_folder(folder: Path) -> None:
    """Create a folder and those above it, and make its name durable even if another process made it."""
    folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    sync_folder(folder.parent)
