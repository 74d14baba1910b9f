"""From the relay's stream to the sites: recipients grouped by domain, domains resolved."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from services.relay.engine import AGAIN, HOLD_AFTER, Engine, current_reference, domain_of
from services.relay.loading import Loaded, load_records
from services.relay.outcome import Report
from services.relay.route import Route
from services.relay.state import EntryState
from shared.errors import TemporaryFailure
from shared.journal.errors import RecordUnavailable
from shared.journal.reference import Reference
from shared.message.envelope import Envelope, Lane, Recipient
from shared.queue.delivery import Lease
from shared.queue.renewing import RenewingLeases
from shared.queue.sites import Assignment, Part
from shared.smtp.outcome import Deferred, Outcome
from shared.smtp.reply import local_reply

BATCH = 64  # entries taken in together
BATCHES = 8  # at once: one waits for slow name servers while others go on
MAX_READ = 16 * 1024  # octets of a message up to which it is read along with its envelope and its neighbours
BLOCK_MS = 500  # that a read waits for entries; also how soon a drain is noticed
RECLAIMS = 4  # looks for expired leases in one lease's time
PAUSE = 1.0  # seconds after Redis or SQL was away


@dataclass(slots=True)
class _Arrival:
    """An entry on its way in."""

    lease: Lease
    envelope: Envelope
    reference: Reference
    state: EntryState
    parts: list[Part] = field(default_factory=list)
    outcomes: list[tuple[Recipient, Outcome]] = field(default_factory=list)


class Intake:
    """Reads the stream and assigns what it finds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._places = asyncio.Semaphore(BATCHES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._reclaimed = 0.0

    async def run(self) -> None:
        """Take in until the worker stops; what is under way then is finished or given back."""
        while not self._engine.stopping.is_set():
            await self._places.acquire()
            try:
                leases = await self._next()
            except (RedisError, OSError) as error:
                self._engine.log.trouble("queue away", error=str(error))
                await asyncio.sleep(PAUSE)
                leases = []
            if leases:
                self._start(leases)
            else:
                self._places.release()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _next(self) -> list[Lease]:
        queue, now = self._engine.queue, asyncio.get_running_loop().time()
        if now - self._reclaimed >= queue.lease_ms / 1000 / RECLAIMS:
            self._reclaimed = now
            leases = await queue.reclaim(Lane.RELAY, BATCH)
            if leases:
                return leases
        return await queue.read(Lane.RELAY, BATCH, BLOCK_MS)

    def _start(self, leases: list[Lease]) -> None:
        task = asyncio.create_task(self._take_in(leases), name="relay-intake")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._places.release()
        if not task.cancelled() and (error := task.exception()):
            self._engine.log.trouble("intake failed", error=repr(error), exc_info=error)

    async def _take_in(self, leases: list[Lease]) -> None:
        queue = self._engine.queue
        async with RenewingLeases(queue, leases) as held:
            try:
                await self._assign_all(leases, held)
            except (RedisError, OSError, TemporaryFailure) as error:
                # SQL or Redis is away: give the rest back, uncounted; if Redis is away too, the leases expire
                self._engine.log.trouble("intake paused", error=str(error))
                await asyncio.sleep(PAUSE)
                await queue.release([lease for lease in leases if held.owns(lease)])

    async def _assign_all(self, leases: Sequence[Lease], held: RenewingLeases) -> None:
        states = await self._engine.states([lease.item.entry for lease in leases])
        read = await asyncio.to_thread(self._read, leases, states)
        unreadable = [lease for lease, arrival in read if arrival is None]
        if unreadable:
            now = self._engine.clock()
            await self._engine.queue.delay(unreadable, [now + AGAIN] * len(unreadable))
            held.remove(unreadable)
        arrivals = [arrival for _, arrival in read if arrival is not None]
        await self._route_all(arrivals)
        dues = await self._record_refused(arrivals)
        await self._engine.sites.assign_all(
            [Assignment(a.lease, a.parts, due) for a, due in zip(arrivals, dues, strict=True)]
        )
        held.remove([arrival.lease for arrival in arrivals])

    def _read(self, leases: Sequence[Lease], states: dict[str, EntryState]) -> list[tuple[Lease, _Arrival | None]]:
        """Read the envelopes; runs in a thread."""
        references = [current_reference(lease.item.reference, states[lease.item.entry]) for lease in leases]
        loaded = load_records(self._engine.reader, references, MAX_READ)
        return [
            (lease, self._arrival(lease, reference, found, states[lease.item.entry]))
            for lease, reference, found in zip(leases, references, loaded, strict=True)
        ]

    def _arrival(
        self, lease: Lease, reference: Reference | None, found: Loaded | RecordUnavailable, state: EntryState
    ) -> _Arrival | None:
        if reference is None or isinstance(found, RecordUnavailable):
            self._engine.log.trouble("record unavailable", entry=lease.item.entry, error=str(found))
            return None
        return _Arrival(lease, found.envelope, reference, state)

    async def _route_all(self, arrivals: Sequence[_Arrival]) -> None:
        now = self._engine.clock()
        wanted = [(arrival, arrival.state.due(arrival.envelope, now)) for arrival in arrivals]
        domains = sorted({domain_of(r.address) for _, recipients in wanted for r in recipients})
        routes = dict(zip(domains, await asyncio.gather(*map(self._engine.router.route, domains)), strict=True))
        for arrival, recipients in wanted:
            for recipient in recipients:
                route = routes[domain_of(recipient.address)]
                if arrival.lease.deliveries > HOLD_AFTER:
                    arrival.outcomes.append((recipient, _held()))
                elif not isinstance(route, Route):
                    arrival.outcomes.append((recipient, route))
                elif (part := Part(domain_of(recipient.address), route.site)) not in arrival.parts:
                    arrival.parts.append(part)

    async def _record_refused(self, arrivals: Sequence[_Arrival]) -> list[float | None]:
        """Record what failed without an attempt; return when each entry is to come back."""
        now = self._engine.clock()
        refused = [arrival for arrival in arrivals if arrival.outcomes]
        recorded = await self._engine.recorder.record([_report(arrival) for arrival in refused])
        dues = dict(zip(map(id, refused), recorded, strict=True))
        later = [(dues.get(id(a)), a.state.next_due(a.envelope, now)) for a in arrivals]
        return [min((due for due in pair if due is not None), default=None) for pair in later]


def _report(arrival: _Arrival) -> Report:
    held = arrival.lease.deliveries > HOLD_AFTER
    return Report(arrival.envelope, arrival.reference, arrival.state, tuple(arrival.outcomes), held=held)


def _held() -> Deferred:
    return Deferred(local_reply(451, "4.3.0", "held for the operator: its workers died again and again"))
