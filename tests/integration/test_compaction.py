"""Compaction on real files and both databases: nothing alive is ever lost, what is dead goes."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.db import Database, Query, Work
from shared.journal import rewrite as rewriting
from shared.journal.errors import RecordUnavailable
from shared.journal.reference import large_path, sealed_path
from shared.journal.segments import FileState, SegmentKind, list_large, list_segments
from shared.mailbox import compaction, mailboxes
from shared.mailbox.content import Content
from shared.mailbox.errors import MessageGone
from shared.mailbox.mailbox import find, find_by_id
from shared.mailbox.maintenance import Policy, Progress
from shared.mailbox.messages import Want
from shared.message.envelope import Kind
from tests.integration.compaction_world import AT_ONCE, World, defer, open_world

REPOSITORY = Path(__file__).parents[2]
KEEP = Policy(headroom=0)  # the defaults


@pytest.fixture
async def world(database: Database, tmp_path: Path) -> AsyncIterator[World]:
    opened = await open_world(database, tmp_path / "journal")
    yield opened
    await opened.writer.close()


def _body(number: int, size: int = 1_500) -> bytes:
    return b"Subject: %d\r\n\r\n" % number + b"%d" % (number % 10) * size + b"\r\n"


def _files(world: World) -> dict[str, FileState]:
    return {segment.name: segment.state for segment in list_segments(world.root)}


async def _fill(world: World, count: int = 30) -> list[int]:
    uids = [await world.deliver(_body(n)) for n in range(count)]
    await world.writer.seal()
    await world.settle()
    return uids


async def test_live_records_move_and_dead_segments_go(world: World) -> None:
    uids = await _fill(world)
    before = set(_files(world))
    for uid in uids[::2]:
        await world.expunge(uid)
    report = await world.maintain()
    assert report.pruned == 15 and report.rewritten == len(before) == report.removed
    assert not before & set(_files(world))
    assert await world.check() == 15
    states = await world.segments()
    assert set(states) == set(_files(world)) and set(states.values()) == {"settled"}
    assert {s.kind for s in list_segments(world.root)} == {SegmentKind.COMPACTED}
    assert sum(s.size for s in list_segments(world.root)) < 15 * 2_500


async def test_a_compacted_segment_is_compacted_again(world: World) -> None:
    uids = await _fill(world)
    for part in (uids[:10], uids[10:20], uids[20:29]):
        for uid in part:
            await world.expunge(uid)
        await world.maintain()
    assert await world.check() == 1 and len(_files(world)) == 1
    await world.expunge(uids[29])
    await world.maintain()
    assert _files(world) == {} and await world.segments() == {}


async def test_by_default_nothing_is_hurried(world: World) -> None:
    uids = await _fill(world)
    for uid in set(uids) - set(uids[::3]):
        await world.expunge(uid)
    before = _files(world)
    report = await world.maintain(KEEP)
    assert (report.pruned, report.rewritten, report.removed) == (0, 0, 0)
    report = await world.maintain(replace(KEEP, expunged_age=0.0))
    assert report.pruned == 20 and report.rewritten + report.emptied > 0 and report.removed == 0
    assert set(before) < set(_files(world))  # old files stay for the grace period
    assert await world.check() == 10


async def test_a_segment_with_little_dead_waits_for_its_age(world: World) -> None:
    uids = await _fill(world, 8)
    await world.expunge(uids[0])
    policy = replace(KEEP, expunged_age=0.0)
    assert (await world.maintain(policy)).rewritten == 0
    old = time.time() - KEEP.purge_age
    for name in _files(world):
        os.utime(sealed_path(world.root, name), (old, old))
    assert (await world.maintain(policy)).rewritten == 1
    assert await world.check() == 7


async def test_a_segment_in_which_nothing_is_alive_goes_whatever_its_size(world: World) -> None:
    await world.journal(_body(1), kind=Kind.APPEND)  # and its client went away
    await world.writer.seal()
    empty = f"{next(iter(_files(world)))[:-1]}7"
    sealed_path(world.root, empty).write_bytes(b"")  # a writer that was killed before its first record
    await world.settle()
    report = await world.maintain(replace(KEEP, grace=0.0))
    assert (report.emptied, report.removed) == (2, 2) and _files(world) == {}


async def test_small_segments_are_merged(world: World) -> None:
    for number in range(12):
        await world.deliver(_body(number))
        await world.writer.seal()
    await world.settle()
    policy = replace(KEEP, small_count=12, grace=0.0)
    assert (await world.maintain(replace(policy, small_count=13))).rewritten == 0
    assert (await world.maintain(policy)).rewritten == 12
    assert len(_files(world)) == 1 and await world.check() == 12


async def test_unsettled_segments_are_left_alone(world: World) -> None:
    await world.journal(_body(1))  # nobody has delivered it yet
    uid = await world.deliver(_body(2))
    await world.writer.seal()
    await world.expunge(uid)
    before = _files(world)
    await world.settle()
    assert (await world.maintain()).rewritten == 0
    assert _files(world) == before


async def test_what_waits_for_the_relay_moves_too(world: World) -> None:
    uids = [await world.deliver(_body(n)) for n in range(5)]
    await world.defer(_body(77))
    await world.writer.seal()
    await world.settle()
    for uid in uids:
        await world.expunge(uid)
    assert (await world.maintain()).rewritten == 1
    assert await world.check() == 0 and len(world.waiting) == 1


async def test_large_bodies_stay_as_long_as_they_are_named(world: World) -> None:
    keep = await world.deliver(b"Subject: a\r\n\r\n", large=os.urandom(400_000))
    gone = await world.deliver(b"Subject: b\r\n\r\n", large=os.urandom(500_000))
    await world.writer.seal()
    await world.settle()
    await world.journal(b"Subject: c\r\n\r\n", large=os.urandom(600_000))  # accepted, not delivered yet
    orphan = world.writer.large("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    await orphan.write(bytes(300_000))
    await orphan.finish()
    await world.expunge(gone)
    await world.writer.seal()
    assert (await world.maintain(replace(AT_ONCE, orphan_age=3600.0))).large == 0
    assert (await world.maintain(replace(AT_ONCE, grace=3600.0))).large == 0
    assert {b.size: b.is_marked for b in list_large(world.root)} == {
        400_000: False,
        500_000: True,
        600_000: False,
        300_000: True,
    }
    assert (await world.maintain()).large == 2
    assert {b.size for b in list_large(world.root)} == {400_000, 600_000}
    assert await world.check() == 1 and keep in world.expected
    assert not list(world.root.glob("large/*/*.unnamed"))


async def test_a_large_body_that_is_named_again_loses_its_mark(world: World) -> None:
    await world.deliver(b"Subject: a\r\n\r\n", large=os.urandom(400_000))
    [body] = list_large(world.root)
    mark = large_path(world.root, body.name).with_suffix(".unnamed")
    mark.touch()
    await world.maintain()
    assert not mark.exists() and await world.check() == 1


async def test_a_deleted_mailboxs_messages_go(world: World) -> None:
    await world.database.write(mailboxes.create, world.account, "Old", 1)
    target = await world.database.read(_mailbox_id, world.account, "Old")
    uids = await _fill(world)
    await world.messages.move(world.account, world.mailbox, [(uids[0], uids[19])], target)
    for uid in uids[:20]:
        del world.expected[uid]
    await world.database.write(mailboxes.delete, world.account, "Old")
    report = await world.maintain()
    assert report.pruned == 20 and report.blobs + report.pruned >= 20
    assert await world.check() == 10
    assert await world.database.read(_count, "SELECT count(*) AS n FROM blob") == 10


async def test_forgotten_expunges_are_remembered_as_such(world: World) -> None:
    uids = await _fill(world, 5)
    since = (await world.database.read(find_by_id, world.mailbox)).modseq
    await world.expunge(uids[1])
    changes = await world.messages.changes(world.mailbox, since)
    assert changes.is_complete and [row["uid"] for row in changes.rows] == [uids[1]]
    await world.maintain()
    assert not (await world.messages.changes(world.mailbox, since)).is_complete
    now = (await world.database.read(find_by_id, world.mailbox)).modseq
    assert (await world.messages.changes(world.mailbox, now)).is_complete


async def test_a_damaged_live_record_keeps_its_segment(world: World) -> None:
    uids = [await world.deliver(_body(n)) for n in range(3)]
    await world.writer.seal()
    damaged = next(iter(_files(world)))
    uids += [await world.deliver(_body(n)) for n in range(3, 6)]
    await world.writer.seal()
    await world.settle()
    path = sealed_path(world.root, damaged)
    data = path.read_bytes()
    where = data.index(_body(1))
    path.write_bytes(data[:where] + b"?" + data[where + 1 :])
    for uid in (uids[0], uids[3]):
        await world.expunge(uid)
    world.reader.close()
    report = await world.maintain()
    assert (report.damaged, report.rewritten) == (1, 1)
    assert damaged in _files(world)
    path.write_bytes(data)  # a person restored it
    assert await world.check() == 4
    assert (await world.maintain()).rewritten == 1
    assert await world.check() == 4 and damaged not in _files(world)


async def test_a_missing_segment_is_left_to_a_person(world: World) -> None:
    await _fill(world, 3)
    [name] = _files(world)
    path = sealed_path(world.root, name)
    path.rename(path.with_suffix(".away"))
    world.reader.close()
    assert (await world.maintain()).rewritten == 0
    with pytest.raises(RecordUnavailable):
        await world.check()
    path.with_suffix(".away").rename(path)
    assert await world.check() == 3


@pytest.mark.parametrize("step", ["copy", "switch"])
async def test_a_failure_leaves_everything_valid(world: World, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    uids = await _fill(world)
    for uid in uids[::2]:
        await world.expunge(uid)
    before = set(_files(world))

    def fail(*args: Any) -> Any:
        raise OSError(28, "injected") if step == "copy" else RuntimeError("injected")

    with monkeypatch.context() as patch:
        patch.setattr(*((rewriting, "_copy_all") if step == "copy" else (compaction, "_switch")), fail)
        with pytest.raises((OSError, RuntimeError), match="injected"):
            await world.maintain()
    assert before <= set(_files(world)) and await world.check() == 15
    report = await world.maintain()
    assert report.rewritten == len(before) and await world.check() == 15
    await world.maintain()
    assert set(await world.segments()) == set(_files(world))


async def test_a_reference_that_appears_meanwhile_stops_the_switch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy misses a record that is alive by the time of the switch: nothing changes."""
    body = _body(1)
    reference, entry = await world.journal(body)
    keep = await world.deliver(_body(2))
    await world.writer.seal()
    await world.database.write(_set_state, reference.segment, "settled")  # as if it had been a repeat
    real = rewriting.rewrite

    def slow(*args: Any) -> Any:
        copy = real(*args)
        asyncio.run_coroutine_threadsafe(world.database.write(_late, entry, reference), loop).result(10)
        return copy

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(compaction, "rewrite", slow)
    world.waiting[entry] = body
    assert (await world.maintain()).rewritten == 0
    assert reference.segment in _files(world)
    monkeypatch.undo()
    await world.maintain()
    assert await world.check() == 1 and keep in world.expected


