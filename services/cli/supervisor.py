"""Starts a stack's processes, restarts the dead, drains them on SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from shared.errors import ConfigurationError

POLL = 0.2  # seconds between looks at the processes
START_TIMEOUT = 60.0  # seconds until every /readyz must have answered
RESTART_PAUSE = 0.5  # seconds before a dead process is started again
MAX_LOG = 20 * 1024 * 1024  # octets of a log file before it is rotated
HEALTH_TIMEOUT = 2.0  # seconds
PR_SET_PDEATHSIG = 1
EXIT_CONFIGURATION = 78

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(slots=True)
class Process:
    """One supervised process and how to see that it is ready."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    health: tuple[str, int] | None = None  # where /readyz answers
    socket: Path | None = None  # or the Unix socket that it opens
    mend: Callable[[str], str] | None = None  # from its last words: puts right why it can't start, and says what it did
    popen: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    due: float = field(default=0.0)

    @classmethod
    def service(cls, name: str, environment: dict[str, str], health: tuple[str, int]) -> Process:
        """Describe one of our own services."""
        return cls(name, [sys.executable, "-m", f"services.{name}"], environment, health)

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.popen is not None and self.popen.poll() is None


class Supervisor:
    """The parent of a stack on one machine."""

    def __init__(self, data: Path, processes: list[Process], grace: float) -> None:
        self._data = data
        self._processes = processes
        self._grace = grace
        self._stop = asyncio.Event()
        self._written = b""
        self._failure: str | None = None

    async def run(self, on_ready: Callable[[], None]) -> int:
        """Run until told to stop; return 0, or 1 when something had to be killed."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        (self._data / "log").mkdir(parents=True, exist_ok=True)
        (self._data / "run").mkdir(parents=True, exist_ok=True)
        watch = asyncio.create_task(self._watch())
        watch.add_done_callback(self._watch_ended)
        try:
            for process in self._processes:
                self._start(process)
                if process.socket is not None:
                    await self._until_ready([process])
            await self._until_ready(self._processes)
            if not self._stop.is_set():
                on_ready()
            await self._stop.wait()
        finally:
            watch.cancel()
            status = await self._drain()
        if self._failure:
            raise ConfigurationError(self._failure)
        return status

    def _start(self, process: Process) -> None:
        with self._log_path(process).open("ab") as log:
            process.popen = subprocess.Popen(
                process.arguments,
                env={**os.environ, **process.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us: we drain in order
                preexec_fn=_die_with_parent,
            )
        process.started = time.monotonic()
        process.due = 0.0

    async def _watch(self) -> None:
        """Restart what died; keep the list of processes and the log files in order.

        What a full disk or a want of processes forbids is tried again: nobody else would restart anything.
        """
        trouble = ""
        while True:
            try:
                self._look()
                trouble = ""
            except OSError as error:
                if str(error) != trouble:
                    trouble = str(error)
                    print(f"packetboat up: {trouble}; trying again", file=sys.stderr, flush=True)
            await asyncio.sleep(POLL)

    def _look(self) -> None:
        for process in self._processes:
            if process.popen is not None and not process.alive:
                self._restart(process)
        self._write_processes()
        self._rotate_logs()

    def _watch_ended(self, watch: asyncio.Task[None]) -> None:
        if not watch.cancelled():
            self._failure = self._failure or f"nobody watches the processes any more: {watch.exception()!r}"
            self._stop.set()

    def _restart(self, process: Process) -> None:
        status = process.popen.returncode if process.popen else None
        if status == EXIT_CONFIGURATION:
            self._failure = self._failure or f"{process.name} refused its configuration: {self._last_line(process)}"
            self._stop.set()
            return
        now = time.monotonic()
        if not process.due:
            process.due = now + RESTART_PAUSE
        elif now >= process.due:
            if process.mend is not None and (done := process.mend(self._last_line(process))):
                print(f"packetboat up: {process.name}: {done}", file=sys.stderr, flush=True)
            self._start(process)

    async def _until_ready(self, processes: list[Process]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        problems = {process.name: "starting" for process in processes}
        while problems and not self._stop.is_set():
            if time.monotonic() > deadline:
                name, problem = next(iter(problems.items()))
                raise ConfigurationError(f"{name} isn't ready: {problem} (see {self._data / 'log' / name}.log)")
            problems = {p.name: problem for p in processes if (problem := await _problem(p))}
            self._write_processes()
            if problems:
                await asyncio.sleep(0.1)

    async def _drain(self) -> int:
        """Stop the services together, then what they stand on."""
        status = await self._terminate([p for p in self._processes if p.socket is None])
        status |= await self._terminate([p for p in self._processes if p.socket is not None])
        with contextlib.suppress(FileNotFoundError):
            (self._data / "run" / "processes.json").unlink()
        return status

    async def _terminate(self, processes: list[Process]) -> int:
        for process in processes:
            if process.alive and process.popen:
                process.popen.terminate()
        deadline = time.monotonic() + self._grace
        while any(p.alive for p in processes) and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        late = [p for p in processes if p.alive]
        for process in late:
            if process.popen:
                process.popen.kill()
        return 1 if late else 0

    def _write_processes(self) -> None:
        """Tell who runs, for `doctor` and the tests."""
        known = {
            p.name: {"pid": p.popen.pid, "workers": _children(p.popen.pid)}
            for p in self._processes
            if p.popen is not None and p.alive
        }
        text = orjson.dumps(known, option=orjson.OPT_INDENT_2)
        if text != self._written:
            temporary = self._data / "run" / "processes.json.new"
            temporary.write_bytes(text)
            temporary.replace(self._data / "run" / "processes.json")
            self._written = text

    def _rotate_logs(self) -> None:
        for process in self._processes:
            path = self._log_path(process)
            with contextlib.suppress(OSError):
                if path.stat().st_size > MAX_LOG:
                    shutil.copyfile(path, path.with_suffix(".log.1"))
                    os.truncate(path, 0)  # the writers append, so they go on at the start

    def _log_path(self, process: Process) -> Path:
        return self._data / "log" / f"{process.name}.log"

    def _last_line(self, process: Process) -> str:
        lines = self._log_path(process).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        prefix = f"packetboat {process.name}: "
        said = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
        return (said or lines or ["no output"])[-1]


async def _problem(process: Process) -> str:
    """Return why a process isn't ready, or ""."""
    if not process.alive:
        return "it died"
    if process.socket is not None:
        return await _socket_problem(process.socket)
    if process.health is None:
        return ""
    try:
        return await asyncio.wait_for(_readyz(*process.health), HEALTH_TIMEOUT)
    except (OSError, TimeoutError, EOFError) as error:
        return f"no answer from /readyz: {error}"


async def _socket_problem(path: Path) -> str:
    try:
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"PING\r\n")
        answer = await asyncio.wait_for(reader.readline(), HEALTH_TIMEOUT)
        writer.close()
    except (OSError, TimeoutError) as error:
        return f"no answer on its socket: {error}"
    return "" if answer == b"+PONG\r\n" else answer.decode("ascii", "replace").strip()


async def _readyz(host: str, port: int) -> str:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await reader.read()
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return "" if b" 200 " in head[:20] else body.decode("utf-8", "replace").strip() or "not ready"


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _die_with_parent() -> None:
    """In the child: be drained when the supervisor is killed, so that nothing stays behind."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
