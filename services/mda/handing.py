"""Mail of accounts that have it elsewhere: an entry of its own for each, worked on beside the batches.

The batch that finds out where a message goes journals a child of kind HANDOVER (its id follows from the parent,
so a repeat makes the same) and is through with it. The child's own delivery may take its time, wait and be tried
again. Nothing outside can be part of our transaction: a process that dies between the delivery and the ledger's
row delivers again. A Maildir's file is then replaced, an mbox asked whether it has it; LMTP servers and commands
get it twice.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace

from services.mda.children import Child, Children
from services.mda.entry import Entry
from services.mda.external import External, Parcel
from services.mda.failure import Failure
from shared.db import Database, Rows, Work
from shared.errors import PacketboatError, PermanentFailure, TemporaryFailure
from shared.ids import child_id
from shared.journal.errors import RecordUnavailable
from shared.journal.reader import Reader
from shared.mailbox.blobs import NewBlob, lock_segments
from shared.mailbox.deliver import MAX_DETAIL, deliver, history
from shared.mailbox.job import Deliver, Job, Outcome, Record
from shared.maillog import MailLog
from shared.message.compose import return_path_header
from shared.message.envelope import Kind, Lane, Origin, Recipient
from shared.metrics import DELIVERED
from shared.operations.origin import origin_json
from shared.operations.targets import Target, accounts_with_targets, has_any, sql, targets_of
from shared.queue.delivery import Lease, Queue
from shared.queue.outbox import Outbox
from shared.queue.renewing import RenewingLeases
from shared.queue.upkeep import AWAY

AT_A_TIME = 32  # deliveries under way in one process
MAX_TAKEN = 500  # entries that are under way or wait for their turn; the queue keeps the others
LATER = 5.0  # seconds until an entry is looked at again for which there was no room
UNREADABLE_DELAY = 60.0  # seconds until a record that can't be read is tried again
KNOWN_SECONDS = 2.0  # that "nobody has a target" is believed
FIRST_PAUSE, LONGEST_PAUSE = 60.0, 3600.0  # seconds between attempts
JITTER = 0.1  # share of a pause by which entries are spread
EXPIRY = 5 * 86400.0  # seconds after which a message that can't be delivered goes back
MAX_DOUBLINGS = 20


def handovers(entry: Entry, recipient: Recipient, step: Deliver, bodies: dict[str, bytes]) -> list[Child]:
    """Return the entries that bring a message to where an account has its mail, one for each mailbox chosen.

    `bodies` are those of messages that a filter changed, by their blobs' entries.
    """
    steps = {one.mailbox: one for one in reversed((step, *step.more))}
    return [_handover(entry, recipient, one, bodies) for one in reversed(steps.values())]


def _handover(entry: Entry, recipient: Recipient, step: Deliver, bodies: dict[str, bytes]) -> Child:
    parent = entry.envelope
    envelope = replace(
        parent,
        id=child_id(parent.id, recipient.address, Kind.HANDOVER.value, step.target, step.mailbox),
        recipients=(
            Recipient(
                step.target,
                Lane.DELIVERY,
                orcpt=recipient.orcpt or f"rfc822;{recipient.address}",
                notify=recipient.notify,
            ),
        ),
        kind=Kind.HANDOVER,
        parent=parent.id,
        mailbox=step.mailbox,
        origin=Origin(service="mda"),
    )
    head = step.prefix.removeprefix(return_path_header(parent.sender))  # it is added again where it is delivered
    return Child(envelope, head, bodies[step.blob.entry] if step.blob is not None else entry.message)


class Targets:
    """Says whose mail goes elsewhere."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._none_until = 0.0

    async def of(self, accounts: Iterable[tuple[int, str]]) -> dict[int, Target]:
        """Return the targets of accounts (id, address) whose mail doesn't go to the store."""
        if self._clock() < self._none_until:
            return {}
        if not await self._database.read(has_any):
            self._none_until = self._clock() + KNOWN_SECONDS
            return {}
        return await self._database.read(targets_of, list(accounts))


