"""Poison, unreadable records, things that are away: nothing is lost, nothing blocks the others."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from services.mda import courier as courier_module
from services.mda.courier import Limits, Stuck
from services.mda.isolation import IsolationFailed
from shared.journal.reference import Reference
from shared.message.envelope import Lane
from tests.integration.mda.conftest import MESSAGE


async def structure(office) -> list[bytes]:
    return [bytes(row["bodystructure"]) for row in await office.query("SELECT bodystructure FROM blob ORDER BY id")]


async def test_what_breaks_the_parser_is_delivered_unparsed(office, monkeypatch):
    await office.account("bob")
    await office.accept("bob", message=b"Subject: poison\r\n\r\nx\r\n")
    await office.accept("bob")
    original = courier_module.load

    def explode(message):
        if b"poison" in message:
            raise RecursionError
        return render(message)

    from services.mda import loading
    from shared.message.rendered import render

    monkeypatch.setattr(loading, "render", explode)
    await office.work()
    assert len(await office.inbox("bob")) == 2
    shown = await structure(office)
    assert b"plain" in shown[0].lower() and original is courier_module.load


async def test_an_entry_handed_out_too_often_is_parsed_in_a_subprocess(office, monkeypatch):
    await office.account("bob")
    item = await office.accept("bob")
    calls = []
    isolated = courier_module.render_isolated

    async def watched(message, seconds):
        calls.append(len(message))
        return await isolated(message, seconds)

    monkeypatch.setattr(courier_module, "render_isolated", watched)
    lease = dataclasses.replace((await office.queue.read(Lane.DELIVERY, 1, 0))[0], deliveries=3)
    await office.courier.work([lease])
    assert calls == [len(MESSAGE)]
    row = (await office.query("SELECT subject FROM blob"))[0]
    assert row["subject"] == "hello" and await office.ledger(item.entry) == {"bob@b.test": "delivered"}


async def test_if_the_subprocess_fails_too_it_is_delivered_unparsed(office, monkeypatch):
    await office.account("bob")
    await office.accept("bob")

    async def failing(message, seconds):
        raise IsolationFailed("killed")

    monkeypatch.setattr(courier_module, "render_isolated", failing)
    lease = dataclasses.replace((await office.queue.read(Lane.DELIVERY, 1, 0))[0], deliveries=3)
    await office.courier.work([lease])
    assert (await office.inbox("bob"))[0].endswith(MESSAGE)
    assert (await office.query("SELECT subject FROM blob"))[0]["subject"] == ""


async def test_what_sql_refuses_is_held_and_the_others_arrive(office, monkeypatch):
    await office.account("bob")
    bad = await office.accept("bob", message=b"Subject: bad\r\n\r\nx\r\n")
    good = [await office.accept("bob") for _ in range(3)]
    write = office.database.write

    async def refusing(work, *args, **kwargs):
        if work.__name__ == "deliver" and any(job.entry == bad.entry for job in args[0]):
            raise ValueError("SQL says no")
        return await write(work, *args, **kwargs)

    monkeypatch.setattr(office.database, "write", refusing)
    await office.work()
    for item in good:
        assert await office.ledger(item.entry) == {"bob@b.test": "delivered"}
    assert await office.ledger(bad.entry) == {}
    rows = await office.query("SELECT entry, recipient, lane, held, reason FROM pending")
    assert [tuple(row) for row in rows] == [(bad.entry, "bob@b.test", "delivery", 1, "ValueError('SQL says no')")]
    assert await office.depth() == (0, 0, 0)
    # while it is held, it stays so; once the operator lets it go, it arrives
    monkeypatch.setattr(office.database, "write", write)
    await office.queue.enqueue([bad])
    await office.work()
    assert await office.ledger(bad.entry) == {}
    await office.execute("UPDATE pending SET held = 0, due_at = 0")
    await office.queue.enqueue([bad])
    await office.work()
    assert await office.ledger(bad.entry) == {"bob@b.test": "delivered"}
    assert await office.query("SELECT entry FROM pending") == []


async def test_an_entry_that_always_fails_is_held_in_the_end(office, monkeypatch):
    item = await office.accept("bob", "eve")

    async def broken(addresses):
        raise KeyError("a bug")

    monkeypatch.setattr(office.courier._expansions, "of", broken)
    leases = await office.queue.read(Lane.DELIVERY, 1, 0)
    with pytest.raises(KeyError):
        await office.courier.work(leases)
    assert await office.depth() == (0, 1, 0)  # the lease is left to expire, which counts
    await office.courier.work([dataclasses.replace(leases[0], deliveries=3)])
    rows = await office.query("SELECT recipient, held FROM pending ORDER BY recipient")
    assert [tuple(row) for row in rows] == [("bob@b.test", 1), ("eve@b.test", 1)]
    assert await office.depth() == (0, 0, 0) and item.entry


async def test_a_thread_that_does_not_come_back_is_the_end_of_the_process(office, monkeypatch):
    await office.accept("bob")
    office.courier._limits = Limits(stuck=0.05)
    monkeypatch.setattr(courier_module, "load", lambda reader, group: time.sleep(0.5))
    with pytest.raises(Stuck):
        await office.courier.work(await office.queue.read(Lane.DELIVERY, 1, 0))
    assert await office.depth() == (0, 1, 0)


async def test_an_unreadable_record_is_put_off_and_never_bounced(office):
    await office.account("bob")
    item = await office.accept("bob")
    other = await office.accept("bob")
    reference = Reference.decode(item.reference)
    await office.writer.seal()
    path = office.journal / f"{reference.segment}.seg"
    with path.open("r+b") as file:
        file.seek(reference.body + 3)
        file.write(b"!")
    await office.work()
    assert await office.ledger(item.entry) == {} and await office.relayed() == []
    assert await office.depth() == (0, 0, 1)
    assert await office.ledger(other.entry) == {"bob@b.test": "delivered"}


async def test_a_record_that_compaction_moved_is_found(office):
    await office.account("bob")
    await office.account("eve")
    item = await office.accept("bob", "eve")
    await office.work()
    await office.execute("DELETE FROM ledger WHERE recipient = 'eve@b.test'")
    reference = Reference.decode(item.reference)
    elsewhere = reference._replace(segment=reference.segment[:-1] + "8")
    await office.queue.enqueue([dataclasses.replace(item, reference=elsewhere.encode())])
    await office.work()
    assert len(await office.inbox("eve")) == 2 and len(await office.inbox("bob")) == 1
    assert await office.depth() == (0, 0, 0)


async def test_a_reference_into_a_rewritten_segment_is_old_news(office):
    await office.account("bob")
    item = await office.accept("bob")
    reference = Reference.decode(item.reference)
    segment = reference.segment[:-1] + "8"
    await office.execute("INSERT INTO segment (name, state) VALUES (:name, 'rewritten')", name=segment)
    await office.queue.read(Lane.DELIVERY, 1, 0)
    stale = dataclasses.replace(item, reference=reference._replace(segment=segment).encode())
    await office.courier.work([office.again(stale)])
    assert await office.ledger(item.entry) == {}


async def test_bytes_of_a_segment_rewritten_meanwhile_are_appended_again(office, monkeypatch):
    await office.account("bob")
    item = await office.accept("bob")
    segment = Reference.decode(item.reference).segment
    await office.execute("INSERT INTO segment (name, state) VALUES (:name, 'rewritten')", name=segment)
    await office.writer.seal()
    await office.work()
    assert len(await office.inbox("bob")) == 1
    rows = await office.query("SELECT s.name FROM blob b JOIN segment s ON s.id = b.segment_id")
    assert rows[0]["name"] != segment


async def test_when_redis_goes_away_after_the_commit_nothing_is_done_twice(office, monkeypatch):
    await office.account("bob")
    await office.accept("bob")
    finish = office.queue.finish

    async def away(leases):
        raise RedisConnectionError("away")

    monkeypatch.setattr(office.queue, "finish", away)
    with pytest.raises(RedisConnectionError):
        await office.work()
    monkeypatch.setattr(office.queue, "finish", finish)
    assert await office.work() == 1
    assert len(await office.inbox("bob")) == 1
    assert await office.depth() == (0, 0, 0)


async def test_cancelling_gives_the_work_back(office, monkeypatch):
    await office.account("bob")
    await office.accept("bob")

    async def slow(addresses):
        await asyncio.sleep(60)

    monkeypatch.setattr(office.courier._expansions, "of", slow)
    task = asyncio.create_task(office.courier.work(await office.queue.read(Lane.DELIVERY, 1, 0)))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await office.depth() == (1, 0, 0)
