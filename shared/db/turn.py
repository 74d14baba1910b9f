"""Whose turn it is to write: an `flock` that the processes of one SQLite file queue up for.

SQLite's own lock only lets a waiter ask again after a sleep, so that the file lies idle between two
processes' transactions. SQLite's lock still is what keeps the file whole; this one only saves the sleep.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType


class Turn:
    """A context manager: inside, no other process's writer thread writes. OSError if the lock can't be had.

    It is held as long as one transaction takes; the kernel frees it when its holder dies.
    """

    def __init__(self, database: Path) -> None:
        path = database.with_name(f"{database.name}-writer")
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give up the file; the lock with it."""
        os.close(self._file)
