"""The folder of Python filters: every *.py in the order of names, each with its processes, reloaded when it changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from shared.filters.breaker import Breaker, State
from shared.filters.process import Description, FilterError, FilterProcess

LOOK = 1.0  # seconds between two looks at the files
RETRY = 10.0  # seconds until a file that can't be loaded, and hasn't changed, is tried again
MAX_FILTERS = 50  # files

log = structlog.get_logger(__name__)

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Limits:
    """Of every filter."""

    seconds: float = 5.0  # for one message, unless the file says otherwise
    memory: int = 512 * 1024 * 1024  # octets of address space of one process
    processes: int = 1  # of one filter


@dataclass(slots=True)
class Tally:
    """What a filter has done in this process."""

    runs: int = 0
    failures: int = 0
    seconds: float = 0.0
    error: str = ""  # the last one
    line: int = 0
    at: float = 0.0  # Unix seconds
    entry: str = ""


@dataclass(slots=True)
class Crew:
    """The processes that have loaded one state of a file."""

    description: Description
    idle: asyncio.Queue[FilterProcess | None]  # None: start one instead of one that broke
    retired: bool = False


@dataclass(slots=True)
class PythonFilter:
    """One file."""

    path: Path
    breaker: Breaker
    stamp: Stamp | None = None
    crew: Crew | None = None
    tally: Tally = field(default_factory=Tally)
    loading_error: str = ""
    loading_line: int = 0
    tried: float = 0.0

    @property
    def name(self) -> str:
        """As scanners are named."""
        return self.path.stem

    def view(self) -> dict[str, Any]:
        """Return what `packetboat filters status` shows."""
        description, tally = self.crew.description if self.crew is not None else None, self.tally
        return {
            "name": self.name,
            "loaded": self.crew is not None,
            "loading_error": self.loading_error,
            "loading_line": self.loading_line,
            "domains": list(description.domains) if description else [],
            "accounts": list(description.accounts) if description else [],
            "breaker": self.breaker.state.name.lower(),
            "runs": tally.runs,
            "failures": tally.failures,
            "mean_ms": round(tally.seconds / tally.runs * 1000, 2) if tally.runs else 0.0,
            "error": tally.error,
            "line": tally.line,
            "at": tally.at,
            "entry": tally.entry,
        }


class FilterFolder:
    """Runs filters; one per worker process."""

    def __init__(
        self, path: Path, limits: Limits | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._limits = limits or Limits()
        self._clock = clock
        self._filters: dict[Path, PythonFilter] = {}
        self._looked = float("-inf")
        self._lock = asyncio.Lock()

    async def filters(self) -> list[PythonFilter]:
        """Return the filters that are loaded, in order; looks at the files first, now and then."""
        if self._clock() - self._looked >= LOOK:
            async with self._lock:
                if self._clock() - self._looked >= LOOK:
                    await self._refresh()
                    self._looked = self._clock()
        return [self._filters[path] for path in sorted(self._filters) if self._filters[path].crew is not None]

    def views(self) -> list[dict[str, Any]]:
        """Return what is known of every file."""
        return [self._filters[path].view() for path in sorted(self._filters)]

    async def run(self, one: PythonFilter, facts: dict[str, Any], message: bytes) -> list[dict[str, Any]]:
        """Have a filter look at a message for one account, and return its actions; FilterError."""
        if not one.breaker.allows():
            raise FilterError("it keeps failing")
        began = self._clock()
        try:
            actions = await self._run(one, facts, message)
        except FilterError as error:
            one.breaker.failed()
            tally = one.tally
            tally.failures, tally.error, tally.line = tally.failures + 1, str(error.args[0]), error.line
            tally.at, tally.entry = time.time(), str(facts["entry"])
            log.warning("filter failed", filter=one.name, entry=facts["entry"], error=str(error))
            raise
        except BaseException:
            one.breaker.gave_up()
            raise
        finally:
            one.tally.runs += 1
            one.tally.seconds += self._clock() - began
        one.breaker.succeeded()
        return actions

    async def close(self) -> None:
        """End all processes."""
        for one in self._filters.values():
            if one.crew is not None:
                await _retire(one.crew)

    async def _run(self, one: PythonFilter, facts: dict[str, Any], message: bytes) -> list[dict[str, Any]]:
        crew = one.crew
        if crew is None:
            raise FilterError("it isn't loaded")
        seconds = crew.description.timeout or self._limits.seconds
        process = await crew.idle.get()
        try:
            if one.breaker.state is State.OPEN:  # it failed while we waited
                raise FilterError("it keeps failing")
            if process is None:
                process = await FilterProcess.start(one.path, self._limits.memory)
            return await process.run(facts, message, seconds)
        except BaseException as error:
            if process is not None and (not isinstance(error, FilterError) or error.broken):
                await asyncio.shield(process.stop())
                process = None
            raise
        finally:
            if crew.retired and process is not None:
                await asyncio.shield(process.stop())
                process = None
            crew.idle.put_nowait(process)

    async def _refresh(self) -> None:
        found = await asyncio.to_thread(_files, self._path)
        for path in [path for path in self._filters if path not in found]:
            gone = self._filters.pop(path)
            if gone.crew is not None:
                await _retire(gone.crew)
            log.info("filter removed", filter=gone.name)
        for path, stamp in found.items():
            one = self._filters.setdefault(path, PythonFilter(path, Breaker(self._clock)))
            if one.stamp != stamp or (one.loading_error and self._clock() - one.tried >= RETRY):
                await self._load(one, stamp)

    async def _load(self, one: PythonFilter, stamp: Stamp) -> None:
        """Load a file's present state; as long as that fails, the state before it goes on working."""
        one.stamp, one.tried = stamp, self._clock()
        try:
            first = await FilterProcess.start(one.path, self._limits.memory)
        except (FilterError, OSError) as error:
            line = error.line if isinstance(error, FilterError) else 0
            text = str(error.args[0]) if isinstance(error, FilterError) else str(error)
            if (text, line) != (one.loading_error, one.loading_line):
                log.error("filter not loaded", filter=one.name, line=line, error=text)
            one.loading_error, one.loading_line = text, line
            return
        one.loading_error, one.loading_line = "", 0
        crew = Crew(first.description, asyncio.Queue())
        crew.idle.put_nowait(first)
        for _ in range(self._limits.processes - 1):
            crew.idle.put_nowait(None)
        before, one.crew = one.crew, crew
        one.breaker = Breaker(self._clock)
        log.info("filter loaded", filter=one.name)
        if before is not None:
            await _retire(before)


async def _retire(crew: Crew) -> None:
    """End the processes that are idle; one at work ends itself when it is done."""
    crew.retired = True
    idle = []
    while not crew.idle.empty():
        idle.append(crew.idle.get_nowait())
    for process in idle:
        if process is not None:
            await process.stop()
        crew.idle.put_nowait(None)  # who waits for one starts one


def _files(folder: Path) -> dict[Path, Stamp]:
    found: dict[Path, Stamp] = {}
    for path in sorted(folder.glob("*.py"))[:MAX_FILTERS]:
        try:
            stat = path.stat()
        except OSError:
            continue
        if not path.name.startswith(("_", ".")):
            found[path.absolute()] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return found