async def test_orphaned_copies_go(world: World) -> None:
    await _fill(world, 3)
    day = next(iter(_files(world))).partition("/")[0]
    stray = f"{day}/compacted-{'0' * 26}-1"
    for suffix in (".open", ".seg"):
        (world.root / (stray + suffix)).write_bytes(b"half")
    assert (await world.maintain(KEEP)).removed == 0
    await world.maintain()
    assert stray not in _files(world) and await world.check() == 3


async def test_an_append_that_compaction_overtakes_is_repeated(world: World) -> None:
    """The record of an APPEND has no recipients, so its segment may settle before its row is there."""

    async def churn() -> None:
        for _ in range(10):
            await world.writer.seal()
            await world.settle()
            await world.maintain()

    await asyncio.gather(churn(), *(world.append(_body(n), pause=0.02 * n) for n in range(10)))
    assert await world.check() == 10


async def test_reads_delivers_deletes_and_compacts_at_once(world: World) -> None:
    random.seed(7)
    for number in range(40):
        await world.deliver(_body(number))
    end = time.monotonic() + 4
    counts = {"read": 0, "rewritten": 0, "removed": 0}

    async def read() -> None:
        while time.monotonic() < end:
            counts["read"] += await _read_steady(world)

    async def deliver(number: int) -> None:
        while time.monotonic() < end:
            number += 100
            action = world.append if number % 3 == 0 else world.deliver
            await action(_body(number, random.randint(10, 3_000)))
            await asyncio.sleep(0.005)

    async def delete() -> None:
        while time.monotonic() < end:
            if len(world.expected) > 30:
                await world.expunge(random.choice(list(world.expected)))
            await asyncio.sleep(0.004)

    async def compact() -> None:
        progress = Progress()
        while time.monotonic() < end:
            await world.settle()
            # one pass is shorter than this grace period, as a reader's look-up and read are in earnest
            report = await world.maintain(replace(AT_ONCE, grace=1.0), progress)
            counts["rewritten"] += report.rewritten + report.emptied
            counts["removed"] += report.removed

    await asyncio.gather(read(), *(deliver(n) for n in range(4)), delete(), compact(), compact())
    await world.writer.seal()
    await world.settle()
    await world.maintain()
    await asyncio.sleep(1.1)  # the grace period
    await world.maintain()
    assert await world.check() == len(world.expected) > 20
    assert counts["read"] > 50 and counts["rewritten"] > 10 and counts["removed"] > 10, counts
    assert set(await world.segments()) == set(_files(world))


