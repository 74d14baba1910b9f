"""Group commit: one thread that writes what arrived, makes it durable, and only then says so."""

from __future__ import annotations

import errno
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from shared.journal.active import FULL, ActiveSegment, new_segment_name
from shared.journal.errors import JournalFailed, JournalFull
from shared.journal.limits import Limits
from shared.journal.record import Draft
from shared.journal.reference import Reference

MAX_BUFFERS = 1024  # of one pwritev: IOV_MAX on Linux
MAX_FENCES = 8  # times that one group is written again because another worker sealed its segment
_TICK = 1.0  # seconds between looks at the segment's age, at most
_MIN_TICK = 0.01
_MAX_DRAFT_BUFFERS = 66  # head, MAX_PARTS parts, trailer


@dataclass(slots=True)
class Stats:
    """Counters since the writer was opened, for the metrics."""

    records: int = 0
    bytes: int = 0
    groups: int = 0
    sync_seconds: float = 0.0
    segments: int = 0
    fences: int = 0
    failures: int = 0  # groups that were refused


@dataclass(frozen=True, slots=True)
class Durable:
    """A group that is on stable storage."""

    drafts: list[Draft]
    segment: str
    offsets: list[int]

    def references(self) -> list[Reference]:
        """Return where each record lies."""
        return [draft.reference(self.segment, offset) for draft, offset in zip(self.drafts, self.offsets, strict=True)]


@dataclass(frozen=True, slots=True)
class Refused:
    """A group of which nothing may be acknowledged."""

    drafts: list[Draft]
    failure: JournalFull | JournalFailed


class Order(Enum):
    """What a writer may ask for besides appending."""

    SEAL = auto()
    STOP = auto()  # seals first


@dataclass(frozen=True, slots=True)
class Command:
    """An order, and what to call with the failure or None once it is carried out."""

    order: Order
    done: Callable[[JournalFailed | None], None]


class Committer:
    """Owns the active segment in its thread; drafts go in, `Durable` or `Refused` comes out per group."""

    def __init__(
        self,
        root: Path,
        name: str,
        limits: Limits,
        clock: Callable[[], float],
        report: Callable[[Durable | Refused], None],
        on_poison: Callable[[Exception], None],
        on_group: Callable[[int, float], None] | None = None,
    ) -> None:
        self.stats = Stats()
        self._root = root
        self._name = name
        self._limits = limits
        self._clock = clock
        self._report = report
        self._on_poison = on_poison
        self._on_group = on_group
        self._inbox: queue.SimpleQueue[list[Draft] | Command] = queue.SimpleQueue()
        self._waiting: deque[Draft] = deque()
        self._segment: ActiveSegment | None = None
        self._number = 0
        self._poison: JournalFailed | None = None
        self._thread = threading.Thread(target=self._run, name=f"journal-{name}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, item: list[Draft] | Command) -> None:
        """Hand over drafts or a command; thread-safe, in order."""
        self._inbox.put(item)

    def _run(self) -> None:
        running = True
        while running:
            command = self._collect()
            while self._waiting:
                self._commit(self._next_group())
            self._seal_if_old()
            if command is not None:
                self._seal()
                command.done(self._poison)
                running = command.order is not Order.STOP

    def _collect(self) -> Command | None:
        """Wait for work, then take all that has arrived meanwhile, up to a command."""
        try:
            item = self._inbox.get(timeout=self._patience())
            while not isinstance(item, Command):
                self._waiting.extend(item)
                item = self._inbox.get_nowait()
        except queue.Empty:
            return None
        return item

    def _next_group(self) -> list[Draft]:
        group = [self._waiting.popleft()]
        size, buffers = group[0].length, len(group[0].parts) + 2
        while self._waiting and buffers <= MAX_BUFFERS - _MAX_DRAFT_BUFFERS:
            size += self._waiting[0].length
            if size > self._limits.group_bytes:
                break
            buffers += len(self._waiting[0].parts) + 2
            group.append(self._waiting.popleft())
        return group

    def _commit(self, group: list[Draft]) -> None:
        try:
            outcome: Durable | Refused = self._durable(group)
        except (JournalFull, JournalFailed) as failure:
            outcome = Refused(group, failure)
        except Exception as error:  # noqa: BLE001 - the thread's loop: whatever it was, nothing is acknowledged
            outcome = Refused(group, self._poisoned_by(error))
        if isinstance(outcome, Refused):
            self.stats.failures += 1
        self._report(outcome)

    def _durable(self, group: list[Draft]) -> Durable:
        size = sum(draft.length for draft in group)
        for _ in range(MAX_FENCES):
            segment = self._segment_with_room(size)
            offsets = segment.write(group)
            started = time.perf_counter()
            segment.sync()
            seconds = time.perf_counter() - started
            if not segment.is_fenced():
                self._count(group, size, seconds)
                return Durable(group, segment.name, offsets)
            self.stats.fences += 1
            segment.abandon()
            self._segment = None
        raise JournalFailed("other workers sealed the journal's segments again and again")

    def _segment_with_room(self, size: int) -> ActiveSegment:
        segment = self._segment
        if segment is not None and segment.offset and segment.offset + size > self._limits.segment_size:
            self._seal()
        if self._poison is not None:
            raise self._poison
        if self._segment is None:
            self._segment = self._create()
        return self._segment

    def _create(self) -> ActiveSegment:
        """Begin a segment; when that fails nothing was written, so that only this group is refused."""
        self._number += 1
        try:
            now = self._clock()
            segment = ActiveSegment.create(self._root, new_segment_name(self._name, self._number, now), now)
        except OSError as error:
            if error.errno in FULL:
                raise JournalFull("the mail volume is full") from error
            if error.errno == errno.EIO:
                raise  # the folder's fsync may have failed, and a repeated one lies
            raise JournalFailed("the mail volume can't be written") from error
        self.stats.segments += 1
        return segment

    def _seal_if_old(self) -> None:
        segment = self._segment
        if segment is not None and self._clock() - segment.born >= self._limits.segment_age:
            self._seal()

    def _seal(self) -> None:
        segment, self._segment = self._segment, None
        if segment is None or self._poison is not None:
            return
        try:
            segment.seal()
        except OSError as error:
            self._poisoned_by(error)

    def _poisoned_by(self, error: Exception) -> JournalFailed:
        """Refuse everything from now on; the segment's file is left as it is for another worker."""
        if self._poison is None:
            self._poison = JournalFailed("the mail volume failed")
            self._on_poison(error)
        return self._poison

    def _patience(self) -> float:
        """Seconds to wait for work before looking at the segment's age."""
        if self._segment is None:
            return _TICK
        return min(_TICK, max(_MIN_TICK, self._segment.born + self._limits.segment_age - self._clock()))

    def _count(self, group: list[Draft], size: int, seconds: float) -> None:
        self.stats.records += len(group)
        self.stats.bytes += size
        self.stats.groups += 1
        self.stats.sync_seconds += seconds
        if self._on_group is not None:
            self._on_group(len(group), seconds)