class Handing:
    """Delivers handovers; one per process. `clock` gives Unix seconds."""

    def __init__(
        self,
        database: Database,
        queue: Queue,
        reader: Reader,
        outbox: Outbox,
        children: Children,
        log: MailLog,
        hostname: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._queue = queue
        self._reader = reader
        self._outbox = outbox
        self._children = children
        self._log = log
        self._clock = clock
        self._external = External(hostname)
        self._slots = asyncio.Semaphore(AT_A_TIME)
        self._tasks: dict[Lease, asyncio.Task[None]] = {}

    def has(self, lease: Lease) -> bool:
        """Say whether an entry is being delivered: its lease is no one else's business."""
        return lease in self._tasks

    async def take(self, entries: Sequence[Entry]) -> list[Entry]:
        """Begin to deliver the handovers among entries; return the others, also those that go to the store now."""
        wanted = [entry for entry in entries if entry.envelope.kind is Kind.HANDOVER]
        if not wanted:
            return list(entries)
        found = await self._database.read(accounts_with_targets, [_address(entry) for entry in wanted])
        taken: set[str] = set()
        for entry in wanted:
            target = found.get(_address(entry))
            if target is not None:
                taken.add(entry.id)
                await self._begin(entry, target)
        return [entry for entry in entries if entry.id not in taken]

    async def settle(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    async def drain(self, patience: float) -> None:
        """Let deliveries end that are under way, at most so many seconds, and give back the others."""
        if self._tasks:
            _, late = await asyncio.wait(list(self._tasks.values()), timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._external.close()

    async def _begin(self, entry: Entry, target: Target) -> None:
        if len(self._tasks) >= MAX_TAKEN:
            await self._queue.delay([entry.lease], [self._clock() + LATER])
            return
        lease = entry.lease
        light = Entry(lease, entry.reference, entry.envelope, b"", entry.rendered)  # it is read again in its turn
        self._tasks[lease] = task = asyncio.create_task(self._work(light, target))
        task.add_done_callback(lambda _: self._tasks.pop(lease, None))

    async def _work(self, entry: Entry, target: Target) -> None:
        try:
            async with RenewingLeases(self._queue, [entry.lease]) as held, self._slots:
                if held.owns(entry.lease):
                    await self._bring(entry, target)
        except asyncio.CancelledError:
            await self._give_back(self._queue.release([entry.lease]))
        except AWAY as error:
            self._log.info("handover put off", entry=entry.id, reason=str(error))
            await self._give_back(self._queue.delay([entry.lease], [self._clock() + LATER]))
        except Exception as error:  # noqa: BLE001 - a worker's edge: the lease expires, which counts
            self._log.trouble("handover failed", entry=entry.id, error=repr(error))

    async def _give_back(self, giving: Awaitable[None]) -> None:
        try:
            await asyncio.shield(giving)
        except AWAY as error:  # it expires
            self._log.info("leases left to expire", leases=1, error=str(error))

    async def _bring(self, entry: Entry, target: Target) -> None:
        address = _address(entry)
        known = await self._database.read(history, [entry.id])
        if (entry.id, address) in known.finished | known.held:
            await self._queue.finish([entry.lease])
            return
        try:
            entry.message = await asyncio.to_thread(self._reader.read, entry.reference)
        except RecordUnavailable as failure:
            self._log.trouble("record unreadable", entry=entry.id, reason=failure.detail)
            await self._queue.delay([entry.lease], [self._clock() + UNREADABLE_DELAY])
            return
        repeated = entry.lease.deliveries > 1 or (entry.id, address) in known.waiting
        try:
            said = await self._external.deliver(target, Parcel(entry.envelope, address, entry.message, repeated))
        except TemporaryFailure as failure:
            await self._put_off(entry, target, failure)
        except PermanentFailure as failure:
            await self._bounce(entry, target, Failure(failure.status, failure.text))
        else:
            await self._delivered(entry, target, said)

    async def _delivered(self, entry: Entry, target: Target, said: str) -> None:
        [recipient] = entry.envelope.recipients
        child = await self._children.success(entry, recipient, expanded=False)
        detail = {"to": str(target), "reply": said} | ({"child": child.id} if child else {})
        await self._record(entry, Outcome.DELIVERED, detail, child)
        self._log.delivered(entry.id, recipient=recipient.address, account=recipient.address, mailbox=said, uid=0)

    async def _bounce(self, entry: Entry, target: Target, failure: Failure) -> None:
        [recipient] = entry.envelope.recipients
        child = await self._children.bounce(entry, recipient, recipient.address, failure)
        detail = {"to": str(target), "reason": str(failure)} | ({"child": child.id} if child else {})
        await self._record(entry, Outcome.BOUNCED if child else Outcome.FAILED, detail, child)
        self._log.bounced(
            entry.id, recipient=recipient.address, reason=str(failure), child=child.id if child is not None else ""
        )

    async def _record(self, entry: Entry, outcome: Outcome, detail: dict[str, str], child: Child | None) -> None:
        """Put an outcome on record: the report to the sender first, and what wakes its worker last."""
        item = await self._children.journal(child) if child is not None else None
        address = _address(entry)
        await self._database.write(deliver, [_job(entry, (Record(address, address, outcome, detail),))], self._now())
        if item is not None:
            self._outbox.put(item)
        DELIVERED.labels(outcome.value).inc()
        await self._queue.finish([entry.lease])

    async def _put_off(self, entry: Entry, target: Target, failure: PacketboatError) -> None:
        """Keep it for another attempt; after its time it goes back to the sender."""
        now = self._clock()
        if now >= entry.envelope.received_at / 1_000_000 + EXPIRY:
            await self._bounce(entry, target, Failure("5.4.7", f"It could not be delivered in time: {failure}"))
            return
        attempts = 1 + await self._database.read(_attempts, entry.id, _address(entry))
        pause = min(FIRST_PAUSE * 2.0 ** min(attempts - 1, MAX_DOUBLINGS), LONGEST_PAUSE)
        due = now + pause * (1 + JITTER * random.random())
        await self._database.write(_defer, entry, int(due * 1_000_000), attempts, str(failure))
        self._log.info("deferred", entry=entry.id, recipient=_address(entry), reason=str(failure), attempts=attempts)
        await self._queue.delay([entry.lease], [due])

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)


def _address(entry: Entry) -> str:
    return entry.envelope.recipients[0].address


def _job(entry: Entry, steps: tuple[Record, ...]) -> Job:
    envelope = entry.envelope
    return Job(
        NewBlob(entry.id, entry.reference, entry.rendered),
        envelope.sender,
        steps,
        envelope.received_at // 1_000_000,
        envelope.message_id,
        waited=True,
        origin=origin_json(envelope, ()),
    )


def _attempts(entry: str, recipient: str) -> Work[int]:
    rows: Rows = yield sql.attempts(entry=entry, recipient=recipient, lane=Lane.DELIVERY.value)
    return int(rows[0]["attempts"]) if rows else 0


def _defer(entry: Entry, due: int, attempts: int, reason: str) -> Work[None]:
    reference, envelope = entry.reference, entry.envelope
    segments = yield from lock_segments([reference.segment])
    if reference.segment not in segments:
        return  # settled and rewritten: its row in `pending` says where it lies now
    place = (segments[reference.segment], *_place(entry))
    tail = (due, envelope.received_at, attempts, reason[:MAX_DETAIL], envelope.sender, envelope.message_id)
    yield sql.defer(rows=[(entry.id, _address(entry), "", Lane.DELIVERY.value, *place, *tail)])


def _place(entry: Entry) -> tuple[int, int, int, int, int, str]:
    reference: tuple[str, int, int, int, int, int, str] = entry.reference
    return reference[1:]
