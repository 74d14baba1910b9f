"""The batch transaction: many entries into many mailboxes, each recipient's outcome once (DESIGN §5).

The gate is the ledger's row of (entry, recipient, target): whoever inserts it does what it stands for,
in the same transaction. A job is done as a whole or not at all, so that any ledger row of a recipient
says that all of its targets are done. One entry may have several jobs, of different recipients.

    results = await database.write(deliver, jobs, now)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.db import Work, load
from shared.imap.flags import DELETED, SEEN, SYSTEM_MASK, FlagSet, Keywords
from shared.imap.mailbox_name import INBOX
from shared.mailbox.blobs import NewBlob, chunked, insert_blobs, lock_segments
from shared.mailbox.blobs import sql as message_sql
from shared.mailbox.filing import learn_some, make_missing
from shared.mailbox.job import Deliver, Delivered, Fate, Job, Outcome, Record, Refusal, Result, Step
from shared.mailbox.mailbox import next_modseq
from shared.mailbox.usage import Room
from shared.message.envelope import Lane

MAX_DETAIL = 1_000  # characters of one value in a ledger row's detail, or of a reason in pending

_NO_KEYWORDS = Keywords()

sql = load("deliver")


@dataclass(frozen=True, slots=True)
class History:
    """What is on record of some entries, as (entry, recipient) pairs."""

    finished: frozenset[tuple[str, str]]
    held: frozenset[tuple[str, str]]  # wait for the operator
    waiting: frozenset[tuple[str, str]]  # were held, and the operator let them go on


def history(entries: Iterable[str]) -> Work[History]:
    """Return what is on record of entries in this lane."""
    ids = list(entries)
    done = yield sql.finished(entries=ids)
    pending = yield sql.waiting(entries=ids, lane=Lane.DELIVERY.value)
    return History(
        frozenset((row["entry"], row["recipient"]) for row in done),
        frozenset((row["entry"], row["recipient"]) for row in pending if row["held"]),
        frozenset((row["entry"], row["recipient"]) for row in pending if not row["held"]),
    )


def deliver(jobs: Sequence[Job], now: int) -> Work[list[Result]]:
    """Do all jobs in one transaction; `now` in microseconds. Results are in the order of `jobs`."""
    batch = _Batch(now)
    yield from _pass_gate(batch, jobs)
    yield from _lock(batch)
    for task in batch.tasks:
        _place(batch, task)
    yield from _undo(batch)
    yield from _learn(batch)
    yield from _insert(batch)
    yield from _stop_waiting(batch)
    return [_result(task) for task in batch.tasks]


def hold(job: Job, recipients: Iterable[str], received_at: int, reason: str, now: int) -> Work[None]:
    """Keep recipients of an entry for the operator to see, times in microseconds."""
    reference = job.blob.reference
    segments = yield from lock_segments([reference.segment])
    if reference.segment not in segments:
        return  # settled and rewritten: every recipient is on record already
    place = (
        segments[reference.segment],
        reference.offset,
        reference.length,
        reference.body,
        reference.inline,
        reference.size,
        reference.large,
    )
    tail = (now, received_at, 1, reason[:MAX_DETAIL], job.sender, job.message_id)
    rows = [(job.entry, recipient, "", Lane.DELIVERY.value, *place, *tail) for recipient in recipients]
    for chunk in chunked(rows):
        yield sql.hold(rows=chunk)


# The steps of the transaction, in the order of its locks


@dataclass(slots=True)
class _Task:
    """A job on its way through the transaction."""

    job: Job
    steps: list[Step]  # those that passed the gate
    fate: Fate = Fate.DONE
    refused: list[tuple[Deliver, Refusal]] = field(default_factory=list)
    placed: list[tuple[Deliver, _Target]] = field(default_factory=list)
    delivered: list[Delivered] = field(default_factory=list)

    def deliveries(self) -> list[Deliver]:
        found: list[Deliver] = []
        for step in self.steps:
            if isinstance(step, Deliver):
                found.append(step)
                found += step.more
        return found

    def blob(self, step: Deliver) -> NewBlob:
        return step.blob or self.job.blob

    def size(self, step: Deliver) -> int:
        return len(step.prefix) + self.blob(step).reference.size


@dataclass(slots=True)
class _Target:
    """A locked mailbox, and what the batch adds to it."""

    id: int
    name: str
    uidnext: int
    modseq: int
    messages: int = 0
    unseen: int = 0
    deleted: int = 0
    bytes: int = 0
    keywords: Keywords = _NO_KEYWORDS

    def take(self, flags: int, size: int) -> int:
        """Give the next UID to a message."""
        self.messages += 1
        self.unseen += not flags & SEEN
        self.deleted += bool(flags & DELETED)
        self.bytes += size
        self.uidnext += 1
        return self.uidnext - 1


@dataclass(slots=True)
class _Batch:
    now: int
    tasks: list[_Task] = field(default_factory=list)
    segments: dict[str, int] = field(default_factory=dict)
    rooms: dict[int, Room] = field(default_factory=dict)
    targets: dict[tuple[int, str], _Target] = field(default_factory=dict)


def _pass_gate(batch: _Batch, jobs: Sequence[Job]) -> Work[None]:
    rows = sorted(
        ((*_key(job, step), *_ledger_values(job, step, batch.now)) for job in jobs for step in job.steps),
        key=lambda row: row[:3],
    )
    passed: set[tuple[str, str, str]] = set()
    for chunk in chunked(rows):
        passed.update(tuple(row) for row in (yield sql.insert_ledger(rows=chunk)))
    for job in jobs:
        steps = {key: step for step in job.steps if (key := _key(job, step)) in passed}
        passed.difference_update(steps)  # an entry that is in the batch twice is done once
        batch.tasks.append(_Task(job, list(steps.values()), Fate.DONE if steps else Fate.DUPLICATE))


def _lock(batch: _Batch) -> Work[None]:
    """Lock segments, accounts and mailboxes, each sorted, with one statement each."""
    steps = [(task, step) for task in batch.tasks for step in task.deliveries()]
    if not steps:
        return
    batch.segments = yield from lock_segments(task.blob(step).reference.segment for task, step in steps)
    accounts = sorted({step.account_id for _, step in steps})
    for row in (yield sql.lock_accounts(ids=accounts)):
        batch.rooms[row["id"]] = Room.from_row(row)
    yield from _create([step for _, step in steps if step.create], batch)
    names = sorted({step.mailbox for _, step in steps} | {INBOX})
    for row in (yield sql.lock_mailboxes(accounts=accounts, names=names)):
        target = _Target(row["id"], row["name"], row["uidnext"], next_modseq(row["modseq"], batch.now))
        batch.targets[row["account_id"], row["name"]] = target


def _create(steps: Sequence[Deliver], batch: _Batch) -> Work[None]:
    """Make mailboxes that are asked for and missing, in accounts that are locked."""
    wanted: dict[int, dict[str, str]] = {}
    for step in steps:
        if step.account_id in batch.rooms:
            wanted.setdefault(step.account_id, {})[step.mailbox] = step.special_use
    for account, names in sorted(wanted.items()):
        yield from make_missing(account, names, batch.now)


def _place(batch: _Batch, task: _Task) -> None:
    """Find a job's mailboxes and room; refuse it as a whole if one of its deliveries can't be."""
    deliveries = task.deliveries()
    if any(task.blob(step).reference.segment not in batch.segments for step in deliveries):
        task.fate = Fate.REWRITTEN
        return
    taken: list[tuple[Room, int]] = []
    for step in deliveries:
        refusal = _take_room(batch, task, step, taken)
        if refusal is not None:
            task.refused.append((step, refusal))
    if task.refused:
        task.fate = Fate.REFUSED
        task.placed.clear()
        for room, size in taken:
            room.put_back(size)


def _take_room(batch: _Batch, task: _Task, step: Deliver, taken: list[tuple[Room, int]]) -> Refusal | None:
    size = task.size(step)
    room = batch.rooms.get(step.account_id)
    target = batch.targets.get((step.account_id, step.mailbox)) or batch.targets.get((step.account_id, INBOX))
    if room is None or target is None:
        return Refusal.NO_ACCOUNT
    if not room.take(size):
        return Refusal.OVER_QUOTA
    taken.append((room, size))
    task.placed.append((step, target))
    return None


def _undo(batch: _Batch) -> Work[None]:
    """Take back the gate of the jobs that aren't done."""
    undone = [task for task in batch.tasks if task.fate in (Fate.REFUSED, Fate.REWRITTEN)]
    keys = [_key(task.job, step) for task in undone for step in task.steps]
    if keys:
        yield sql.undo_ledger.many([dict(zip(("entry", "recipient", "target"), key, strict=True)) for key in keys])


