"""The process of every service: a parent that forks workers, restarts them, tells their health.

The parent imports everything, then forks, so that the workers share its memory. Its own event
loop runs only between forks; it answers /healthz, /readyz and /metrics from what the workers
write into their pipes once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Protocol

import orjson
import uvloop

from shared import maillog
from shared.config import CommonSettings
from shared.errors import ConfigurationError, PacketboatError
from shared.maillog import MailLog

REPORT_INTERVAL = 0.5  # seconds between a worker's reports
GARBAGE_THRESHOLD = 20_000  # objects made and not yet gone, as `gc.set_threshold` has it
REPORT_STALE = 10.0  # seconds after which a silent worker isn't ready
RESTART_PAUSE = (0.1, 5.0)  # seconds before a dead worker is replaced: first, at most
QUICK_DEATH = 10.0  # seconds: a worker that lives shorter doubles the pause
MAX_REQUEST = 8192  # octets of a health request
REQUEST_TIME = 5.0  # seconds for it to arrive
EXIT_CONFIGURATION = 78  # EX_CONFIG: a person must act, restarting won't help


class Worker(Protocol):
    """One process's share of a service."""

    async def start(self) -> None:
        """Connect, listen, begin; return once running."""

    async def problems(self) -> list[str]:
        """Say why the worker isn't ready; an empty list when it is."""

    async def drain(self) -> None:
        """Stop accepting, finish or give back what is under way."""


def serve(name: str, settings: CommonSettings, make_worker: Callable[[int], Worker]) -> int:
    """Run a service until SIGTERM or SIGINT; return the exit status (0 after a clean drain)."""
    maillog.configure(settings.log_level, settings.log_format)
    return _Parent(name, settings, make_worker).run()


@dataclass(slots=True)
class _Child:
    index: int
    pid: int
    pipe: int
    started: float
    heard: float = 0.0
    problems: list[str] = field(default_factory=lambda: ["starting"])
    buffer: bytes = b""


class _Parent:
    def __init__(self, name: str, settings: CommonSettings, make_worker: Callable[[int], Worker]) -> None:
        self._name = name
        self._settings = settings
        self._make_worker = make_worker
        self._log = MailLog(name)
        self._children: dict[int, _Child] = {}
        self._pause: dict[int, float] = {}
        self._due: dict[int, float] = {}
        self._stopping = False
        self._status = 0
        self._health: asyncio.Server | None = None

    def run(self) -> int:
        with multiprocess_metrics():
            _settle_garbage()
            self._loop = asyncio.new_event_loop()
            try:
                self._fork_all()
                self._loop.run_until_complete(self._open_health())
                self._handle_signals()
                while self._children or (self._due and not self._stopping):
                    self._loop.run_until_complete(self._wait())
                    self._fork_due()
                return self._status
            except OSError as error:
                raise ConfigurationError(f"{self._name}: {error}") from error
            finally:
                self._kill_rest()
                self._loop.close()

    # forking

    def _fork_all(self) -> None:
        for index in range(self._settings.workers):
            self._fork(index)

    def _fork_due(self) -> None:
        now = time.monotonic()
        for index in [i for i, due in self._due.items() if due <= now and not self._stopping]:
            del self._due[index]
            self._fork(index)

    def _fork(self, index: int) -> None:
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._become_worker(index, writing)
        os.close(writing)
        os.set_blocking(reading, False)
        self._children[pid] = _Child(index, pid, reading, time.monotonic())
        self._loop.add_reader(reading, self._hear, pid)

    def _become_worker(self, index: int, pipe: int) -> None:
        """Forget what is the parent's and run the worker; never returns."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if self._health is not None:
                for listener in self._health.sockets:
                    os.close(listener.fileno())
            for child in self._children.values():
                os.close(child.pipe)
            status = run_worker(self._name, self._make_worker(index), self._settings.grace_period, pipe)
        except ConfigurationError as error:
            print(f"packetboat {self._name}: {error}", file=sys.stderr)
            status = EXIT_CONFIGURATION
        except Exception as error:  # noqa: BLE001 - the last place that can tell of it
            self._log.trouble("worker failed", error=repr(error), exc_info=error)
        finally:
            sys.stderr.flush()
            os._exit(status)

    # the parent's loop

    def _handle_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop)
        signal.signal(signal.SIGCHLD, _ignore)
        self._loop.add_signal_handler(signal.SIGCHLD, lambda: None)

    def _stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._log.info("draining")
        for pid in self._children:
            _signal(pid, signal.SIGTERM)
        self._loop.call_later(self._settings.grace_period + 5, self._kill_rest)

    def _kill_rest(self) -> None:
        for pid in self._children:
            _signal(pid, signal.SIGKILL)
            self._status = 1

    async def _wait(self) -> None:
        """Return when a worker has died, one is due to start, or none is left to wait for."""
        while True:
            await asyncio.sleep(0.05)
            died = self._reap()
            due = not self._stopping and any(at <= time.monotonic() for at in self._due.values())
            if died or due or (self._stopping and not self._children):
                return

    def _reap(self) -> bool:
        died = False
        for pid in list(self._children):
            try:
                done, code = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                done, code = pid, 0
            if done:
                died = True
                self._bury(self._children.pop(pid), os.waitstatus_to_exitcode(code))
        return died

    def _bury(self, child: _Child, status: int) -> None:
        self._loop.remove_reader(child.pipe)
        os.close(child.pipe)
        _forget_metrics(child.pid)
        if self._stopping:
            self._status = self._status or (1 if status else 0)
            return
        self._log.trouble("worker died", pid=child.pid, status=status)
        if status == EXIT_CONFIGURATION:
            self._status = status
            self._stop()
            return
        quick = time.monotonic() - child.started < QUICK_DEATH
        pause = min(self._pause.get(child.index, RESTART_PAUSE[0] / 2) * 2, RESTART_PAUSE[1])
        self._pause[child.index] = pause if quick else RESTART_PAUSE[0]
        self._due[child.index] = time.monotonic() + self._pause[child.index]

    def _hear(self, pid: int) -> None:
        child = self._children[pid]
        try:
            data = os.read(child.pipe, 65536)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(child.pipe)
            return
        lines = (child.buffer + data).split(b"\n")
        child.buffer = lines[-1]
        if len(lines) > 1:
            child.problems = orjson.loads(lines[-2])
            child.heard = time.monotonic()

    # health

    async def _open_health(self) -> None:
        if not self._settings.health_listen:
            return
        host, _, port = self._settings.health_listen.rpartition(":")
        self._health = await asyncio.start_server(self._answer, host.strip("[]"), int(port), limit=MAX_REQUEST)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            async with asyncio.timeout(REQUEST_TIME):
                head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode("ascii", "replace") if head.count(b" ") > 1 else ""
            status, kind, body = self._page(path)
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n".encode()
                + body
            )
            await writer.drain()
        writer.close()

    def _page(self, path: str) -> tuple[str, str, bytes]:
        if path == "/healthz":
            return "200 OK", "text/plain", b"ok\n"
        if path == "/readyz":
            problems = self.readiness()
            if problems:
                return "503 Service Unavailable", "text/plain", ("\n".join(problems) + "\n").encode()
            return "200 OK", "text/plain", b"ready\n"
        if path == "/metrics":
            return "200 OK", "text/plain; version=0.0.4", collect_metrics()
        return "404 Not Found", "text/plain", b"/healthz, /readyz, /metrics\n"

    def readiness(self) -> list[str]:
        """Return what keeps the service from being ready."""
        if self._stopping:
            return ["draining"]
        problems = [f"worker {index}: restarting" for index in self._due]
        for child in self._children.values():
            silent = time.monotonic() - child.heard > REPORT_STALE
            said = ["silent"] if child.heard and silent else child.problems
            problems += [f"worker {child.index}: {problem}" for problem in said]
        return problems


def run_worker(name: str, worker: Worker, grace: float, pipe: int) -> int:
    """Run one worker in this process on uvloop; `pipe` takes its reports."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_work(name, worker, grace, pipe))


