"""The way of a batch: read, expand, plan, journal children, deliver in one transaction, push, finish.

Durable state first, notification second, acknowledgement last: whatever is cut off is repeated, and the
ledger's gate makes the repeat harmless.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from services.mda.acting import Acting
from services.mda.children import Children, store
from services.mda.entry import Entry
from services.mda.expansions import Expansions
from services.mda.failure import OF_REFUSAL
from services.mda.filtering import Filtering
from services.mda.handing import Handing, Targets
from services.mda.isolation import IsolationFailed, render_isolated
from services.mda.loading import GROUP_BYTES, Pending, Unreadable, groups, load
from services.mda.routing import Route, Router
from services.mda.scan import Scanning
from services.mda.sieving import ScriptsStuck, Sieving
from services.mda.unparsed import unparsed
from shared.db import Database, Work
from shared.db import load as load_queries
from shared.directory import Expansion
from shared.errors import TemporaryFailure
from shared.filters.folder import FilterFolder
from shared.filters.panel import Panel
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.journal.writer import Writer
from shared.mailbox.blobs import NewBlob
from shared.mailbox.deliver import History, deliver, history, hold
from shared.mailbox.job import Fate, Job, Outcome, Result
from shared.maillog import MailLog
from shared.message.envelope import Lane
from shared.metrics import DELIVERED, DELIVERY_SECONDS
from shared.queue.delivery import Item, Lease, Queue
from shared.queue.outbox import Outbox
from shared.queue.renewing import RenewingLeases
from shared.queue.upkeep import AWAY

MAX_STEPS = 1_000  # targets in one transaction, unless a single recipient has more
MAX_ROUNDS = 10  # times that a recipient is planned again because of full accounts or compaction
MAX_DELIVERIES = 2  # hand-outs of an entry after which it is parsed in a subprocess
SCANNER_DELAY = 60.0  # seconds until a message is scanned again whose scanner is down
UNREADABLE_DELAY = 60.0  # seconds until a record that can't be read is tried again

sql = load_queries("deliver")


class Stuck(Exception):
    """A thread doesn't come back: only the end of the process stops it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds."""

    isolation: float = 30.0
    stuck: float = 120.0


@dataclass(slots=True)
class _Batch:
    """Children that are durable, and accounts to be woken."""

    journaled: dict[str, Item] = field(default_factory=dict)
    accounts: set[int] = field(default_factory=set)


