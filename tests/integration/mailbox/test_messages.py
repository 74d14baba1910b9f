"""Messages: append, fetch, flags, copy, move, expunge, changes."""

from __future__ import annotations

import asyncio
import time

import pytest

from shared.imap.flags import ANSWERED, DELETED, FLAGGED, SEEN, FlagSet
from shared.mailbox.errors import LimitReached, NoSuchMailbox, OverQuota, SegmentRewritten
from shared.mailbox.keywords import MAX_KEYWORDS
from shared.mailbox.messages import Expunged, StoreMode, Want
from tests.integration.mailbox.conftest import PREFIX, RENDERED, SEGMENT, make_world


async def fetch(world, mailbox_id, ranges, want=Want.BASE):
    return [row async for rows in world.messages.fetch_rows(mailbox_id, ranges, want) for row in rows]


async def test_append_and_fetch(world):
    inbox = await world.inbox()
    first = await world.append(inbox, FlagSet(SEEN, (b"$Forwarded",)), size=321)
    second = await world.append(inbox)
    assert (first.uid, second.uid) == (1, 2) and first.modseq < second.modseq
    assert first.uidvalidity == inbox.uidvalidity
    rows = await fetch(world, inbox.id, [(1, 2)], Want.ENVELOPE | Want.BODYSTRUCTURE | Want.BODY | Want.SENT)
    uid, flags, modseq, internal_date, size, envelope, structure, body, sent_at, sent_day = rows[0]
    assert (uid, flags, modseq, internal_date, size) == (1, SEEN | 1 << 8, first.modseq, 1_700_000_000, 321)
    assert (bytes(envelope), bytes(structure), bytes(body)) == (
        RENDERED.envelope,
        RENDERED.bodystructure,
        RENDERED.body,
    )
    assert (sent_at, sent_day) == (None, None)
    content = (await fetch(world, inbox.id, [(2, 2)], Want.CONTENT))[0]
    assert (content["segment"], content["record_size"], bytes(content["prefix"])) == (SEGMENT, 100, b"")
    text = (await fetch(world, inbox.id, [(2, 2)], Want.TEXT))[0]
    assert (text["subject"], text["message_id"]) == ("x", "<1@a.test>")


async def test_rows_that_come_packed_are_those_that_do_not(world, monkeypatch):
    monkeypatch.setattr("shared.mailbox.rows.BRIEF_CHUNK", 7)
    await world.deliver(*(world.job() for _ in range(30)))
    inbox = await world.inbox()
    largest = (1 << 63) - 1
    await world.append(inbox, FlagSet(SEEN, tuple(b"k%d" % number for number in range(55))))
    ranges = [(1, 2), (5, 4_000_000_000)]
    base = [tuple(row) for row in await fetch(world, inbox.id, ranges)]
    brief = [tuple(row) for row in await fetch(world, inbox.id, ranges, Want.BRIEF)]
    assert brief == [row[:2] for row in base] and largest >> 2 < brief[-1][1] <= largest
    content = [tuple(row) for row in await fetch(world, inbox.id, ranges, Want.CONTENT)]
    assert [tuple(row) for row in await fetch(world, inbox.id, ranges, Want.WHOLE)] == [row[:14] for row in content]
    assert [tuple(row) for row in await fetch(world, inbox.id, ranges, Want.PLACES)] == [row[:15] for row in content]
    for want in (Want.BRIEF, Want.WHOLE, Want.PLACES):
        assert await fetch(world, inbox.id, [(40, 50)], want) == []


async def test_fetch_takes_any_ranges(world):
    await world.deliver(*(world.job() for _ in range(30)))
    inbox = await world.inbox()
    ranges = [(1, 1), (3, 5), (9, 9), (20, 4_000_000_000)]
    assert [row["uid"] for row in await fetch(world, inbox.id, ranges)] == [1, 3, 4, 5, 9, *range(20, 31)]
    assert await fetch(world, inbox.id, []) == []
    assert await fetch(world, inbox.id, [(40, 50)]) == []


