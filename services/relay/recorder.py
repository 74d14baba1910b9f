"""Puts outcomes on record, many in one transaction; whoever sends waits for it before sending more."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.relay.outcome import Final, Report, Verdicts, Wait, judge
from services.relay.schedule import Schedule
from services.relay.state import sql
from shared.db import Database, Work
from shared.errors import PacketboatError, TemporaryFailure
from shared.journal.errors import RecordUnavailable
from shared.mailbox.blobs import chunked, lock_segments
from shared.maillog import MailLog
from shared.metrics import RELAY_ATTEMPTS, RELAY_OUTCOMES
from shared.operations.notice import Notice, Notifier
from shared.queue.delivery import Item
from shared.queue.outbox import Outbox

BATCH = 256  # reports in one transaction
COUNTED_SITES = 200  # with a metric each; the rest is "other"
PAUSE_FIRST = 0.1  # seconds after a failure
PAUSE_MOST = 10.0
AGAIN = 60.0  # seconds until a report that can't be recorded for a reason of its own is made anew


class StaleReference(PacketboatError):
    """The record isn't where it was, perhaps as compaction moved it: it is looked up again."""


@dataclass(slots=True)
class _Request:
    reports: Sequence[Report]
    future: asyncio.Future[list[float | None]]


class Recorder:
    """`record` returns once the outcomes are committed; while SQL or the journal is away it doesn't."""

    def __init__(
        self,
        database: Database,
        notifier: Notifier,
        outbox: Outbox,
        schedule: Schedule,
        log: MailLog,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._notifier = notifier
        self._outbox = outbox
        self._schedule = schedule
        self._log = log
        self._clock = clock
        self._requests: deque[_Request] = deque()
        self._filled = asyncio.Event()
        self._sites: set[str] = set()  # those with a counter of their own
        self.trouble = ""  # why nothing can be recorded now, for /readyz

    async def record(self, reports: Sequence[Report]) -> list[float | None]:
        """Return for each report when its entry is to come back (Unix seconds), None if nothing waits."""
        if not reports:
            return []
        future: asyncio.Future[list[float | None]] = asyncio.get_running_loop().create_future()
        self._requests.append(_Request(reports, future))
        self._filled.set()
        return await future

    async def run(self) -> None:
        """Record until cancelled: what has gathered while one transaction ran goes into the next."""
        while True:
            await self._filled.wait()
            batch = self._take()
            try:
                await self._record_batch(batch)
            finally:
                for request in batch:
                    if not request.future.done():
                        request.future.cancel()

    def _take(self) -> list[_Request]:
        batch: list[_Request] = []
        reports = 0
        while self._requests and (not batch or reports + len(self._requests[0].reports) <= BATCH):
            request = self._requests.popleft()
            reports += len(request.reports)
            batch.append(request)
        if not self._requests:
            self._filled.clear()
        return batch

    async def _record_batch(self, batch: list[_Request]) -> None:
        try:
            results = await self._persist([report for request in batch for report in request.reports])
        except Exception as error:  # noqa: BLE001 - one bad report mustn't spoil the others
            self._log.trouble("recording singly", error=repr(error))
            for request in batch:
                await self._record_singly(request)
            return
        position = 0
        for request in batch:
            _resolve(request, results[position : position + len(request.reports)])
            position += len(request.reports)

    async def _record_singly(self, request: _Request) -> None:
        results = [await self._persist_one(report) for report in request.reports]
        _resolve(request, results)

    async def _persist_one(self, report: Report) -> float | None:
        """Commit one report; what can't be recorded is tried again from the start, a little later."""
        try:
            return (await self._persist([report]))[0]
        except Exception as error:  # noqa: BLE001 - told, and put off
            self._log.trouble("not recorded", entry=report.envelope.id, error=repr(error))
            return self._clock() + AGAIN

    async def _persist(self, reports: Sequence[Report]) -> list[float | None]:
        """Commit, however long SQL or the volume is away."""
        pause = PAUSE_FIRST
        while True:
            try:
                results = await self._commit(reports)
            except TemporaryFailure as error:
                self.trouble = f"outcomes can't be recorded: {error}"
                self._log.trouble("not recorded", error=str(error), pause=pause)
                await asyncio.sleep(pause)
                pause = min(pause * 2, PAUSE_MOST)
            else:
                self.trouble = ""
                return results

    async def _commit(self, reports: Sequence[Report]) -> list[float | None]:
        now = self._clock()
        verdicts = [judge(report, self._schedule, now) for report in reports]
        children = [await self._journal(notice) for one in verdicts for notice in one.notices()]
        await self._database.write(record, verdicts)
        self._push(children)
        for one in verdicts:
            self._tell(one)
        self._count(verdicts)
        return [one.due for one in verdicts]

    async def _journal(self, notice: Notice) -> Item:
        try:
            return await self._notifier.journal(notice)
        except RecordUnavailable as error:
            # its own trouble, not the volume's: the others mustn't wait for it
            raise StaleReference(str(error)) from error

    def _push(self, children: list[Item]) -> None:
        for child in children:
            self._outbox.put(child)

    def _tell(self, verdicts: Verdicts) -> None:
        for final in verdicts.finals:
            self._tell_final(final)
        for wait in verdicts.waits:
            entry = wait.report.envelope.id
            self._log.deferred(entry, recipient=wait.recipient, reason=wait.reason, until=wait.due_at)

    def _count(self, verdicts: Sequence[Verdicts]) -> None:
        """Count attempts, a commit's together: a metric costs as much as its line in the log."""
        attempts = Counter((one.site, final.outcome) for one in verdicts for final in one.finals)
        attempts.update((one.site, "deferred") for one in verdicts for _ in one.waits)
        for (site, outcome), number in attempts.items():
            RELAY_OUTCOMES.labels(outcome).inc(number)
            RELAY_ATTEMPTS.labels(self._counted(site), outcome).inc(number)

    def _counted(self, site: str) -> str:
        """Return what a site is counted as: names come from other people's DNS, so there is a limit to them."""
        if site not in self._sites:
            if len(self._sites) >= COUNTED_SITES:
                return "other"
            self._sites.add(site)
        return site or "none"

    def _tell_final(self, final: Final) -> None:
        entry, detail = final.envelope.id, final.detail
        if final.outcome == "relayed":
            self._log.relayed(entry, recipient=final.recipient, host=detail["host"], reply=detail["reply"])
        else:
            child = final.notice.child if final.notice else ""
            self._log.bounced(entry, recipient=final.recipient, reason=detail["reply"], child=child)


def record(verdicts: Sequence[Verdicts]) -> Work[None]:
    """Write ledger and pending rows in the order of the locks: ledger, segments, pending."""
    finals = sorted((f for one in verdicts for f in one.finals), key=lambda f: (f.envelope.id, f.recipient))
    waits = sorted((w for one in verdicts for w in one.waits), key=lambda w: (w.report.envelope.id, w.recipient))
    for chunk in chunked([final.row() for final in finals]):
        yield sql.record(rows=chunk)
    if waits:
        yield from _defer(waits)
    entries = sorted({*(f.envelope.id for f in finals), *(w.report.envelope.id for w in waits)})
    yield sql.forget_finished(entries=entries)


def _defer(waits: Sequence[Wait]) -> Work[None]:
    segments = yield from lock_segments(wait.report.reference.segment for wait in waits)
    rows = {}
    for wait in waits:
        segment = segments.get(wait.report.reference.segment)
        if segment is None:
            raise StaleReference(f"segment {wait.report.reference.segment} was rewritten meanwhile")
        rows[wait.report.envelope.id, wait.recipient] = wait.row(segment)
    for chunk in chunked(list(rows.values())):
        yield sql.defer(rows=chunk)
    for chunk in chunked([wait.attempt_row() for wait in waits]):
        yield sql.insert_attempts(rows=chunk)


def _resolve(request: _Request, results: list[float | None]) -> None:
    if not request.future.done():
        request.future.set_result(results)
