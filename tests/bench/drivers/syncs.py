"""Counts fsync and fdatasync calls of a server with strace."""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from tests.tools.processes import tree

SYNC_CALLS = "fsync,fdatasync"
ATTACH_SECONDS = 1.0  # strace says nothing when it has attached to all
_TRACED = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(fsync|fdatasync)$", re.M)


class SyncCount:
    """Everything below `roots`, new processes included, is traced inside the `with`."""

    def __init__(self, roots: Iterable[int]) -> None:
        self.calls: dict[str, int] = {}
        self._pids = tree(roots)

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        self._summary = Path(self._folder.name) / "summary"
        command = ["strace", "-f", "-c", "-e", f"trace={SYNC_CALLS}", "-o", str(self._summary)]
        command += [argument for pid in self._pids for argument in ("-p", str(pid))]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(ATTACH_SECONDS)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        self.calls = {name: int(count) for count, name in _TRACED.findall(self._summary.read_text())}
        self._folder.cleanup()

    @property
    def total(self) -> int:
        """Both calls together."""
        return sum(self.calls.values())