async def test_fetch_comes_in_chunks(world, monkeypatch):
    monkeypatch.setattr("shared.mailbox.rows.FETCH_CHUNK", 7)
    await world.deliver(*(world.job() for _ in range(30)))
    inbox = await world.inbox()
    chunks = [len(rows) async for rows in world.messages.fetch_rows(inbox.id, [(1, 4_000_000_000)])]
    assert sum(chunks) == 30 and max(chunks) == 7


async def test_store_counts_and_leaves_unchanged_rows_alone(world):
    inbox = await world.inbox()
    await world.append(inbox, FlagSet(SEEN))
    await world.append(inbox)
    before = await fetch(world, inbox.id, [(1, 2)])
    done = await world.messages.store_flags(world.account, inbox.id, [(1, 2)], StoreMode.ADD, FlagSet(SEEN))
    assert [row[:2] for row in done.rows] == [(1, SEEN), (2, SEEN)]
    assert done.rows[0][2] == before[0]["modseq"] and done.rows[1][2] == done.modseq > before[1]["modseq"]
    assert done.changed == 1
    again = await world.messages.store_flags(world.account, inbox.id, [(1, 2)], StoreMode.ADD, FlagSet(SEEN))
    assert (again.changed, again.modseq) == (0, done.modseq)
    assert (await world.inbox()).modseq == done.modseq
    await world.messages.store_flags(
        world.account, inbox.id, [(2, 2)], StoreMode.REPLACE, FlagSet(DELETED | FLAGGED, (b"$A",))
    )
    now = await world.inbox()
    assert (now.messages, now.unseen, now.deleted) == (2, 1, 1)
    removed = await world.messages.store_flags(
        world.account, inbox.id, [(1, 2)], StoreMode.REMOVE, FlagSet(DELETED, (b"$a", b"$unknown"))
    )
    assert [row[:2] for row in removed.rows] == [(1, SEEN), (2, FLAGGED)]
    assert removed.keywords.names == (b"$A",)
    await world.check_counts()


async def test_what_changes_nothing_takes_no_turn_to_write(world, monkeypatch):
    inbox = await world.inbox()
    await world.append(inbox, FlagSet(SEEN))
    await world.messages.store_flags(world.account, inbox.id, [(1, 1)], StoreMode.ADD, FlagSet(0, (b"$A",)))
    modseq = (await world.inbox()).modseq
    for way in ("write", "write_relaxed"):
        monkeypatch.setattr(world.database, way, None)
    kept = await world.messages.store_flags(
        world.account, inbox.id, [(1, 1)], StoreMode.ADD, FlagSet(SEEN), known=modseq - 1
    )
    assert (kept.changed, kept.modseq, kept.keywords.names, kept.news) == (0, modseq, (b"$A",), (1,))
    assert (await world.messages.expunge(world.account, inbox.id)) == Expunged((), modseq)


async def test_keywords_have_a_limit(world):
    inbox = await world.inbox()
    await world.append(inbox)
    names = tuple(b"k%d" % number for number in range(MAX_KEYWORDS))
    done = await world.messages.store_flags(world.account, inbox.id, [(1, 1)], StoreMode.REPLACE, FlagSet(0, names))
    assert done.rows[0][1] == sum(1 << bit for bit in range(8, 63)) and done.rows[0][1] < 1 << 63
    with pytest.raises(LimitReached):
        await world.messages.store_flags(world.account, inbox.id, [(1, 1)], StoreMode.ADD, FlagSet(0, (b"more",)))
    with pytest.raises(LimitReached):
        await world.append(inbox, FlagSet(0, (b"more",)))
    await world.check_counts()


async def test_copy_translates_keywords(world):
    inbox, archive = await world.inbox(), await world.mailboxes.get(world.account, "Archive")
    await world.append(archive, FlagSet(0, (b"other",)))
    await world.append(inbox, FlagSet(ANSWERED, (b"$One", b"$Two")))
    await world.append(inbox, FlagSet(DELETED))
    copied = await world.messages.copy(world.account, inbox.id, [(1, 2)], archive.id)
    assert (copied.source, copied.target, copied.uidvalidity) == ((1, 2), (2, 3), archive.uidvalidity)
    selected = await world.messages.select(archive.id)
    assert selected.keywords.names == (b"other", b"$One", b"$Two")
    rows = await fetch(world, archive.id, [(2, 3)])
    assert [row["flags"] for row in rows] == [ANSWERED | 1 << 9 | 1 << 10, DELETED]
    assert (await world.messages.usage(world.account)).used_messages == 5
    empty = await world.messages.copy(world.account, inbox.id, [(7, 9)], archive.id)
    assert (empty.source, empty.target) == ((), ())
    await world.check_counts()