def _settle_garbage() -> None:
    """Have the collector pass over all that was imported, and look less often at what comes and goes.

    As Python sets it, reading some thousand rows makes it look through all modules, several times a second. This
    is done before the fork: the collector writes to what it looks at, which workers then no longer share.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)


async def _work(name: str, worker: Worker, grace: float, pipe: int) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C reaches the group; the parent decides
    parent = os.getppid()
    log = MailLog(name)
    await worker.start()
    gc.freeze()  # its connections and caches live as long as it does
    log.info("started", pid=os.getpid())
    while not stop.is_set():
        _report(pipe, await worker.problems())
        if os.getppid() != parent:
            break  # orphaned: nobody would restart or stop us
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPORT_INTERVAL):
                await stop.wait()
    _report(pipe, ["draining"])
    try:
        async with asyncio.timeout(grace):  # wait_for loses cancellations on Python 3.11
            await worker.drain()
    except TimeoutError:
        log.trouble("not drained in time", grace=grace)
        return 1
    log.info("stopped", pid=os.getpid())
    return 0


def _report(pipe: int, problems: list[str]) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(pipe, orjson.dumps([problem[:200] for problem in problems[:10]]) + b"\n")


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: the signal only has to wake the loop."""


@contextlib.contextmanager
def multiprocess_metrics() -> Iterator[None]:
    """Give prometheus-client a folder for this service's processes; it must come before the metrics."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder is None:
        raise PacketboatError("prepare_metrics() must be called before shared.metrics is imported")
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def prepare_metrics() -> None:
    """Choose the folder; the first thing that a service's `__main__` does."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="packetboat-metrics-")
    _remember_process()


def _remember_process() -> None:
    """Have metrics know their process without asking the kernel, as they else do for each value they add to."""
    from prometheus_client import values

    process = [os.getpid()]
    os.register_at_fork(after_in_child=lambda: process.__setitem__(0, os.getpid()))
    values.ValueClass = values.MultiProcessValue(lambda: process[0])  # type: ignore[no-untyped-call]


def collect_metrics() -> bytes:
    """Return all processes' metrics in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def _forget_metrics(pid: int) -> None:
    from prometheus_client.multiprocess import mark_process_dead

    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    if Path(folder).is_dir():
        mark_process_dead(pid)  # type: ignore[no-untyped-call]
