"""What a restored stack is told before it starts, on a real journal and both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.db import Database
from shared.journal.reader import Reader
from shared.journal.writer import Limits, Writer
from shared.message.envelope import Lane
from shared.operations.restoration import REASON, UID_STEP, Restored, after_restore
from shared.queue.delivery import Queue
from tests.integration.queue.test_recovery import Stack

NOW = 2_000_000_000.0


@pytest.fixture
async def stack(database: Database, redis: Redis, tmp_path: Path) -> AsyncIterator[Stack]:
    queue = Queue(redis, "worker", lease_ms=100)
    await queue.setup()
    writer = Writer(tmp_path / "journal", "test", limits=Limits(reserve=0))
    await writer.open()
    yield Stack(database, queue, tmp_path / "journal", writer)
    await writer.close()


async def finish_restore(stack: Stack) -> Restored:
    return await after_restore(stack.database, stack.root, Reader(stack.root), now=NOW)


async def held(stack: Stack) -> list[tuple[str, str, str]]:
    rows = await stack.execute("SELECT entry, recipient, reason FROM pending WHERE held = 1 ORDER BY recipient")
    return [(row["entry"], row["recipient"], row["reason"]) for row in rows]


async def test_mail_for_other_servers_is_held_and_local_mail_is_not(stack: Stack) -> None:
    fresh, _ = await stack.accept(Lane.DELIVERY, Lane.RELAY, recipients=2)
    sent, _ = await stack.accept(Lane.RELAY)
    await stack.deliver(sent, "user0@relay.test")
    assert await finish_restore(stack) == Restored(held=2)
    assert await held(stack) == [(fresh, "user0@relay.test", REASON), (fresh, "user1@relay.test", REASON)]
    await stack.writer.seal()
    await stack.sweep().run(full=True)
    assert [item.entry for item in await stack.queued(Lane.DELIVERY)] == [fresh]


async def test_what_waited_for_another_attempt_is_held_too(stack: Stack) -> None:
    remote, ref = await stack.accept(Lane.RELAY)
    await stack.defer(remote, "user0@relay.test", Lane.RELAY, ref, due=1)
    local, place = await stack.accept(Lane.DELIVERY)
    await stack.defer(local, "user0@delivery.test", Lane.DELIVERY, place, due=1)
    assert await finish_restore(stack) == Restored(held=1)
    assert await held(stack) == [(remote, "user0@relay.test", REASON)]
    assert await finish_restore(stack) == Restored(held=0), "once more does no harm"


async def test_uids_and_mod_sequences_go_up(stack: Stack) -> None:
    await stack.execute("INSERT INTO domain (id, name, created_at) VALUES (1, 'a.test', 0)")
    await stack.execute(
        "INSERT INTO account (id, domain_id, address, uidvalidity, created_at) VALUES (1, 1, 'a@a.test', 7, 0)"
    )
    ahead = int(NOW * 1_000_000) + 5
    for number, modseq in ((1, 10), (2, ahead)):
        await stack.execute(
            "INSERT INTO mailbox (id, account_id, name, uidvalidity, uidnext, modseq, created_at)"
            " VALUES (:id, 1, :name, 7, 4, :modseq, 0)",
            id=number,
            name=f"m{number}",
            modseq=modseq,
        )
    await finish_restore(stack)
    rows = await stack.execute("SELECT uidnext, modseq, expunge_modseq FROM mailbox ORDER BY id")
    assert [row["uidnext"] for row in rows] == [4 + UID_STEP, 4 + UID_STEP]
    assert [row["modseq"] for row in rows] == [int(NOW * 1_000_000), ahead + 1]
    assert all(row["expunge_modseq"] == row["modseq"] - 1 for row in rows)
    [account] = await stack.execute("SELECT uidvalidity FROM account")
    assert account["uidvalidity"] == 7 + UID_STEP
