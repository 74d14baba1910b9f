"""What the figures were taken on."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

PROBE_SECONDS = 1.0
PROBE_SIZE = 4096
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Machine:
    """Hardware, kernel, filesystem and disk."""

    date: str
    processor: str
    cores: int
    memory_gib: int
    kernel: str
    filesystem: str
    fdatasync_per_second: int
    python: str
    postfix: str
    dovecot: str

    def to_json(self) -> dict[str, object]:
        """All fields."""
        return asdict(self)


def examine(folder: Path) -> Machine:
    """Describe this machine and the disk that holds `folder`."""
    return Machine(
        date=datetime.date.today().isoformat(),
        processor=_first(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB),
        kernel=platform.release(),
        filesystem=_filesystem(folder),
        fdatasync_per_second=fdatasync_rate(folder),
        python=platform.python_version(),
        postfix=_version("postconf", "-d", "mail_version").rpartition(" ")[2],
        dovecot=_version("dovecot", "--version").partition(" ")[0],
    )


def fdatasync_rate(folder: Path) -> int:
    """fdatasyncs a second of 4 KiB appended to one file."""
    path = folder / "fdatasync-probe"
    block = b"x" * PROBE_SIZE
    count = 0
    with path.open("wb", buffering=0) as file:
        begin = time.perf_counter()
        while (spent := time.perf_counter() - begin) < PROBE_SECONDS:
            file.write(block)
            os.fdatasync(file.fileno())
            count += 1
    path.unlink()
    return round(count / spent)


def _filesystem(folder: Path) -> str:
    """The type of the filesystem that holds `folder`: the longest mount point above it."""
    real = folder.resolve()
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if real.is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]


def _version(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "not installed"


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1].strip() if found else ""