def _learn(batch: _Batch) -> Work[None]:
    """Teach mailboxes the keywords of what is put into them."""
    wanted: dict[int, tuple[_Target, list[bytes]]] = {}
    for step, target in (placed for task in batch.tasks for placed in task.placed):
        if step.keywords:
            wanted.setdefault(target.id, (target, []))[1].extend(step.keywords)
    for _, (target, names) in sorted(wanted.items()):
        target.keywords = yield from learn_some(target.id, names)


def _insert(batch: _Batch) -> Work[None]:
    """Count, give UIDs, and insert blobs and messages."""
    tasks = [task for task in batch.tasks if task.placed]
    if not tasks:
        return
    rows = [row for task in tasks for row in _message_rows(task, batch.now)]
    rooms = sorted(item for item in batch.rooms.items() if item[1].messages)
    yield sql.use_room.many([{"id": key, "bytes": room.bytes, "messages": room.messages} for key, room in rooms])
    targets = sorted((t for t in batch.targets.values() if t.messages), key=lambda target: target.id)
    yield sql.give_uids.many([_counts(target) for target in targets])
    new = {blob.entry: blob for task in tasks for step, _ in task.placed for blob in (task.blob(step),)}
    blobs = yield from insert_blobs(list(new.values()), batch.segments)
    for chunk in chunked([(*row[:2], blobs[row[2]], *row[3:]) for row in rows]):
        yield message_sql.insert_messages(rows=chunk)
    yield from _correct_details(tasks)


