"""What makes SQLite's transactions durable: one fsync of the write-ahead log for all that were committed meanwhile.

They are committed without it (synchronous=NORMAL) and made durable outside the turn to write, so that other processes
write while this one waits for the disk. Their callers hear of them afterwards. Others may see them before: a power cut
takes only what nobody was told of, and the first start after it leaves out the UIDs that somebody may have seen.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import uuid
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Generic, TypeVar

from shared.db.timing import SYNC
from shared.db.turn import Turn

T = TypeVar("T")

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class WalSync(Generic[T]):
    """The thread that syncs; `tell` gets what waited, with the error if it may not be on the disk.

    `connect` opens a connection to the database file, to which one is open already.
    """

    def __init__(
        self, path: Path, connect: Callable[[], sqlite3.Connection], tell: Callable[[list[T], OSError | None], None]
    ) -> None:
        self._log = os.open(path.with_name(f"{path.name}-wal"), os.O_RDONLY | os.O_CLOEXEC)
        self._turn = Turn(path)
        self._connect = connect
        self._tell = tell
        self._is_suspect = False
        self._waiting: queue.SimpleQueue[list[T] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sql-sync", daemon=True)
        self._thread.start()

    def put(self, committed: list[T]) -> None:
        """Have committed transactions made durable."""
        self._waiting.put(committed)

    def close(self) -> None:
        """Sync what waits, and end."""
        self._waiting.put(None)
        self._thread.join()
        self._turn.close()
        os.close(self._log)

    def _run(self) -> None:
        closing = False
        while not closing and (first := self._waiting.get()) is not None:
            together = first
            while not self._waiting.empty():
                following = self._waiting.get()
                if following is None:
                    closing = True
                    break
                together += following
            self._tell(together, self._sync())

    def _sync(self) -> OSError | None:
        try:
            with SYNC.time():
                if not self._is_suspect:
                    os.fdatasync(self._log)
                    return None
        except OSError:
            self._is_suspect = True
        try:
            self._rewrite()
        except (OSError, sqlite3.Error) as error:
            return OSError(f"the log can't be synced: {error}")
        self._is_suspect = False
        return None

    def _rewrite(self) -> None:
        """Copy the log into the database and begin it anew: another fsync of pages that failed would lie."""
        with self._turn:
            connection = self._connect()
            try:
                busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            finally:
                connection.close()
        if busy:
            raise OSError("somebody reads what was there before")


def is_first_of_boot(connection: sqlite3.Connection) -> bool:
    """Say whether nobody has marked the database since the machine began to run; see the module."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return found != _boot_mark()


def mark_boot(connection: sqlite3.Connection) -> None:
    """Mark the database, within a transaction."""
    connection.execute(f"PRAGMA user_version={_boot_mark()}")


@cache
def _boot_mark() -> int:
    """A number of 31 bits, as SQLite's user_version takes it."""
    try:
        boot = BOOT_ID.read_bytes()
    except OSError:  # no Linux: every process may be the first
        boot = uuid.uuid4().bytes
    return zlib.crc32(boot) >> 1
