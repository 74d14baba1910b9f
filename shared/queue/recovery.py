"""The sweep: whatever Redis has forgotten is enqueued again from the journal and from SQL (DESIGN §3).

It asks Redis first and SQL second. An entry stays known to Redis until its outcomes are in SQL, so
one that is unknown and has none was lost; the other way round an entry that finishes between the two
questions would be enqueued again. (Even that would be harmless: the ledger is asked before any work.)

A recipient is *handled* when the ledger or `pending` has a row for it: a worker writes the rows of all
targets of a recipient in one transaction, and moves one from `pending` to the ledger in one. So a
sealed segment whose recipients are all handled stays so, and is settled here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import time

import structlog

from shared.db import Database, Work, load
from shared.errors import TemporaryFailure
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.journal.scan import Corruption, ScannedRecord, TornTail
from shared.journal.segments import FileState, Segment, SegmentKind, list_segments, quarantine, take_over
from shared.message.envelope import Lane
from shared.queue.delivery import Item, Queue

OPEN_AGE = 180.0  # seconds without a write: its writer would have sealed it (Limits.segment_age)
HORIZON = 900.0  # seconds ahead that pending rows are put into Redis by an ordinary sweep
BATCH = 500  # records or rows asked for at once
REMEMBERED = 50_000  # unhandled entries kept between sweeps, so that their segments aren't read again

FIRST_PAGE = (-1, "", "", "")  # before every pending row

sql = load("recovery")
log = structlog.get_logger(__name__)

Found = ScannedRecord | Corruption | TornTail


@dataclass(frozen=True, slots=True)
class Unhandled:
    """An entry with recipients that have no outcome yet."""

    entry: str
    reference: str
    recipients: tuple[tuple[str, Lane], ...]


@dataclass(slots=True)
class SweepReport:
    """What a sweep did."""

    taken_over: int = 0
    scanned: int = 0  # segments read
    enqueued: int = 0
    delayed: int = 0
    hastened: int = 0  # delayed entries whose pending rows are due
    settled: int = 0
    damaged: int = 0  # bad stretches found in sealed segments


class Sweep:
    """Finds what Redis lost; safe to run anywhere, at any time and twice at once."""

    def __init__(
        self,
        database: Database,
        queue: Queue,
        root: Path,
        reader: Reader,
        *,
        open_age: float = OPEN_AGE,
        clock: Callable[[], float] = time,
    ) -> None:
        self._database = database
        self._queue = queue
        self._root = root
        self._reader = reader
        self._open_age = open_age
        self._clock = clock
        self._settled: set[str] = set()
        self._left: dict[str, list[Unhandled]] = {}

    async def run(self, *, full: bool = False, open_age: float | None = None) -> SweepReport:
        """Sweep once; `full` puts every pending row into Redis, not just those due soon.

        Raises RedisError, DatabaseUnavailable or OSError when one of the three is away.
        """
        report = SweepReport()
        await self._take_over(report, self._open_age if open_age is None else open_age)
        for segment in await self._unsettled():
            await self._sweep_segment(segment, report)
        await self._sweep_pending(None if full else self._clock() + HORIZON, report)
        return report

    async def hasten(self) -> int:
        """Let what is due in SQL be tried now: `queue retry` on a stopped stack can't tell Redis."""
        hastened = 0
        after, now = FIRST_PAGE, int(self._clock() * 1_000_000)
        while rows := await self._database.read(_pending_page, after, now):
            hastened += await self._hasten_due(rows)
            after = rows[-1].key
        return hastened

    async def _take_over(self, report: SweepReport, age: float) -> None:
        """Seal the segments of writers that seem dead; the fence keeps it safe if they aren't."""
        for segment in await asyncio.to_thread(list_segments, self._root):
            if segment.state is FileState.OPEN and segment.modified <= self._clock() - age:
                try:
                    await asyncio.to_thread(take_over, self._root, segment.name)
                except TemporaryFailure as failure:
                    log.info("segment vanished", segment=segment.name, reason=str(failure))
                    continue
                log.warning("segment sealed for its writer", segment=segment.name)
                report.taken_over += 1

    async def _unsettled(self) -> list[Segment]:
        segments = [s for s in await asyncio.to_thread(list_segments, self._root) if _is_swept(s)]
        present = {segment.name for segment in segments}
        self._settled &= present
        self._left = {name: left for name, left in self._left.items() if name in present}
        asked = sorted(present - self._settled)
        for start in range(0, len(asked), BATCH):
            self._settled |= await self._database.read(_settled, asked[start : start + BATCH])
        return [segment for segment in segments if segment.name not in self._settled]

    async def _sweep_segment(self, segment: Segment, report: SweepReport) -> None:
        if segment.name in self._left:
            left = await self._check_all(self._left[segment.name], report)
        else:
            try:
                left = await self._scan(segment, report)
            except TemporaryFailure as failure:
                log.warning("segment unreadable", segment=segment.name, reason=str(failure))
                return
        if not left:
            await self._database.write(_settle, segment)
            self._settled.add(segment.name)
            self._left.pop(segment.name, None)
            report.settled += 1
        else:
            self._remember(segment.name, left)

    async def _check_all(self, entries: Sequence[Unhandled], report: SweepReport) -> list[Unhandled]:
        left: list[Unhandled] = []
        for start in range(0, len(entries), BATCH):
            left += await self._check(entries[start : start + BATCH], report)
        return left

    async def _scan(self, segment: Segment, report: SweepReport) -> list[Unhandled]:
        """Read a sealed segment in a thread, batch by batch; return what is unhandled."""
        report.scanned += 1
        left: list[Unhandled] = []
        records = self._reader.scan(segment.name, segment.size)
        while batch := await asyncio.to_thread(_next_batch, records):
            for damage in batch:
                if isinstance(damage, Corruption):
                    await self._quarantine(damage, report)
            entries = [_unhandled(found) for found in batch if isinstance(found, ScannedRecord)]
            left += await self._check([entry for entry in entries if entry.recipients], report)
        return left

    async def _check(self, entries: Sequence[Unhandled], report: SweepReport) -> list[Unhandled]:
        """Enqueue what is neither known to Redis nor handled; return what isn't handled."""
        lanes = {(entry.entry, lane) for entry in entries for _, lane in entry.recipients}
        known = await self._queue.known(sorted(lanes))
        handled = await self._database.read(_handled, [entry.entry for entry in entries])
        left = [still for entry in entries if (still := _without(entry, handled)).recipients]
        lost = [
            Item(entry.entry, lane, entry.reference)
            for entry in left
            for lane in dict.fromkeys(lane for _, lane in entry.recipients)
            if (entry.entry, lane) not in known
        ]
        if lost:
            added = await self._queue.enqueue(lost)
            log.warning("entries enqueued again", count=added, first=lost[0].entry)
            report.enqueued += added
        return left

    async def _quarantine(self, damage: Corruption, report: SweepReport) -> None:
        report.damaged += 1
        copy = await asyncio.to_thread(quarantine, self._root, damage.segment, damage.offset, damage.length)
        log.error(
            "journal damaged",
            segment=damage.segment,
            offset=damage.offset,
            length=damage.length,
            reason=damage.reason,
            copy=str(copy),
        )

    def _remember(self, name: str, left: list[Unhandled]) -> None:
        others = sum(len(entries) for segment, entries in self._left.items() if segment != name)
        if others + len(left) <= REMEMBERED:
            self._left[name] = left
        else:
            self._left.pop(name, None)

    async def _sweep_pending(self, until: float | None, report: SweepReport) -> None:
        """Put pending rows that Redis doesn't know into the stream or, if not due, the delayed set."""
        last = 9e18 if until is None else until * 1_000_000
        after = FIRST_PAGE
        while rows := await self._database.read(_pending_page, after, int(last)):
            unknown = await self._unknown([row.item for row in rows])
            due = await self._database.read(_still_pending, sorted({item.entry for item in unknown}))
            waiting = {item: due[item.entry, item.lane] for item in unknown if (item.entry, item.lane) in due}
            await self._requeue(waiting, report)
            report.hastened += await self._hasten_due(rows)
            after = rows[-1].key

    async def _hasten_due(self, rows: Sequence[PendingRow]) -> int:
        now = int(self._clock() * 1_000_000)
        return await self._queue.hasten(sorted({(row.item.entry, row.item.lane) for row in rows if row.due_at <= now}))

    async def _unknown(self, items: Sequence[Item]) -> list[Item]:
        known = await self._queue.known([(item.entry, item.lane) for item in items])
        first = {(item.entry, item.lane): item for item in reversed(items)}
        return [item for key, item in first.items() if key not in known]

    async def _requeue(self, waiting: dict[Item, float], report: SweepReport) -> None:
        now = self._clock()
        due = [item for item, when in waiting.items() if when <= now]
        later = [item for item, when in waiting.items() if when > now]
        report.enqueued += await self._queue.enqueue(due)
        report.delayed += len(later)
        await self._queue.delay(later, [waiting[item] for item in later])


