"""The batch transaction: gate, quota, UIDs, fall-backs, many deliverers at once."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest

from shared.imap.flags import SEEN, FlagSet
from shared.mailbox.deliver import deliver, history, hold
from shared.mailbox.job import Deliver, Fate, Job, Outcome, Record, Refusal
from shared.mailbox.messages import StoreMode
from tests.integration.mailbox.conftest import SEGMENT, make_world


async def ledger(world):
    rows = await world.query("SELECT entry, recipient, target, outcome, detail FROM ledger ORDER BY recipient, target")
    return [tuple(row) for row in rows]


def with_steps(job: Job, *steps, **changes) -> Job:
    return dataclasses.replace(job, steps=steps or job.steps, **changes)


async def test_a_batch_lands_in_order(world):
    jobs = [world.job(world.accounts[i % 2], size=100 + i) for i in range(10)]
    results = await world.deliver(*jobs)
    assert [result.fate for result in results] == [Fate.DONE] * 10
    assert [result.delivered[0].uid for result in results] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert len(await ledger(world)) == 10
    await world.check_counts()


async def test_the_same_batch_twice_delivers_once(world):
    jobs = [world.job() for _ in range(5)]
    await world.deliver(*jobs)
    again = await world.deliver(*jobs, world.job())
    assert [result.fate for result in again] == [Fate.DUPLICATE] * 5 + [Fate.DONE]
    assert (await world.inbox()).messages == 6
    await world.check_counts()


async def test_an_entry_twice_in_a_batch_is_delivered_once(world):
    job = world.job()
    results = await world.deliver(job, job)
    assert sorted(result.fate.name for result in results) == ["DONE", "DUPLICATE"]
    assert (await world.inbox()).messages == 1


async def test_a_target_named_twice_is_one_target(world):
    job = world.job()
    results = await world.deliver(with_steps(job, *job.steps, *job.steps))
    assert len(results[0].delivered) == 1
    assert (await world.inbox()).messages == 1


async def test_a_half_done_job_is_completed(world):
    job = world.job()
    await world.deliver(job)
    other = dataclasses.replace(job.steps[0], target="second", account_id=world.accounts[1])
    record = Record("to@a.test", "x@out.test", Outcome.REDIRECTED, {"child": "01"})
    result = (await world.deliver(with_steps(job, *job.steps, other, record)))[0]
    assert result.fate is Fate.DONE and result.recorded == (record,)
    assert [delivered.step.target for delivered in result.delivered] == ["second"]
    assert (await world.inbox()).messages == 1
    blobs = await world.query("SELECT count(*) AS n FROM blob")
    assert blobs[0]["n"] == 1


async def test_recipients_of_one_entry_are_jobs_of_one_batch(world):
    first = world.job()
    second = with_steps(
        first, dataclasses.replace(first.steps[0], recipient="other@a.test", account_id=world.accounts[1])
    )
    results = await world.deliver(first, second)
    assert [result.fate for result in results] == [Fate.DONE, Fate.DONE]
    assert (await world.query("SELECT count(*) AS n FROM blob"))[0]["n"] == 1
    assert (await world.inbox(world.accounts[1])).messages == 1


async def test_a_missing_mailbox_falls_back_to_inbox(world):
    result = await world.deliver(world.job(mailbox="Lists/none"), world.job(mailbox="Junk"))
    assert [r.delivered[0].mailbox for r in result] == ["INBOX", "Junk"]
    details = {row[4] for row in await ledger(world)}
    assert details == {'{"mailbox":"INBOX","wanted":"Lists/none"}', '{"mailbox":"Junk"}'}


async def test_flags_are_counted(world):
    await world.deliver(world.job(flags=SEEN), world.job())
    inbox = await world.inbox()
    assert (inbox.messages, inbox.unseen) == (2, 1)


async def test_quota_exactly_at_the_edge(database):
    prefix = 25
    world = await make_world(database, accounts=2, quota=3 * (100 + prefix))
    jobs = [world.job() for _ in range(5)] + [world.job(world.accounts[1])]
    results = await world.deliver(*jobs)
    assert [result.fate for result in results] == [Fate.DONE] * 3 + [Fate.REFUSED] * 2 + [Fate.DONE]
    assert results[3].refused == ((jobs[3].steps[0], Refusal.OVER_QUOTA),)
    assert len(await ledger(world)) == 4
    usage = await world.messages.usage(world.account)
    assert usage.used_bytes == usage.quota_bytes
    await world.check_counts()


async def test_a_refused_job_leaves_nothing_and_its_room_to_others(database):
    world = await make_world(database, accounts=2, quota=500)
    await world.deliver(world.job(world.accounts[1], size=470))
    big = world.job(size=400)
    both = with_steps(big, *big.steps, dataclasses.replace(big.steps[0], target="t2", account_id=world.accounts[1]))
    results = await world.deliver(both, world.job(size=400))
    assert [result.fate for result in results] == [Fate.REFUSED, Fate.DONE]
    assert [step.target for step, _ in results[0].refused] == ["t2"]
    bounced = Record("to@a.test", "t2", Outcome.BOUNCED, {"reason": "full", "child": "c"})
    retried = with_steps(both, dataclasses.replace(both.steps[0], mailbox="Trash"), bounced)
    assert (await world.deliver(retried))[0].fate is Fate.REFUSED  # the other one took the room
    await world.check_counts()


async def test_a_removed_account_is_refused(world):
    gone = world.job(account=999_999)
    results = await world.deliver(gone, world.job())
    assert [result.fate for result in results] == [Fate.REFUSED, Fate.DONE]
    assert results[0].refused[0][1] is Refusal.NO_ACCOUNT


async def test_a_rewritten_segment_stops_only_its_own_jobs(world):
    await world.deliver(world.job())
    await world.execute("UPDATE segment SET state = 'rewritten' WHERE name = :name", name=SEGMENT)
    other = SEGMENT.replace("-1", "-2", 1)[:-1] + "2"
    moved = world.job()
    elsewhere = dataclasses.replace(moved, blob=world.blob(segment=other))
    record_only = with_steps(world.job(), Record("r", "t", Outcome.FAILED, {"reason": "x"}))
    results = await world.deliver(world.job(), elsewhere, record_only)
    assert [result.fate for result in results] == [Fate.REWRITTEN, Fate.DONE, Fate.DONE]
    assert len(await ledger(world)) == 3
    await world.check_counts()


async def test_a_bad_row_undoes_the_whole_batch(world):
    good, bad = world.job(), world.job()
    bad = dataclasses.replace(bad, internal_date=None)
    with pytest.raises(Exception, match=r"(?i)null"):
        await world.deliver(good, bad)
    assert await ledger(world) == [] and (await world.inbox()).messages == 0
    assert (await world.deliver(good))[0].fate is Fate.DONE
    await world.check_counts()


async def test_hold_and_history(world):
    job, done = world.job(), world.job()
    await world.deliver(done)
    now = time.time_ns() // 1000
    await world.database.write(hold, job, ["to@a.test"], now, "poison", now)
    await world.database.write(hold, job, ["to@a.test"], now, "again", now)
    known = await world.database.read(history, [job.entry, done.entry])
    assert known.held == {(job.entry, "to@a.test")} and known.finished == {(done.entry, "to@a.test")}
    await world.execute("UPDATE pending SET held = 0")
    assert (await world.database.read(history, [job.entry])).waiting == {(job.entry, "to@a.test")}
    await world.deliver(dataclasses.replace(job, waited=True))
    assert await world.query("SELECT * FROM pending") == []


async def test_a_cut_transaction_is_done_again_whole(world):
    """A crash between the journal and the commit: nothing is there, and the repeat does it all."""
    jobs = [world.job() for _ in range(3)]
    work = deliver(jobs, time.time_ns() // 1000)
    next(work)
    work.close()
    results = await world.deliver(*jobs)
    assert [result.delivered[0].uid for result in results] == [1, 2, 3]


async def test_eight_deliverers_and_a_session_share_one_mailbox(world):
    inbox, archive = await world.inbox(), await world.mailboxes.get(world.account, "Archive")
    seen: list[int] = []

    async def deliverer(number: int) -> None:
        for _ in range(5):
            jobs = [world.job() for _ in range(4)]
            uids = [result.delivered[0].uid for result in await world.deliver(*jobs)]
            assert uids == sorted(uids)
            seen.extend(uids)

    async def session() -> None:
        last, modseq = 0, 0
        for _ in range(20):
            changes = await world.messages.changes(inbox.id, modseq)
            fresh = [row["uid"] for row in changes.rows if row["uid"] > last]
            assert (await world.mailboxes.get_by_id(inbox.id)).uidnext > max(fresh, default=0)
            assert all(row["modseq"] > modseq for row in changes.rows)
            last, modseq = max([last, *fresh]), changes.modseq
            await world.messages.store_flags(world.account, inbox.id, [(1, 50)], StoreMode.ADD, FlagSet(SEEN))
            await world.messages.move(world.account, inbox.id, [(last, last)], archive.id)
            await asyncio.sleep(0)

    await asyncio.gather(*(deliverer(number) for number in range(8)), session())
    assert sorted(seen) == list(range(1, 161))
    await world.check_counts()


async def test_deliverers_to_many_mailboxes_do_not_starve_each_other(database):
    world = await make_world(database, accounts=6)

    async def deliverer(shift: int) -> None:
        order = world.accounts[shift:] + world.accounts[:shift]
        for _ in range(6):
            steps = [Deliver(f"r{a}", f"a{a}", a, b"", "INBOX") for a in order]
            jobs = [with_steps(world.job(), step) for step in steps]
            assert all(result.fate is Fate.DONE for result in await world.deliver(*jobs))

    began = time.perf_counter()
    await asyncio.gather(*(deliverer(shift % 6) for shift in range(8)))
    assert time.perf_counter() - began < 20
    for account in world.accounts:
        assert (await world.inbox(account)).messages == 48
    await world.check_counts()