async def test_copy_within_one_mailbox(world):
    inbox = await world.inbox()
    await world.append(inbox, FlagSet(0, (b"$One",)))
    copied = await world.messages.copy(world.account, inbox.id, [(1, 1)], inbox.id)
    assert copied.target == (2,)
    moved = await world.messages.move(world.account, inbox.id, [(1, 2)], inbox.id)
    assert moved.target == (3, 4)
    changes = await world.messages.changes(inbox.id, 0)
    assert [(row["uid"], row["expunged_at"] is None) for row in changes.rows] == [
        (1, False),
        (2, False),
        (3, True),
        (4, True),
    ]
    assert changes.modseq == max(row["modseq"] for row in changes.rows)
    await world.check_counts()


async def test_move_marks_the_source(world):
    inbox, trash = await world.inbox(), await world.mailboxes.get(world.account, "Trash")
    for _ in range(3):
        await world.append(inbox)
    moved = await world.messages.move(world.account, inbox.id, [(1, 1), (3, 9)], trash.id)
    assert (moved.source, moved.target) == ((1, 3), (1, 2))
    assert await world.uids(inbox.id) == [2] and await world.uids(trash.id) == [1, 2]
    changes = await world.messages.changes(inbox.id, moved.source_modseq - 1)
    assert [row["uid"] for row in changes.rows if row["expunged_at"] is not None] == [1, 3]
    assert changes.modseq == moved.source_modseq
    assert (await world.messages.usage(world.account)).used_messages == 3
    await world.check_counts()
    with pytest.raises(NoSuchMailbox):
        await world.messages.move(world.account, inbox.id, [(2, 2)], 999_999)
    assert await world.uids(inbox.id) == [2]


async def test_expunge_takes_only_deleted_ones_and_keeps_rows_readable(world):
    inbox = await world.inbox()
    for flags in (DELETED, 0, DELETED, DELETED | SEEN):
        await world.append(inbox, FlagSet(flags))
    gone = await world.messages.expunge(world.account, inbox.id, [(1, 3)])
    assert gone.uids == (1, 3)
    assert (await world.messages.expunge(world.account, inbox.id)).uids == (4,)
    assert (await world.messages.expunge(world.account, inbox.id)).uids == ()
    assert await world.uids(inbox.id) == [2]
    assert len(await fetch(world, inbox.id, [(1, 4)])) == 4
    stored = await world.messages.store_flags(world.account, inbox.id, [(1, 4)], StoreMode.ADD, FlagSet(SEEN))
    assert [row[0] for row in stored.rows] == [2]
    assert (await world.messages.copy(world.account, inbox.id, [(1, 4)], inbox.id)).source == (2,)
    await world.check_counts()
    assert (await world.messages.remove(world.account, inbox.id, [(2, 5)])).uids == (2, 5)
    assert (await world.inbox()).messages == 0
    await world.check_counts()


async def test_changes_tell_what_is_new_changed_and_gone(world):
    inbox = await world.inbox()
    for _ in range(3):
        await world.append(inbox)
    selected = await world.messages.select(inbox.id)
    assert (selected.uids, selected.first_unseen) == (((1, 3),), 1)
    nothing = await world.messages.changes(inbox.id, selected.mailbox.modseq)
    assert nothing.rows == [] and nothing.keywords is None
    await world.messages.store_flags(world.account, inbox.id, [(2, 2)], StoreMode.ADD, FlagSet(DELETED, (b"$New",)))
    await world.messages.expunge(world.account, inbox.id)
    await world.append(inbox, FlagSet(SEEN))
    changes = await world.messages.changes(inbox.id, selected.mailbox.modseq)
    assert [(row["uid"], row["expunged_at"] is not None) for row in changes.rows] == [(2, True), (4, False)]
    assert changes.keywords.names == (b"$New",) and changes.is_complete
    after = await world.messages.select(inbox.id)
    assert after.uids == ((1, 1), (3, 4)) and after.mailbox.modseq == changes.modseq
    await world.execute("UPDATE mailbox SET expunge_modseq = :m WHERE id = :id", m=after.mailbox.modseq, id=inbox.id)
    assert not (await world.messages.changes(inbox.id, selected.mailbox.modseq)).is_complete


