"""Open files that never change, kept for the next read."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

MAX_DESCRIPTORS = 128
MAX_AGE = 300.0  # seconds; a removed file's space is free only when nobody has it open


class OpenFile:
    """A descriptor that is closed when its last user lets go of it, so that eviction never hits a reader."""

    __slots__ = ("descriptor", "since")

    def __init__(self, path: Path, now: float) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.since = now

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)


class Descriptors:
    """A bounded cache of open files, least recently used out first; thread-safe."""

    def __init__(
        self,
        *,
        limit: int = MAX_DESCRIPTORS,
        max_age: float = MAX_AGE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._max_age = max_age
        self._clock = clock
        self._files: OrderedDict[Path, OpenFile] = OrderedDict()
        self._lock = threading.Lock()
        self._expired = clock()

    def __len__(self) -> int:
        return len(self._files)

    def open(self, path: Path) -> OpenFile:
        """Return the file, opened now or before; OSError as `os.open` has it."""
        now = self._clock()
        with self._lock:
            self._expire(now)
            file = self._files.get(path)
            if file is not None:
                self._files.move_to_end(path)
                return file
        file = OpenFile(path, now)
        with self._lock:
            self._files[path] = file
            while len(self._files) > self._limit:
                self._files.popitem(last=False)
        return file

    def forget(self, path: Path) -> None:
        """Open the file anew next time."""
        with self._lock:
            self._files.pop(path, None)

    def expire(self) -> None:
        """Let go of files that have been open for long; for a periodic task of an idle process."""
        with self._lock:
            self._expire(self._clock(), interval=0.0)

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            self._files.clear()

    def _expire(self, now: float, interval: float = MAX_AGE / 10) -> None:
        if now - self._expired < interval:
            return
        self._expired = now
        for path in [path for path, file in self._files.items() if now - file.since > self._max_age]:
            del self._files[path]
