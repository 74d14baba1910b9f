"""A run: one leased slot of a site, many entries over one connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from services.relay.connection import Connection, HostFailure
from services.relay.engine import AGAIN, ALIVE, ALONE_AFTER, HOLD_AFTER, Engine, current_reference, domain_of
from services.relay.letter import Job, Letter, make_letters
from services.relay.loading import Loaded, load_records
from services.relay.outcome import Report
from services.relay.route import Hop, Route
from services.relay.state import EntryState
from shared.errors import TemporaryFailure
from shared.journal.errors import RecordUnavailable
from shared.journal.reference import Reference
from shared.metrics import RELAY_CONNECTIONS
from shared.queue.sites import SiteItem, SiteLease, SiteLeaseLost
from shared.smtp.dots import BareLineEnd
from shared.smtp.outcome import Deferred, Failed, Via, outcome_of
from shared.smtp.reply import Reply, local_reply

TAKE = 32  # items taken at once
SHARE = TAKE // 2  # … of which one share is put on record while the other is sent
MAX_BYTES = 2 * 1024 * 1024  # octets of messages that one run has in memory, unless one alone has more
RENEWALS = 4  # in one lease's time
HOLD_REFUSED = 5.0  # seconds that a slot stays empty when the site takes no further connection
AWAY = (RedisError, OSError, TemporaryFailure)
AWAY_PAUSE = 1.0  # seconds
MARK_AGAIN = ALIVE / 4  # seconds until a run that goes on says again that its site is alive


@dataclass(slots=True)
class _Batch:
    """What is sent together and recorded together."""

    jobs: list[Job] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    unreadable: list[SiteItem] = field(default_factory=list)


class SiteRun:
    """Works on a site until its queue is empty, the lease is lost or the worker stops."""

    def __init__(self, engine: Engine, lease: SiteLease) -> None:
        self._engine = engine
        self._lease = lease
        self._until = asyncio.get_running_loop().time() + engine.sites.lease_ms / 1000
        self._route: Route | None = None
        self._stale = False  # DNS is to be asked again
        self._hops: list[Hop] = []  # those that haven't failed yet
        self._failure = Deferred(local_reply(451, "4.4.1", "no host can be reached"))
        self._refused = False  # the site gives sessions to others, and no further one to us
        self._turned_away = False  # a host gave a session and then took no message
        self._connection: Connection | None = None
        self._recordings: deque[asyncio.Task[None]] = deque()
        self._marked = 0.0  # when the site was last said to be alive, by the loop's clock

    async def run(self) -> None:
        """Drain the site; every item is recorded, or goes back."""
        renewing = asyncio.create_task(self._renew(), name="renew-site")
        try:
            await self._drain()
            await self._leave_alone()
        except SiteLeaseLost as error:
            self._engine.log.info("site lease lost", site=self._lease.site, error=str(error))
        except AWAY as error:
            self._engine.log.trouble("site run paused", site=self._lease.site, error=str(error))
            await asyncio.sleep(AWAY_PAUSE)
        finally:
            self._hang_up()
            renewing.cancel()
            with contextlib.suppress(*AWAY):  # the lease expires then
                await self._engine.sites.release(self._lease)

    def may_go_on(self) -> bool:
        """Say whether another message may be begun: asked before each MAIL."""
        return not self._engine.stopping.is_set() and asyncio.get_running_loop().time() < self._until

    async def _drain(self) -> None:
        try:
            while self.may_go_on() and not self._refused:
                items = await self._engine.sites.take(self._lease, TAKE)
                if not items:
                    return
                for part in _parts(items):
                    if self.may_go_on() and not self._refused:
                        await self._work(part)
                if self._refused:
                    await self._recorded()
                    await self._engine.sites.put_back(self._lease, items)
        finally:
            await self._recorded()

    async def _leave_alone(self) -> None:
        """Spare a site that can't be reached, or that takes no further connection."""
        site = self._lease.site
        if self._refused:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._engine.stopping.wait(), HOLD_REFUSED)
        elif self._route is not None and not self._hops:
            await self._engine.sites.back_off(site, self._engine.clock() + self._engine.back_off)

    async def _work(self, items: Sequence[SiteItem]) -> None:
        if not await self._find_route(items):
            return
        states = await self._engine.states([item.entry for item in items])
        batch = await asyncio.to_thread(self._read, items, states)
        for share in _shares(batch):
            await self._recorded(but=1)
            try:
                if not self._refused:
                    await self._deliver(share.letters)
            finally:
                self._recordings.append(asyncio.create_task(self._record(share), name="record-site"))

    async def _find_route(self, items: Sequence[SiteItem]) -> bool:
        """Have hosts to try; False if the site isn't what it was, and then its items are routed anew."""
        if self._route is None or self._stale:
            self._stale = False
            route = await self._engine.router.route(items[0].domain)
            if not isinstance(route, Route) or route.site != self._lease.site:
                now = self._engine.clock()
                await self._engine.sites.delay(self._lease, items, [now] * len(items))
                return False
            self._route, self._hops = route, list(route.hops)
        return True

    # Before: what is to be sent. These run in a thread.

    def _read(self, items: Sequence[SiteItem], states: dict[str, EntryState]) -> _Batch:
        batch = _Batch()
        references = [current_reference(item.reference, states[item.entry]) for item in items]
        loaded = load_records(self._engine.reader, references, MAX_BYTES)
        for item, reference, found in zip(items, references, loaded, strict=True):
            try:
                if reference is None or isinstance(found, RecordUnavailable):
                    raise TemporaryFailure(str(found))
                self._read_one(batch, item, reference, found, states[item.entry])
            except TemporaryFailure as error:
                # never a reason to bounce: the record is looked up again later
                self._engine.log.trouble("record unavailable", entry=item.entry, error=str(error))
                batch.unreadable.append(item)
        return batch

    def _read_one(self, batch: _Batch, item: SiteItem, reference: Reference, found: Loaded, state: EntryState) -> None:
        envelope, reader = found.envelope, self._engine.reader
        due = state.due(envelope, self._engine.clock())
        recipients = tuple(r for r in due if domain_of(r.address) == item.domain)
        job = Job(item, envelope, reference, state, recipients)
        if recipients and item.deliveries > HOLD_AFTER:
            _conclude(job, local_reply(451, "4.3.0", "held for the operator: its workers died again and again"))
        elif recipients:
            try:
                batch.letters += make_letters(job, reader, found.message, self._engine.recipients)
            except BareLineEnd as error:
                _conclude(job, local_reply(554, "5.6.0", str(error)))
        batch.jobs.append(job)

    # Sending.

    async def _deliver(self, letters: list[Letter]) -> None:
        while letters and self.may_go_on():
            connection = self._connection or await self._connect()
            if connection is None:
                await self._give_up(letters)
                return
            letters = await connection.send(letters, self._report, self.may_go_on)
            if connection.is_over and connection.client.finished == 0:
                self._turned_away = True  # a host that hangs up before the first message is none
                self._fail_hop(connection.last_reply)
            if connection.is_over:
                self._hang_up()
            elif connection.client.finished >= self._engine.reuse:
                self._hang_up()
                self._stale = True

    async def _connect(self) -> Connection | None:
        """Return a new session with the first host that gives one; None when none does."""
        assert self._route is not None
        while self._hops:
            hop = self._hops[0]
            try:
                self._connection = await self._engine.dialling.connect(hop, self._route)
            except HostFailure as error:
                RELAY_CONNECTIONS.labels("failed").inc()
                self._engine.log.info("no session", site=self._lease.site, error=str(error))
                self._fail_hop(error.reply)
            else:
                RELAY_CONNECTIONS.labels("made").inc()
                await self._mark_alive()
                return self._connection
        return None

    def _fail_hop(self, reply: Reply | None) -> None:
        hop = self._hops.pop(0)
        self._failure = Deferred(reply or self._failure.reply, hop.host, Via(hop.address))

    async def _give_up(self, letters: Sequence[Letter]) -> None:
        """No host gives us a session: all of the site's entries wait, unless others have sessions with it."""
        if not self._turned_away and await self._engine.is_alive(self._lease.site):
            self._refused = True
            return
        for letter in letters:
            letter.job.outcomes.extend((recipient, self._failure) for recipient in letter.recipients)

    def _report(self, letter: Letter, replies: tuple[Reply, ...]) -> None:
        assert self._connection is not None
        host, dsn, via = self._connection.hop.host, self._connection.offers_dsn, self._connection.via(letter)
        for recipient, reply in zip(letter.recipients, replies, strict=True):
            letter.job.outcomes.append((recipient, outcome_of(reply, host, dsn=dsn, via=via)))

    # Afterwards: what is to be recorded.

    async def _record(self, batch: _Batch) -> None:
        """Put outcomes on record, then take out of the queue what is done; the rest goes back with the lease."""
        site, sites = self._lease.site, self._engine.sites
        told = [job for job in batch.jobs if job.outcomes]
        reports = [
            Report(
                job.envelope, job.reference, job.state, tuple(job.outcomes), site, held=job.item.deliveries > HOLD_AFTER
            )
            for job in told
        ]
        dues = dict(zip(map(id, told), await self._engine.recorder.record(reports), strict=True))
        complete = [job for job in batch.jobs if job.is_complete]
        await sites.finish(self._lease, [job.item for job in complete if dues.get(id(job)) is None])
        later = [(job.item, due) for job in complete if (due := dues.get(id(job))) is not None]
        later += [(item, self._engine.clock() + AGAIN) for item in batch.unreadable]
        await sites.delay(self._lease, [item for item, _ in later], [due for _, due in later])
        if any(outcome.host and not isinstance(outcome, Deferred) for job in told for _, outcome in job.outcomes):
            await self._mark_alive()

    async def _mark_alive(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._marked >= MARK_AGAIN:
            self._marked = now
            await self._engine.mark_alive(self._lease.site)

    async def _recorded(self, *, but: int = 0) -> None:
        """Wait for outcomes to be on record, all but the last few shares': what isn't is sent again after a crash."""
        due = [self._recordings.popleft() for _ in range(len(self._recordings) - but)]
        await asyncio.gather(*due)

    def _hang_up(self) -> None:
        """Close the session."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _renew(self) -> None:
        loop, seconds = asyncio.get_running_loop(), self._engine.sites.lease_ms / 1000
        while True:
            await asyncio.sleep(seconds / RENEWALS)
            asked = loop.time()
            try:
                if not await self._engine.sites.renew(self._lease):
                    self._until = 0.0
                    return
                self._until = asked + seconds
            except AWAY as error:
                self._engine.log.trouble("site lease not renewed", site=self._lease.site, error=str(error))


def _shares(batch: _Batch) -> Iterator[_Batch]:
    """Cut a batch into what is recorded together; what couldn't be read is in the first."""
    jobs, unreadable = batch.jobs, batch.unreadable
    for start in range(0, len(jobs) or 1, SHARE):
        share = jobs[start : start + SHARE]
        chosen = set(map(id, share))
        yield _Batch(share, [letter for letter in batch.letters if id(letter.job) in chosen], unreadable)
        unreadable = []


def _conclude(job: Job, reply: Reply) -> None:
    outcome = Failed(reply) if reply.is_permanent else Deferred(reply)
    job.outcomes.extend((recipient, outcome) for recipient in job.recipients)


def _parts(items: Sequence[SiteItem]) -> Iterator[list[SiteItem]]:
    """Cut items by what may be in memory at once; an entry that may have killed its workers goes alone."""
    part: list[SiteItem] = []
    size = 0
    for item in items:
        octets = _inline(item.reference)
        if part and (item.deliveries > ALONE_AFTER or size + octets > MAX_BYTES):
            yield part
            part, size = [], 0
        part.append(item)
        size += octets
        if item.deliveries > ALONE_AFTER:
            yield part
            part, size = [], 0
    if part:
        yield part


def _inline(reference: str) -> int:
    try:
        return Reference.decode(reference).inline
    except ValueError:
        return 0  # told when it is read
