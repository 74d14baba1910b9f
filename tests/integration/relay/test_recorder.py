"""Recording outcomes, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.relay.outcome import Report
from services.relay.recorder import Recorder
from services.relay.schedule import Schedule
from services.relay.state import load_states
from shared.db import Database, DatabaseUnavailable, Work
from shared.db.statement import Query
from shared.ids import new_id
from shared.journal.errors import RecordUnavailable
from shared.journal.reference import Reference
from shared.maillog import MailLog
from shared.message.envelope import Envelope, Lane, Recipient
from shared.queue.delivery import Item
from shared.smtp.outcome import Deferred, Delivered, Failed, Outcome
from shared.smtp.reply import Reply

REF = Reference("2026-11-23/mta-01KAR0000000000000000000000-1", 0, 100, 60, 30, 30)
OK, NO, LATER = Reply(250, ("2.0.0 ok",)), Reply(550, ("5.1.1 no",)), Reply(451, ("4.2.1 later",))
REWRITTEN = Query("rewritten", "UPDATE segment SET state = 'rewritten' WHERE name = :name")
PENDING = Query("pending", "SELECT COUNT(*) AS number FROM pending")


class FakeNotifier:
    """Counts instead of writing to a journal."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    async def journal(self, notice: Any) -> Item:
        if notice.recipient.address == "unreadable@b.test":
            raise RecordUnavailable("gone")
        self.made.append(notice)
        return Item(notice.child, Lane.DELIVERY, "ref")


class FlakyDatabase:
    """A database that is away for its first `times` writes."""

    def __init__(self, database: Database, times: int) -> None:
        self._database = database
        self.times = times

    async def write(self, *args: Any, **kwargs: Any) -> Any:
        if self.times:
            self.times -= 1
            raise DatabaseUnavailable("away")
        return await self._database.write(*args, **kwargs)


@asynccontextmanager
async def recorder_of(database: Any) -> AsyncIterator[tuple[Recorder, FakeNotifier, list[Item]]]:
    notifier, outbox = FakeNotifier(), Pushed()
    recorder = Recorder(database, notifier, outbox, Schedule(), MailLog("relay"))  # type: ignore[arg-type]
    task = asyncio.create_task(recorder.run())
    yield recorder, notifier, outbox.items
    task.cancel()
    await asyncio.wait([task])


class Pushed:
    """An outbox that keeps all."""

    def __init__(self) -> None:
        self.items: list[Item] = []

    def put(self, item: Item) -> None:
        self.items.append(item)


def envelope_of(*addresses: str) -> Envelope:
    recipients = tuple(Recipient(address, Lane.RELAY) for address in addresses)
    return Envelope(new_id(), "a@a.test", recipients, time.time_ns() // 1000)


async def report(database: Database, envelope: Envelope, *outcomes: Outcome) -> Report:
    states = await database.read(load_states, [envelope.id])
    pairs = tuple(zip(envelope.recipients, outcomes, strict=True))
    return Report(envelope, REF, states[envelope.id], pairs, "site")


async def test_all_kinds_in_one_batch(database: Database) -> None:
    envelope = envelope_of("ok@b.test", "no@b.test", "later@b.test")
    async with recorder_of(database) as (recorder, notifier, pushed):
        outcomes = (Delivered(OK, "mx"), Failed(NO, "mx"), Deferred(LATER, "mx"))
        (due,) = await recorder.record([await report(database, envelope, *outcomes)])
    assert due is not None
    assert due > time.time()
    assert [notice.recipient.address for notice in notifier.made] == ["no@b.test"]
    assert [item.entry for item in pushed] == [notifier.made[0].child]
    state = (await database.read(load_states, [envelope.id]))[envelope.id]
    assert state.finished == {"ok@b.test", "no@b.test"}
    assert state.waiting["later@b.test"].attempts == 1
    assert state.waiting["later@b.test"].reference == REF
    assert state.next_due(envelope, time.time()) == pytest.approx(due, abs=0.001)
    assert state.due(envelope, time.time()) == ()
    assert state.due(envelope, due) == (envelope.recipients[2],)


async def test_delivery_ends_the_waiting(database: Database) -> None:
    envelope = envelope_of("b@b.test")
    async with recorder_of(database) as (recorder, _, _):
        for attempts in (1, 2):
            await recorder.record([await report(database, envelope, Deferred(LATER, "mx"))])
            state = (await database.read(load_states, [envelope.id]))[envelope.id]
            assert state.waiting["b@b.test"].attempts == attempts
        assert await recorder.record([await report(database, envelope, Delivered(OK, "mx"))]) == [None]
        assert await _pending(database) == 0
        # a late worker's temporary failure doesn't bring it back
        await recorder.record([await report(database, envelope, Deferred(LATER, "mx"))])
        assert await _pending(database) == 0


async def _pending(database: Database) -> int:
    def work() -> Work[int]:
        rows = yield PENDING()
        return int(rows[0]["number"])

    return await database.read(work)


async def test_many_at_once(database: Database) -> None:
    envelopes = [envelope_of(f"u{n}@b.test") for n in range(600)]
    async with recorder_of(database) as (recorder, _, _):
        reports = [await report(database, envelope, Delivered(OK, "mx")) for envelope in envelopes]
        results = await asyncio.gather(*(recorder.record(reports[n : n + 7]) for n in range(0, 600, 7)))
    assert [due for result in results for due in result] == [None] * 600
    states = await database.read(load_states, [envelope.id for envelope in envelopes])
    assert all(state.finished for state in states.values())


async def test_it_waits_while_sql_is_away(database: Database) -> None:
    flaky = FlakyDatabase(database, 2)
    async with recorder_of(flaky) as (recorder, _, _):
        one = await report(database, envelope_of("b@b.test"), Delivered(OK, "mx"))
        recording = asyncio.create_task(recorder.record([one]))
        await asyncio.sleep(0.05)
        assert not recording.done()
        assert "can't be recorded" in recorder.trouble
        assert await recording == [None]
        assert recorder.trouble == ""


async def test_a_stale_reference_spoils_no_other_report(database: Database) -> None:
    stale, fine = envelope_of("b@b.test"), envelope_of("c@b.test")

    async with recorder_of(database) as (recorder, _, _):
        await recorder.record([await report(database, envelope_of("x@b.test"), Deferred(LATER, "mx"))])

        def rewrite() -> Work[None]:
            yield REWRITTEN(name=REF.segment)

        await database.write(rewrite)
        reports = [
            await report(database, stale, Deferred(LATER, "mx")),
            await report(database, fine, Delivered(OK, "mx")),
        ]
        again, done = await recorder.record(reports)
    assert again is not None
    assert done is None
    state = (await database.read(load_states, [stale.id]))[stale.id]
    assert state.waiting == {}


async def test_an_original_that_cannot_be_read_is_never_given_up_silently(database: Database) -> None:
    unreadable, fine = envelope_of("unreadable@b.test"), envelope_of("c@b.test")
    async with recorder_of(database) as (recorder, _, _):
        reports = [
            await report(database, unreadable, Failed(NO, "mx")),
            await report(database, fine, Delivered(OK, "mx")),
        ]
        again, done = await recorder.record(reports)
    assert again is not None
    assert done is None
    assert (await database.read(load_states, [unreadable.id]))[unreadable.id].finished == set()
