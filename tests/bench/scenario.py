"""What a scenario is: its rows, the servers it compares, and how one of them is measured once."""

from __future__ import annotations

import enum
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.server import Server
from tests.tools.processes import Usage, disk_written, usage

MAX_CLIENT_SHARE = 0.8  # of a core: a row whose client used more is void
QUICK = 0.020  # seconds: what takes less is repeated …
QUICK_REPEATS = 20  # … so many times a round


class Better(enum.Enum):
    """Which way a row's unit points."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of a scenario; `bar` is the ratio to reach, None where it is only reported."""

    name: str
    unit: str
    better: Better
    bar: float | None = None
    absolute: float | None = None  # a limit for our own figure, whatever the peer's
    worst_of: tuple[str, ...] = ()  # this row is the one of these rows whose ratio is worst


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of one row."""

    value: float  # in the row's unit
    client_share: float = 0.0  # of a core
    cpu_per_1000: float | None = None  # server's CPU seconds per 1,000 messages (or commands)
    written_per_message: float | None = None  # octets the server's processes wrote
    disk_per_message: float | None = None  # octets the whole disk wrote meanwhile
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much work each scenario does."""

    accept: int = 15_000
    accept_large: int = 2_000
    latency: int = 1_500
    syncs: int = 1_000
    end_to_end: int = 5_000
    relay: int = 5_000
    mailbox: int = 10_000
    append: int = 10_000
    login_seconds: float = 5.0
    mix_seconds: float = 12.0
    idle_connections: int = 1_000
    idle_accounts: int = 10
    small_mailbox: int = 1_000


FULL = Sizes()
TINY = Sizes(
    accept=300,
    accept_large=50,
    latency=50,
    syncs=100,
    end_to_end=200,
    relay=200,
    mailbox=200,
    append=200,
    login_seconds=1.0,
    mix_seconds=2.0,
    idle_connections=20,
    idle_accounts=2,
    small_mailbox=50,
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a scenario is given to build and measure servers."""

    work: Path
    sizes: Sizes
    workers: int = 1  # of each of our services
    lone_workers: int = 1  # of a service that runs alone
    database_url: str = ""

    def workers_of(self, scenario: Scenario) -> int:
        """Our worker processes in a scenario."""
        return self.lone_workers if scenario.service_alone else self.workers


Samples = Mapping[str, Sample]  # by the row's name


@dataclass(frozen=True, slots=True)
class Scenario:
    """Rows that are measured together.

    `ours` and each of `peers` build a server in a folder; `prepare` (once a server, kept for all scenarios
    that name the same `fixture`) fills it; `measure` starts it, measures, stops it.
    """

    name: str
    title: str
    rows: tuple[Row, ...]
    ours: Callable[[Setting, Path], Server]
    peers: Mapping[str, Callable[[Setting, Path], Server]]
    measure: Callable[[Server, Setting], Samples]
    prepare: Callable[[Server, Setting], None] | None = None
    fixture: str = ""
    tls: bool = False
    service_alone: bool = False  # of our services only one runs, as the peer does


class Meter:
    """Measures one piece of work: wall time, the server's CPU and writes, this process's CPU.

    with Meter(server) as meter:
        ...
    meter.sample(rate, work=messages)
    """

    def __init__(self, server: Server, disk: Path) -> None:
        self._server = server
        self._disk = disk
        self.seconds = 0.0

    def __enter__(self) -> Meter:
        self._usage = usage(self._server.roots())
        self._written = disk_written(self._disk)
        self._cpu = time.process_time()
        self._begin = time.perf_counter()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.seconds = time.perf_counter() - self._begin
        self.own_cpu = time.process_time() - self._cpu
        self._disk_used = disk_written(self._disk) - self._written
        self._used: Usage = usage(self._server.roots()) - self._usage

    def sample(
        self, value: float, *, work: int, client_cpu: float | None = None, notes: Mapping[str, Any] | None = None
    ) -> Sample:
        """The sample of `work` messages; `client_cpu` in seconds where the client was another process."""
        cpu = self.own_cpu if client_cpu is None else client_cpu
        return Sample(
            value=value,
            client_share=cpu / self.seconds,
            cpu_per_1000=self._used.cpu_seconds * 1000 / work,
            written_per_message=self._used.written / work,
            disk_per_message=self._disk_used / work,
            notes=notes or {},
        )


def repeated(run: Callable[[], float]) -> list[float]:
    """The seconds of one run, or of 20 where one is quick."""
    first = run()
    if first >= QUICK:
        return [first]
    return [first, *(run() for _ in range(QUICK_REPEATS - 1))]


def milliseconds(seconds: list[float]) -> float:
    """The median of repeated runs, in ms."""
    return statistics.median(seconds) * 1000
