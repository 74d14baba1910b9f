"""The sweep on a real journal, both databases and a real Valkey."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.db import Database, Statement, Work
from shared.db.statement import Query
from shared.ids import new_id
from shared.journal.reader import Reader
from shared.journal.reference import Reference, open_path, sealed_path
from shared.journal.writer import Limits, Writer
from shared.message.envelope import Envelope, Lane, Recipient
from shared.queue import recovery
from shared.queue.delivery import Item, Place, Queue
from shared.queue.recovery import Sweep, SweepReport
from shared.queue.upkeep import Sweeper, keep_promoting, watch_epoch

BODY = b"Subject: test\r\n\r\nHello\r\n"


@dataclass
class Stack:
    """A journal, a database and a queue, and what tests do with them."""

    database: Database
    queue: Queue
    root: Path
    writer: Writer

    def sweep(self, **options: Any) -> Sweep:
        return Sweep(self.database, self.queue, self.root, Reader(self.root), **options)

    async def accept(self, *lanes: Lane, recipients: int = 1) -> tuple[str, Reference]:
        """Journal an entry, as if its process had died before it told Redis."""
        to = tuple(Recipient(f"user{n}@{lane}.test", lane) for lane in lanes for n in range(recipients))
        envelope = Envelope(new_id(), "alice@a.test", to, time.time_ns() // 1000)
        return envelope.id, await self.writer.append(envelope, BODY)

    async def execute(self, text: str, **values: Any) -> list[Any]:
        def work() -> Work[list[Any]]:
            rows = yield Statement(Query("test", text), values)
            return rows

        return await self.database.write(work)

    async def deliver(self, entry: str, recipient: str) -> None:
        await self.execute(
            "INSERT INTO ledger (entry, recipient, target, outcome, at) VALUES (:e, :r, :r, 'delivered', 1)",
            e=entry,
            r=recipient,
        )

    async def defer(self, entry: str, recipient: str, lane: Lane, ref: Reference, due: float, held: int = 0) -> None:
        await self.execute(
            "INSERT INTO segment (name, state) VALUES (:name, 'open') ON CONFLICT DO NOTHING", name=ref.segment
        )
        (row,) = await self.execute("SELECT id FROM segment WHERE name = :name", name=ref.segment)
        await self.execute(
            "INSERT INTO pending (entry, recipient, target, lane, segment_id, position, length, body, inline_size,"
            " size, large, due_at, first_at, held) VALUES (:entry, :recipient, '', :lane, :segment, :position,"
            " :length, :body, :inline, :size, :large, :due, 0, :held)",
            entry=entry,
            recipient=recipient,
            lane=str(lane.value),
            segment=row["id"],
            position=ref.offset,
            length=ref.length,
            body=ref.body,
            inline=ref.inline,
            size=ref.size,
            large=ref.large,
            due=int(due * 1_000_000),
            held=held,
        )

    async def state(self, segment: str) -> str:
        rows = await self.execute("SELECT state, length FROM segment WHERE name = :name", name=segment)
        return rows[0]["state"] if rows else ""

    async def queued(self, lane: Lane) -> list[Item]:
        return [lease.item for lease in await self.queue.read(lane, 1_000, 0)]


@pytest.fixture
async def stack(database: Database, redis: Redis, tmp_path: Path) -> AsyncIterator[Stack]:
    queue = Queue(redis, "worker", lease_ms=100)
    await queue.setup()
    root = tmp_path / "journal"
    writer = Writer(root, "test", limits=Limits(reserve=0))
    await writer.open()
    yield Stack(database, queue, root, writer)
    if not writer.is_poisoned:
        await writer.close()


async def test_what_redis_never_heard_of_is_enqueued_in_every_lane(stack: Stack) -> None:
    entry, ref = await stack.accept(Lane.DELIVERY, Lane.RELAY)
    await stack.writer.seal()
    report = await stack.sweep().run()
    assert (report.scanned, report.enqueued, report.settled) == (1, 2, 0)
    for lane in Lane:
        assert await stack.queued(lane) == [Item(entry, lane, ref.encode())]


async def test_open_segments_are_left_to_their_writers(stack: Stack) -> None:
    await stack.accept(Lane.DELIVERY)
    assert await stack.sweep().run() == SweepReport()
    assert await stack.queued(Lane.DELIVERY) == []


async def test_a_dead_writers_segment_is_sealed_and_swept(stack: Stack) -> None:
    entry, ref = await stack.accept(Lane.DELIVERY)
    os.utime(open_path(stack.root, ref.segment), (1, 1))
    report = await stack.sweep().run()
    assert (report.taken_over, report.enqueued) == (1, 1)
    assert sealed_path(stack.root, ref.segment).exists()
    assert [item.entry for item in await stack.queued(Lane.DELIVERY)] == [entry]
    _, again = await stack.accept(Lane.DELIVERY)
    assert again.segment != ref.segment, "a writer that was only slow finds itself fenced"


async def test_known_entries_are_not_enqueued_again(stack: Stack) -> None:
    entry, ref = await stack.accept(Lane.DELIVERY)
    await stack.queue.enqueue([Item(entry, Lane.DELIVERY, ref.encode())])
    (lease,) = await stack.queue.read(Lane.DELIVERY, 1, 0)
    await stack.writer.seal()
    assert (await stack.sweep().run()).enqueued == 0
    await stack.deliver(entry, "user0@delivery.test")
    await stack.queue.finish([lease])
    assert (await stack.sweep().run()).settled == 1


async def test_only_the_lane_with_unfinished_recipients_is_enqueued(stack: Stack) -> None:
    entry, _ = await stack.accept(Lane.DELIVERY, Lane.RELAY, recipients=2)
    for number in range(2):
        await stack.deliver(entry, f"user{number}@delivery.test")
    await stack.deliver(entry, "user0@relay.test")
    await stack.writer.seal()
    assert (await stack.sweep().run()).enqueued == 1
    assert [item.entry for item in await stack.queued(Lane.RELAY)] == [entry]


async def test_a_segment_is_settled_when_all_is_finished_or_pending(stack: Stack) -> None:
    first, ref = await stack.accept(Lane.DELIVERY)
    second, ref2 = await stack.accept(Lane.RELAY)
    await stack.accept()  # an APPEND: no recipients
    await stack.writer.seal()
    sweep = stack.sweep()
    await sweep.run()
    await stack.deliver(first, "user0@delivery.test")
    assert (await sweep.run()).settled == 0
    assert await stack.state(ref.segment) == ""
    await stack.defer(second, "user0@relay.test", Lane.RELAY, ref2, time.time() + 9_000)
    report = await sweep.run()
    assert (report.settled, report.scanned) == (1, 0), "the file isn't read a second time"
    rows = await stack.execute("SELECT state, length FROM segment")
    assert [(row["state"], row["length"]) for row in rows] == [
        ("settled", sealed_path(stack.root, ref.segment).stat().st_size)
    ]
    assert (await stack.sweep().run()).scanned == 0, "another process believes the stored state"


async def test_settled_and_compacted_segments_are_never_enqueued_from(stack: Stack) -> None:
    _, ref = await stack.accept(Lane.DELIVERY)
    await stack.writer.seal()
    await stack.execute("INSERT INTO segment (name, state) VALUES (:name, 'settled')", name=ref.segment)
    _, other = await stack.accept(Lane.DELIVERY)
    await stack.writer.seal()
    day = sealed_path(stack.root, other.segment).parent
    nonce = other.segment.rsplit("-", 2)[1]
    sealed_path(stack.root, other.segment).rename(day / f"compacted-{nonce}-1.seg")
    assert await stack.sweep().run() == SweepReport()


async def test_pending_rows_come_back_due_or_delayed(stack: Stack) -> None:
    now = time.time()
    due, ref = await stack.accept(Lane.RELAY, recipients=2)
    later, ref2 = await stack.accept(Lane.DELIVERY)
    much_later, ref3 = await stack.accept(Lane.DELIVERY)
    held, ref4 = await stack.accept(Lane.RELAY)
    await stack.defer(due, "user0@relay.test", Lane.RELAY, ref, now - 5)
    await stack.defer(due, "user1@relay.test", Lane.RELAY, ref, now + 60)
    await stack.defer(later, "user0@delivery.test", Lane.DELIVERY, ref2, now + 60)
    await stack.defer(much_later, "user0@delivery.test", Lane.DELIVERY, ref3, now + 100_000)
    await stack.defer(held, "user0@relay.test", Lane.RELAY, ref4, now - 5, held=1)
    report = await stack.sweep().run()
    assert (report.enqueued, report.delayed) == (1, 1)
    assert await stack.queued(Lane.RELAY) == [Item(due, Lane.RELAY, ref.encode())]
    assert await stack.queue.places(later, Lane.DELIVERY) == {Place.DELAYED}
    assert (await stack.sweep().run(full=True)).delayed == 1
    assert await stack.queue.places(much_later, Lane.DELIVERY) == {Place.DELAYED}
    assert await stack.queue.promote(now + 61, 10) == 1
    assert [item.entry for item in await stack.queued(Lane.DELIVERY)] == [later]


async def test_a_row_that_was_made_due_while_the_stack_stood_still_is_hastened(stack: Stack) -> None:
    now = time.time()
    entry, ref = await stack.accept(Lane.RELAY)
    await stack.queue.delay([Item(entry, Lane.RELAY, ref.encode())], [now + 1000])
    await stack.defer(entry, "user0@relay.test", Lane.RELAY, ref, now + 1000)
    assert (await stack.sweep().run(full=True)).hastened == 0
    await stack.execute("UPDATE pending SET due_at = :now WHERE entry = :entry", now=int(now * 1e6), entry=entry)
    assert (await stack.sweep().run()).hastened == 1
    assert await stack.queue.promote(now, 10) == 1


async def test_pages_of_pending_rows(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "BATCH", 3)
    now = time.time()
    entries = []
    for number in range(11):
        entry, ref = await stack.accept(Lane.RELAY)
        await stack.defer(entry, "user0@relay.test", Lane.RELAY, ref, now - 5 - number // 4)
        entries.append(entry)
    await stack.writer.seal()
    report = await stack.sweep().run()
    assert (report.enqueued, report.settled) == (11, 1)
    assert sorted(item.entry for item in await stack.queued(Lane.RELAY)) == sorted(entries)


async def test_a_segment_with_too_much_unhandled_is_read_again(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "REMEMBERED", 1)
    for _ in range(2):
        await stack.accept(Lane.DELIVERY)
    await stack.writer.seal()
    sweep = stack.sweep()
    assert [(await sweep.run()).scanned for _ in range(2)] == [1, 1]


async def test_damage_is_set_aside_and_the_rest_recovered(stack: Stack) -> None:
    _, bad = await stack.accept(Lane.DELIVERY)
    good, _ = await stack.accept(Lane.DELIVERY)
    await stack.writer.seal()
    path = sealed_path(stack.root, bad.segment)
    with path.open("r+b") as file:
        file.seek(bad.body)
        file.write(b"XXXX")
    report = await stack.sweep().run()
    assert (report.damaged, report.enqueued) == (1, 1)
    assert [item.entry for item in await stack.queued(Lane.DELIVERY)] == [good]
    assert len(list((stack.root / "quarantine").iterdir())) == 1


async def test_a_wipe_in_the_middle_loses_nothing(stack: Stack, redis: Redis) -> None:
    """Two workers, one dies, Redis is wiped, writers seal on the new epoch, the sweep finds the rest."""
    sealed = asyncio.Event()

    def seal() -> None:
        stack.writer.epoch_changed()
        sealed.set()

    watch = asyncio.create_task(watch_epoch(stack.queue, seal, interval=0.01))
    accepted = []
    for _ in range(20):
        entry, ref = await stack.accept(Lane.DELIVERY)
        await stack.queue.enqueue([Item(entry, Lane.DELIVERY, ref.encode())])
        accepted.append(entry)
    working = await stack.queue.read(Lane.DELIVERY, 5, 0)
    await Queue(redis, "dying").read(Lane.DELIVERY, 5, 0)
    await asyncio.sleep(0.05)
    await redis.flushall()
    for lease in working:
        await stack.deliver(lease.item.entry, "user0@delivery.test")
    await stack.queue.finish(working)
    await asyncio.wait_for(sealed.wait(), 2)
    await stack.writer.seal()
    sweeper = asyncio.create_task(Sweeper(stack.queue, stack.sweep(), interval=0.02).run())
    seen: list[str] = []
    deadline = time.monotonic() + 5
    while len(seen) < 15 and time.monotonic() < deadline:
        leases = await stack.queue.read(Lane.DELIVERY, 100, 50)
        for lease in leases:
            await stack.deliver(lease.item.entry, "user0@delivery.test")
            seen.append(lease.item.entry)
        await stack.queue.finish(leases)
    await asyncio.sleep(0.1)
    sweeper.cancel()
    watch.cancel()
    await asyncio.gather(sweeper, watch, return_exceptions=True)
    done = {lease.item.entry for lease in working}
    assert sorted(seen) == sorted(set(accepted) - done)
    rows = await stack.execute("SELECT state FROM segment")
    assert {row["state"] for row in rows} == {"settled"}
    assert await redis.get("pb:swept") == await stack.queue.epoch()
    assert await redis.exists("pb:lease:sweep") == 0


async def test_the_full_sweep_waits_for_a_lease_time(stack: Stack, redis: Redis) -> None:
    stack.queue.lease_ms = 300
    await stack.accept(Lane.DELIVERY)
    await stack.writer.seal()
    sweeper = asyncio.create_task(Sweeper(stack.queue, stack.sweep(), interval=0.02).run())
    await asyncio.sleep(0.15)
    assert await stack.queued(Lane.DELIVERY) == []
    await asyncio.sleep(0.4)
    sweeper.cancel()
    await asyncio.gather(sweeper, return_exceptions=True)
    assert len(await stack.queued(Lane.DELIVERY)) == 1


async def test_promoting_goes_on_when_redis_was_away(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.queue.upkeep.PROMOTE_INTERVAL", 0.01)
    queue = Queue(redis, "worker")
    await queue.setup()
    await queue.delay([Item(new_id(), Lane.RELAY, "r")], [time.time() + 0.05])
    real, failures = queue.promote, []

    async def promote(now: float, limit: int) -> int:
        if len(failures) < 2:
            failures.append(now)
            raise ConnectionResetError("away")
        return await real(now, limit)

    monkeypatch.setattr(queue, "promote", promote)
    task = asyncio.create_task(keep_promoting(queue))
    leases = await queue.read(Lane.RELAY, 1, 3_000)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(leases) == 1 and len(failures) == 2