@dataclass(frozen=True, slots=True)
class PendingRow:
    """A pending row as the sweep needs it; `key` is its place in the order of pages."""

    item: Item
    key: tuple[int, str, str, str]

    @property
    def due_at(self) -> int:
        """Unix time in microseconds."""
        return self.key[0]


def _is_swept(segment: Segment) -> bool:
    return segment.state is FileState.SEALED and segment.kind is not SegmentKind.COMPACTED


def _next_batch(records: Iterator[Found]) -> list[Found]:
    return list(islice(records, BATCH))


def _unhandled(record: ScannedRecord) -> Unhandled:
    recipients = tuple((recipient.address, recipient.lane) for recipient in record.envelope.recipients)
    return Unhandled(record.envelope.id, record.reference.encode(), recipients)


def _without(entry: Unhandled, handled: set[tuple[str, str]]) -> Unhandled:
    left = tuple(pair for pair in entry.recipients if (entry.entry, pair[0]) not in handled)
    return replace(entry, recipients=left)


def _settled(names: list[str]) -> Work[set[str]]:
    rows = yield sql.settled(names=names)
    return {row["name"] for row in rows}


def _settle(segment: Segment) -> Work[None]:
    yield sql.settle(name=segment.name, length=segment.size)


def _handled(entries: list[str]) -> Work[set[tuple[str, str]]]:
    if not entries:
        return set()
    rows = yield sql.handled(entries=entries, waiting=entries)
    return {(row["entry"], row["recipient"]) for row in rows}


def _pending_page(after: tuple[int, str, str, str], until: int) -> Work[list[PendingRow]]:
    due_at, entry, recipient, target = after
    rows = yield sql.pending_page(
        until=until, due_at=due_at, entry=entry, recipient=recipient, target=target, limit=BATCH
    )
    return [
        PendingRow(
            Item(row["entry"], Lane(row["lane"]), _reference(row)),
            (row["due_at"], row["entry"], row["recipient"], row["target"]),
        )
        for row in rows
    ]


def _reference(row: dict[str, object]) -> str:
    names = ("segment", "position", "length", "body", "inline_size", "size", "large")
    return Reference(*(row[name] for name in names)).encode()  # type: ignore[arg-type]


def _still_pending(entries: list[str]) -> Work[dict[tuple[str, Lane], float]]:
    if not entries:
        return {}
    rows = yield sql.still_pending(entries=entries)
    return {(row["entry"], Lane(row["lane"])): row["due_at"] / 1_000_000 for row in rows}