START_TIME = 30.0  # seconds at most until the worker has done its first pass
KILL_WITHIN = 0.5  # seconds after it


@pytest.mark.fault
async def test_compaction_killed_at_any_point(database: Database, tmp_path: Path, request: Any) -> None:
    world = await open_world(database, tmp_path / "journal", segment_size=30_000)
    url = await _url(database, tmp_path, request)
    rewritten = kills = 0
    for turn in range(8):
        log = tmp_path / "log"
        with log.open("wb") as output:
            worker = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.compaction_world", url, str(world.root)],
                cwd=REPOSITORY,
                stdout=output,
            )
        end = time.monotonic() + START_TIME
        while time.monotonic() < end:
            if log.stat().st_size and end - time.monotonic() > KILL_WITHIN:
                end = time.monotonic() + random.uniform(0.05, KILL_WITHIN)  # the worker is at work
            await world.deliver(_body(turn * 1_000))
            await world.append(_body(turn * 1_000 + 1))
            if len(world.expected) > 25:
                await world.expunge(random.choice(list(world.expected)))
                await world.expunge(random.choice(list(world.expected)))
        worker.kill()
        assert worker.wait() == -9, "the worker ended by itself"
        kills += 1
        rewritten += sum(int(line.split()[0]) for line in log.read_text().splitlines() if " " in line)
        world.reader.close()
        assert await world.check() == len(world.expected)
    await world.writer.close()
    await world.settle()
    for _ in range(3):
        await world.maintain()
    assert await world.check() == len(world.expected) > 20
    assert set(await world.segments()) == set(_files(world))
    assert kills == 8 and rewritten > 8