def _message_rows(task: _Task, now: int) -> list[tuple[Any, ...]]:
    """Give each message its UID; the third value is the entry until the blob's id is known."""
    rows = []
    for step, target in task.placed:
        flags, size = step.flags & SYSTEM_MASK, task.size(step)
        if step.keywords:
            flags = target.keywords.mask(FlagSet(flags, step.keywords))
        uid = target.take(flags, size)
        task.delivered.append(Delivered(step, target.id, target.name, uid))
        saved = now // 1_000_000
        when = task.job.internal_date
        entry = task.blob(step).entry
        rows.append((target.id, uid, entry, target.modseq, flags, when, saved, size, step.prefix))
    return rows


def _stop_waiting(batch: _Batch) -> Work[None]:
    """Remove what `pending` has of the jobs that are done."""
    keys = {
        (task.job.entry, step.recipient)
        for task in batch.tasks
        if task.job.waited and task.fate in (Fate.DONE, Fate.DUPLICATE)
        for step in task.job.steps
    }
    if keys:
        lane = Lane.DELIVERY.value
        yield sql.stop_waiting.many(
            [{"entry": entry, "recipient": recipient, "lane": lane} for entry, recipient in sorted(keys)]
        )


def _correct_details(tasks: Sequence[_Task]) -> Work[None]:
    """Say INBOX where the mailbox that was asked for is missing."""
    corrections = []
    for task in tasks:
        names = {id(delivered.step): delivered.mailbox for delivered in task.delivered}
        for step in task.steps:
            if isinstance(step, Deliver) and any(names[id(one)] != one.mailbox for one in (step, *step.more)):
                corrections.append(
                    {
                        "detail": _delivered_detail(task.job, step, names),
                        "entry": task.job.entry,
                        "recipient": step.recipient,
                        "target": step.target,
                    }
                )
    if corrections:
        yield sql.set_detail.many(corrections)


def _result(task: _Task) -> Result:
    recorded: tuple[Record, ...] = ()
    if task.fate is Fate.DONE:
        recorded = tuple(step for step in task.steps if isinstance(step, Record))
    return Result(task.job, task.fate, tuple(task.delivered), recorded, tuple(task.refused))


def _counts(target: _Target) -> dict[str, int]:
    return {
        "id": target.id,
        "uidnext": target.uidnext,
        "modseq": target.modseq,
        "messages": target.messages,
        "unseen": target.unseen,
        "deleted": target.deleted,
        "bytes": target.bytes,
    }


def _key(job: Job, step: Step) -> tuple[str, str, str]:
    return job.entry, step.recipient, step.target


def _ledger_values(job: Job, step: Step, now: int) -> tuple[str, int, str, str, str]:
    if isinstance(step, Record):
        detail = orjson.dumps({key: text[:MAX_DETAIL] for key, text in step.detail.items()}).decode()
        return step.outcome.value, now, job.sender, job.message_id, _with_origin(job, detail)
    return Outcome.DELIVERED.value, now, job.sender, job.message_id, _delivered_detail(job, step, {})


def _delivered_detail(job: Job, step: Deliver, names: Mapping[int, str]) -> str:
    """Tell where it went; `names` has the mailboxes that steps (by their id()) came to, where they are known."""
    mailbox = names.get(id(step), step.mailbox)
    if mailbox == INBOX == step.mailbox and not step.filter and not step.more:
        return _with_origin(job, '{"mailbox":"INBOX"}')
    detail: dict[str, object] = {"mailbox": mailbox}
    if mailbox != step.mailbox:
        detail["wanted"] = step.mailbox
    if step.more:
        detail["copies"] = [names.get(id(one), one.mailbox) for one in step.more]
    if step.filter:
        detail["filter"] = step.filter
    return _with_origin(job, orjson.dumps(detail).decode())


def _with_origin(job: Job, detail: str) -> str:
    """Put the origin's JSON into that of a detail, which is never empty: it is rendered once for all recipients."""
    return f'{detail[:-1]},"origin":{job.origin}}}' if job.origin and detail != "{}" else detail