class Courier:
    """Works on leased entries; one per process, for any number of batches at a time."""

    def __init__(
        self,
        database: Database,
        queue: Queue,
        reader: Reader,
        writer: Writer,
        outbox: Outbox,
        expansions: Expansions,
        children: Children,
        announce: Callable[[Iterable[int]], None],
        log: MailLog,
        *,
        hostname: str = "localhost",
        panel: Panel | None = None,
        folder: FilterFolder | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._queue = queue
        self._reader = reader
        self._writer = writer
        self._outbox = outbox
        self._expansions = expansions
        self._children = children
        self._router = Router(children, clock=clock)
        self._targets = Targets(database)
        self._handing = Handing(database, queue, reader, outbox, children, log, hostname, clock=clock)
        self._scanning = Scanning(database, panel or Panel(()), log, clock=clock)
        self._filtering = Filtering(folder)
        self._acting = Acting(children)
        self._announce = announce
        self._log = log
        self._limits = limits or Limits()
        self._sieving = Sieving(database, hostname, stuck=self._limits.stuck, clock=clock)
        self._clock = clock
        self._large = asyncio.Semaphore(1)  # a message of any size is in memory: one at a time

    async def work(self, leases: Sequence[Lease]) -> None:
        """Bring leased entries to their ends and finish their leases.

        One of AWAY when Redis, the volume or SQL is away: then, as when it is cancelled, the leases that
        aren't finished are given back, uncounted. After any other failure they are left to expire, which
        counts, so that what fails again and again is worked on alone.
        """
        left = dict.fromkeys(leases)
        try:
            async with RenewingLeases(self._queue, leases) as held:
                for group in self._groups(leases):
                    await self._work_group(group)
                    done = [work.lease for work in group]
                    held.remove(done)
                    for lease in done:
                        del left[lease]
        except (*AWAY, asyncio.CancelledError):
            await self._give_back(list(left))
            raise

    async def drain(self, patience: float) -> None:
        """Let deliveries elsewhere end, for so many seconds at most."""
        await self._handing.drain(patience)

    def _groups(self, leases: Sequence[Lease]) -> Iterator[list[Pending]]:
        """Entries that failed before go alone, so that they can't spoil others."""
        yield from groups([lease for lease in leases if lease.deliveries <= MAX_DELIVERIES])
        for lease in leases:
            if lease.deliveries > MAX_DELIVERIES:
                yield from groups([lease])

    async def _work_group(self, group: Sequence[Pending]) -> None:
        try:
            if sum(work.reference.size for work in group) > GROUP_BYTES:
                async with self._large:
                    await self._bring(group)
            else:
                await self._bring(group)
        except (*AWAY, Stuck):
            raise
        except Exception as error:
            if group[0].lease.deliveries <= MAX_DELIVERIES:
                raise
            await self._hold_all(group[0], repr(error))

    async def _bring(self, group: Sequence[Pending]) -> None:
        loaded = await self._load(group)
        entries = [found for found in loaded if isinstance(found, Entry)]
        for found in loaded:
            if isinstance(found, Unreadable):
                entry = await self._find_again(found)
                if entry is not None:
                    entries.append(entry)
        entries = await self._scan(await self._handing.take(entries))
        batch = _Batch()
        routes, late = await self._ask_filters(await self._scanning.divert(await self._routes(entries)))
        await self._filter(routes)
        await self._deliver_all(routes, batch)
        self._announce(batch.accounts)
        await self._queue.finish([entry.lease for entry in entries if entry.id not in late])
        await self._put_off([entry.lease for entry in entries if entry.id in late])

    async def _scan(self, entries: list[Entry]) -> list[Entry]:
        """Have entries scanned, and put off those whose scanner is down, where that is its policy."""
        ready, late = await self._scanning.scan(entries)
        await self._put_off([entry.lease for entry in late])
        return ready

    async def _ask_filters(self, routes: list[Route]) -> tuple[list[Route], set[str]]:
        """Have Python filters decide; return what goes on, and the entries that wait for a filter that fails."""
        filtered = await self._filtering.decide(routes)
        kept = await self._scanning.keep_back(filtered.suspects) if filtered.suspects else []
        for case in filtered.decided:
            case.route.plans[case.account.id] = await self._acting.plan(case)
        await self._scanning.find_junk([route for route in routes if route.scanned])
        away = {id(route) for route in (*kept, *filtered.late)}
        return [route for route in routes if id(route) not in away], {route.entry.id for route in filtered.late}

    async def _put_off(self, leases: list[Lease]) -> None:
        if leases:
            await self._queue.delay(leases, [self._clock() + SCANNER_DELAY] * len(leases))

    async def _give_back(self, leases: list[Lease]) -> None:
        try:
            await asyncio.shield(self._queue.release([lease for lease in leases if not self._handing.has(lease)]))
        except AWAY as error:  # they expire
            self._log.info("leases left to expire", leases=len(leases), error=str(error))

    # Reading

    async def _load(self, group: Sequence[Pending]) -> list[Entry | Unreadable]:
        if group[0].lease.deliveries > MAX_DELIVERIES:
            return await self._load_isolated(group)
        try:
            return await asyncio.wait_for(asyncio.to_thread(load, self._reader, group), self._limits.stuck)
        except TimeoutError:
            first = group[0].lease.item.entry
            raise Stuck(f"parsing takes over {self._limits.stuck} s: {first} …") from None

    async def _load_isolated(self, group: Sequence[Pending]) -> list[Entry | Unreadable]:
        found = await asyncio.to_thread(load, self._reader, group, parse=False)
        for entry in found:
            if isinstance(entry, Entry):
                try:
                    entry.rendered = await render_isolated(entry.message, self._limits.isolation)
                except IsolationFailed as error:
                    self._log.trouble("delivered unparsed", entry=entry.id, error=str(error))
        return found

    async def _find_again(self, found: Unreadable) -> Entry | None:
        """Look a record up again that isn't where its reference says; put the entry off if that fails."""
        lease = found.lease
        reference = await self._database.read(_place_of, lease.item.entry)
        if reference is not None:
            again = await asyncio.to_thread(load, self._reader, [Pending(lease, reference)])
            if isinstance(again[0], Entry):
                return again[0]
        stale = Reference.decode(lease.item.reference)
        if await self._database.read(_is_rewritten, stale.segment):
            await self._queue.finish([lease])  # only what is on record for all recipients is rewritten
            return None
        self._log.trouble("record unreadable", entry=lease.item.entry, reason=str(found.failure))
        await self._queue.delay([lease], [self._clock() + UNREADABLE_DELAY])
        return None

    # Planning

    async def _routes(self, entries: Sequence[Entry]) -> list[Route]:
        """Return a route for each recipient that isn't on record yet."""
        if not entries:
            return []
        known: History = await self._database.read(history, [entry.id for entry in entries])
        wanted = [
            (entry, recipient)
            for entry in entries
            for recipient in entry.envelope.lane(Lane.DELIVERY)
            if (entry.id, recipient.address) not in known.finished and (entry.id, recipient.address) not in known.held
        ]
        led = await self._expansions.of(recipient.address for _, recipient in wanted)
        accounts = {account.id: account.address for expansion in led.values() for account in expansion.accounts}
        targets = await self._targets.of(accounts.items())
        return [
            Route(
                entry,
                recipient,
                led.get(recipient.address, Expansion()),
                waited=(entry.id, recipient.address) in known.waiting,
                targets=targets,
            )
            for entry, recipient in wanted
        ]

    async def _filter(self, routes: Sequence[Route]) -> None:
        """Have the scripts of those who get the message decide; a message that failed before is delivered without."""
        trusted = [route for route in routes if route.entry.lease.deliveries <= MAX_DELIVERIES]
        try:
            cases = await self._sieving.decide(trusted)
        except ScriptsStuck as error:
            raise Stuck(str(error)) from None
        for case in cases:
            case.route.plans[case.account.id] = await self._acting.plan(case)

    # Delivering

    async def _deliver_all(self, routes: Sequence[Route], batch: _Batch) -> None:
        left = list(routes)
        for _ in range(MAX_ROUNDS):
            if not left:
                return
            again: list[Route] = []
            for portion in await self._planned(left):
                again += await self._deliver_portion(portion, batch)
            left = again
        raise TemporaryFailure(f"{left[0].entry.id} could not be planned in {MAX_ROUNDS} rounds")

    async def _planned(self, routes: Sequence[Route]) -> list[list[Route]]:
        """Plan routes and cut them into what one transaction takes."""
        portions: list[list[Route]] = []
        steps = MAX_STEPS
        for route in routes:
            job = await self._router.plan(route)
            if steps + len(job.steps) > MAX_STEPS:
                portions.append([])
                steps = 0
            portions[-1].append(route)
            steps += len(job.steps)
        return portions

    async def _deliver_portion(self, routes: Sequence[Route], batch: _Batch) -> list[Route]:
        """Deliver, and return the routes that have to be planned again."""
        await self._journal_children(routes, batch)
        again: list[Route] = []
        for route, result in zip(routes, await self._transact(routes), strict=True):
            match result.fate:
                case Fate.DONE:
                    self._note(route, result, batch)
                case Fate.REFUSED:
                    route.refused |= {step.target: OF_REFUSAL[why] for step, why in result.refused}
                    again.append(route)
                case Fate.REWRITTEN:
                    entry = route.entry
                    entry.reference = await store(self._writer, entry.envelope, b"", entry.message)
                    for plan in route.plans.values():
                        await self._acting.store_again(plan)
                    again.append(route)
                case Fate.DUPLICATE:
                    self._log.info("repeated", entry=route.entry.id, recipient=route.recipient.address)
        return again

    async def _journal_children(self, routes: Sequence[Route], batch: _Batch) -> None:
        missing = {
            child.id: child for route in routes for child in route.children.values() if child.id not in batch.journaled
        }
        items = await asyncio.gather(*(self._children.journal(child) for child in missing.values()))
        batch.journaled.update(zip(missing, items, strict=True))

    async def _transact(self, routes: Sequence[Route]) -> list[Result]:
        """Run the batch transaction; if it fails for another reason than trouble, one recipient at a time."""
        jobs = [_job(route) for route in routes]
        try:
            return await self._database.write(deliver, jobs, self._now())
        except TemporaryFailure:
            raise
        except Exception as error:  # noqa: BLE001 - one bad message must not spoil others
            self._log.trouble("batch failed", entries=len(jobs), error=repr(error))
        return [await self._transact_alone(route) for route in routes]

    async def _transact_alone(self, route: Route) -> Result:
        """Deliver for one recipient: as it is, then unparsed; what can't be delivered so is held."""
        for _ in range(2):
            try:
                return (await self._database.write(deliver, [_job(route)], self._now()))[0]
            except TemporaryFailure:
                raise
            except Exception as error:  # noqa: BLE001 - it is put on record below
                reason = repr(error)
                self._log.trouble("delivery failed", entry=route.entry.id, error=reason)
            route.entry.rendered = unparsed(route.entry.message)
            await self._router.plan(route)
        await self._hold(route, reason)
        return Result(_job(route), Fate.DUPLICATE)

    async def _hold(self, route: Route, reason: str) -> None:
        """Keep a recipient for the operator (`packetboat queue list`)."""
        received_at = route.entry.envelope.received_at
        job, recipients = _job(route), [route.recipient.address]
        await self._database.write(hold, job, recipients, received_at, reason, self._now())
        self._log.trouble("held", entry=route.entry.id, recipient=route.recipient.address, reason=reason)

    async def _hold_all(self, work: Pending, reason: str) -> None:
        """Keep an entry that fails again and again, whatever is done with it, for the operator."""
        lease, reference = work.lease, work.reference
        envelope = await asyncio.to_thread(self._reader.envelope, reference)
        entry = Entry(lease, reference, envelope, b"", unparsed(b""))
        job = Job(NewBlob(entry.id, reference, entry.rendered), envelope.sender, (), 0, envelope.message_id)
        known = await self._database.read(history, [entry.id])
        left = [r.address for r in envelope.lane(Lane.DELIVERY) if (entry.id, r.address) not in known.finished]
        await self._database.write(hold, job, left, envelope.received_at, reason, self._now())
        self._log.trouble("held", entry=entry.id, recipients=len(left), reason=reason)
        await self._queue.finish([lease])

    # Afterwards

    def _note(self, route: Route, result: Result, batch: _Batch) -> None:
        """Push the children, tell the log and the metrics; sessions are woken once the batch is through."""
        for child in route.children:
            self._outbox.put(batch.journaled[child])
        entry, recipient = route.entry, route.recipient.address
        age = self._clock() - entry.envelope.received_at / 1_000_000
        for delivered in result.delivered:
            batch.accounts.add(delivered.step.account_id)
            self._log.delivered(
                entry.id,
                recipient=recipient,
                account=delivered.step.target,
                mailbox=delivered.mailbox,
                uid=delivered.uid,
            )
            DELIVERY_SECONDS.observe(max(age, 0.0))
        DELIVERED.labels("delivered").inc(len(result.delivered))
        for record in result.recorded:
            DELIVERED.labels(record.outcome.value).inc()
            child = record.detail.get("child", "")
            if record.outcome in (Outcome.DISCARDED, Outcome.ANSWERED, Outcome.NOTIFIED):
                self._log.filtered(entry.id, recipient=recipient, what=record.outcome.value, **record.detail)
            elif "reason" in record.detail:
                self._log.bounced(entry.id, recipient=recipient, reason=record.detail["reason"], child=child)
            else:
                self._log.redirected(entry.id, recipient=recipient, target=record.target, child=child)

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)


def _job(route: Route) -> Job:
    assert route.job is not None
    return route.job


def _place_of(entry: str) -> Work[Reference | None]:
    """Return where SQL knows an entry's record to lie."""
    rows = yield sql.place_of(entry=entry)
    rows = rows or (yield sql.pending_place_of(entry=entry))
    return Reference(*rows[0]) if rows else None


def _is_rewritten(segment: str) -> Work[bool]:
    rows = yield sql.segment_state(name=segment)
    return bool(rows) and rows[0]["state"] == "rewritten"