async def test_one_session_claims_what_is_recent(world):
    inbox = await world.inbox()
    for _ in range(3):
        await world.append(inbox)
    inbox = await world.inbox()
    assert (inbox.claimed, await world.mailboxes.unclaimed(inbox)) == (0, 3)
    claims = await asyncio.gather(*(world.messages.claim(inbox.id, last) for last in (2, 2, 3, 3)))
    assert sorted(uid for ranges in claims for low, high in ranges for uid in range(low, high + 1)) == [1, 2, 3]
    await world.append(inbox)
    changes = await world.messages.changes(inbox.id, inbox.modseq)
    assert changes.claimed == 3
    inbox = await world.inbox()
    assert (inbox.claimed, await world.mailboxes.unclaimed(inbox)) == (3, 1)
    assert await world.messages.claim(inbox.id, 4) == ((4, 4),)
    assert await world.messages.claim(inbox.id, 4) == await world.messages.claim(inbox.id + 99, 4) == ()


async def test_modseq_never_goes_back_with_the_clock(world):
    inbox = await world.inbox()
    first = await world.append(inbox)
    world.messages._clock = lambda: time.time() - 3600
    second = await world.append(inbox)
    assert second.modseq == first.modseq + 1


async def test_quota_at_the_edge(database):
    world = await make_world(database, accounts=1, quota=1000)
    inbox = await world.inbox()
    await world.append(inbox, size=400)
    with pytest.raises(OverQuota):
        await world.append(inbox, size=601)
    await world.append(inbox, size=600)
    with pytest.raises(OverQuota):
        await world.append(inbox, size=1)
    with pytest.raises(OverQuota):
        await world.messages.copy(world.account, inbox.id, [(1, 1)], inbox.id)
    trash = await world.mailboxes.get(world.account, "Trash")
    await world.messages.move(world.account, inbox.id, [(1, 1)], trash.id)
    await world.messages.remove(world.account, trash.id, [(1, 1)])
    await world.append(inbox, size=400)
    usage = await world.messages.usage(world.account)
    assert (usage.used_bytes, usage.quota_bytes, usage.used_messages) == (1000, 1000, 2)
    await world.check_counts()


async def test_a_rewritten_segment_takes_no_references(world):
    inbox = await world.inbox()
    await world.append(inbox)
    await world.execute("UPDATE segment SET state = 'rewritten' WHERE name = :name", name=SEGMENT)
    with pytest.raises(SegmentRewritten):
        await world.append(inbox)
    await world.check_counts()


async def test_ten_thousand_envelopes(world, capsys):
    inbox = await world.inbox()
    for _ in range(20):
        await world.deliver(*(world.job() for _ in range(500)))
    for want in (Want.BASE, Want.ENVELOPE, Want.CONTENT):
        began = time.perf_counter()
        count = 0
        async for rows in world.messages.fetch_rows(inbox.id, [(1, 10_000)], want):
            count += len(rows)
        took = time.perf_counter() - began
        assert count == 10_000
        with capsys.disabled():
            print(f"\n  {world.database.engine.value}: 10,000 rows, {want}: {took * 1000:.1f} ms", end="")
    began = time.perf_counter()
    stored = await world.messages.store_flags(world.account, inbox.id, [(1, 10_000)], StoreMode.ADD, FlagSet(SEEN))
    assert stored.changed == 10_000
    with capsys.disabled():
        print(f"\n  {world.database.engine.value}: STORE on all: {(time.perf_counter() - began) * 1000:.1f} ms", end="")
    assert (await world.inbox()).unseen == 0
    assert PREFIX in bytes((await fetch(world, inbox.id, [(10_000, 10_000)], Want.CONTENT))[0]["prefix"])