async def _read_steady(world: World) -> int:
    """Read what is in the mailbox before and after: a message that was expunged meanwhile doesn't count."""
    content, seen = Content(world.database, world.reader), 0
    for uid, body in random.sample(sorted(world.expected.items()), min(10, len(world.expected))):
        async for rows in world.messages.fetch_rows(world.mailbox, [(uid, uid)], Want.CONTENT):
            for row in rows:
                try:
                    found = await content.read(row)
                except (MessageGone, RecordUnavailable):
                    assert uid not in world.expected, uid
                    continue
                assert found == body
                seen += 1
    return seen


async def _url(database: Database, tmp_path: Path, request: Any) -> str:
    if request.node.callspec.params["database"] == "sqlite":
        return f"sqlite:///{tmp_path}/test.db"
    name = await database.read(_count, "SELECT current_database() AS n")
    return str(request.getfixturevalue("postgres_url")).replace("@/postgres", f"@/{name}")


def _count(text: str) -> Work[Any]:
    rows = yield Query("count", text)()
    return rows[0]["n"]


def _mailbox_id(account: int, name: str) -> Work[int]:
    return (yield from find(account, name)).id


def _set_state(name: str, state: str) -> Work[None]:
    yield Query("state", "UPDATE segment SET state = :state WHERE name = :name")(state=state, name=name)


def _late(entry: str, reference: Any) -> Work[None]:
    yield from defer(entry, reference)
