"""CPU time, written bytes and memory of process trees, from /proc."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
SECTOR = 512  # octets, the unit of /proc/diskstats
KILL_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process tree has used, children that ended included."""

    cpu_seconds: float
    written: int  # octets handed to the page cache for a disk

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(self.cpu_seconds - earlier.cpu_seconds, self.written - earlier.written)


def usage(roots: Iterable[int]) -> Usage:
    """The usage so far of these processes and everything below them.

    A process that ended counts once its parent has waited for it: the kernel then adds it to the parent's.
    """
    cpu = 0
    written = 0
    for pid in tree(roots):
        try:
            fields = _stat(pid)
            counters = Path(f"/proc/{pid}/io").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        cpu += sum(int(field) for field in fields[11:15])  # utime, stime, cutime, cstime
        found = re.search(r"^write_bytes: (\d+)", counters, re.M)
        written += int(found[1]) if found else 0
    return Usage(cpu / TICKS, written)


def tree(roots: Iterable[int]) -> list[int]:
    """These processes and everything below them."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                children[int(_stat(int(entry))[1])].append(int(entry))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found: list[int] = []
    todo = list(roots)
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children[pid]
    return found


def proportional_memory(pids: Iterable[int]) -> int:
    """PSS in octets: shared pages are divided among those that share them."""
    total = 0
    for pid in pids:
        try:
            found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += int(found[1]) * 1024 if found else 0
    return total


def kill_tree(roots: Iterable[int]) -> None:
    """SIGKILL to all of them, parents first so that nothing is restarted; wait until they are gone."""
    victims = tree(roots)
    for pid in victims:
        _kill(pid)
    deadline = time.monotonic() + KILL_TIMEOUT
    while any(_runs(pid) for pid in victims):
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes survive SIGKILL: {victims}")
        time.sleep(0.01)


def disk_written(path: Path) -> int:
    """Octets written so far to the disk that holds `path`: by everybody, the filesystem's journal included."""
    device = path.stat().st_dev
    wanted = [str(os.major(device)), str(os.minor(device))]
    for line in Path("/proc/diskstats").read_text().splitlines():
        fields = line.split()
        if fields[:2] == wanted:
            return int(fields[9]) * SECTOR
    return 0


def drop_page_cache() -> None:
    """Write back and forget everything cached: the next read comes from the disk (needs root)."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")


def _runs(pid: int) -> bool:
    try:
        return _stat(pid)[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: [0] is the state, [1] the parent."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
