"""Rules of how long messages stay, and bringing back what was expunged, on both engines."""

from __future__ import annotations

import time

import pytest

from services.mda.upkeep import Keeping, expire_messages
from shared.errors import ConfigurationError
from shared.imap.flags import DELETED, FLAGGED, SEEN, FlagSet
from shared.mailbox import retention
from shared.mailbox.errors import OverQuota
from shared.mailbox.pruning import prune_expunged
from shared.operations import retention as operations
from shared.operations.actor import Actor
from tests.integration.mailbox.conftest import World, make_world

ACTOR = Actor("test")
DAY = 86_400


def now() -> int:
    return time.time_ns() // 1000


async def mailbox(world: World, name: str, account: int | None = None):
    return await world.mailboxes.get(world.account if account is None else account, name)


async def age(world: World, mailbox_id: int, uid: int, days: float) -> None:
    await world.execute(
        "UPDATE message SET saved_at = :at WHERE mailbox_id = :id AND uid = :uid",
        at=int(time.time() - days * DAY),
        id=mailbox_id,
        uid=uid,
    )


async def rule(world: World, name: str, days: int, account: str = "") -> None:
    await world.database.write(operations.put, ACTOR, account, name, days, now())


async def test_what_is_over_its_time_goes_and_nothing_else(world):
    trash, junk, inbox = [await mailbox(world, name) for name in ("Trash", "Junk", "INBOX")]
    other = await mailbox(world, "Trash", world.accounts[1])
    for box in (trash, junk, inbox, other):
        for uid, days in enumerate((40, 20, 1), 1):
            await world.append(box)
            await age(world, box.id, uid, days)
    woken: list[int] = []
    assert await expire_messages(world.database, Keeping(announce=woken.extend)) == 0
    await rule(world, "\\trash", 30)
    await rule(world, "INBOX", 10, "u1@a.test")
    await rule(world, "\\Trash", 0, "u1@a.test")
    keeping = Keeping({"\\Junk": 10, "\\Trash": 5}, announce=woken.extend)
    assert await expire_messages(world.database, keeping) == 3
    assert await world.uids(trash.id) == [2, 3]
    assert await world.uids(junk.id) == [3]
    assert await world.uids(inbox.id) == await world.uids(other.id) == [1, 2, 3]
    assert woken == [world.account]
    await world.check_counts()
    assert await expire_messages(world.database, keeping) == 0


async def test_many_go_in_turns(world, monkeypatch):
    monkeypatch.setattr(retention, "PAGE", 2)
    await rule(world, "Archive/Old", 1)
    for account in world.accounts:
        box = await world.mailboxes.create(account, "Archive/Old")
        for uid in range(1, 6):
            await world.append(box)
            await age(world, box.id, uid, 2)
    assert await expire_messages(world.database, Keeping()) == 10
    await world.check_counts()


async def test_rules_are_kept_listed_and_removed(world):
    await rule(world, "\\Junk", 7)
    await rule(world, "\\Junk", 8)
    await rule(world, "inbox", 3, "u0@a.test")
    listed, end = await world.database.read(operations.page_of_rules, ACTOR, "", None, 10)
    assert sorted((one["account"], one["mailbox"], one["days"]) for one in listed) == [
        ("", "\\Junk", 8),
        ("u0@a.test", "INBOX", 3),
    ]
    assert end is None
    await world.database.write(operations.remove, ACTOR, "", "\\junk", now())
    for account, name, days in (("", "\\Nothing", 1), ("", "a//b", 1), ("x@a.test", "INBOX", 1), ("", "Trash", -1)):
        with pytest.raises(ConfigurationError):
            await rule(world, name, days, account)
    with pytest.raises(ConfigurationError, match="no rule"):
        await world.database.write(operations.remove, ACTOR, "", "\\Junk", now())
    actions = await world.query("SELECT action FROM audit ORDER BY id")
    assert [row["action"] for row in actions] == ["retention.set"] * 3 + ["retention.remove"]


async def test_expunged_messages_come_back_under_new_uids(world):
    inbox = await world.inbox()
    flags = [FlagSet(SEEN, (b"Work",)), FlagSet(DELETED | FLAGGED), FlagSet()]
    for one in flags:
        await world.append(inbox, one)
    await world.messages.remove(world.account, inbox.id, [(1, 2)])
    found = await world.database.read(retention.lost, world.account, 0)
    assert sorted(one.uid for one in found) == [1, 2]
    before = await world.inbox()
    done = await operations.undelete(world.database, ACTOR, world.account, "u0@a.test", 0, now())
    assert done == {"INBOX": 2}
    after = await world.inbox()
    assert await world.uids(inbox.id) == [3, 4, 5]
    assert after.modseq > before.modseq
    assert (after.messages, after.deleted) == (3, 0)
    selected = await world.messages.select(inbox.id)
    rows = await world.query("SELECT flags FROM message WHERE mailbox_id = :id AND uid > 3 ORDER BY uid", id=inbox.id)
    assert [selected.keywords.names_of(row["flags"]) for row in rows] == [[b"\\Seen", b"Work"], [b"\\Flagged"]]
    await world.check_counts()
    assert await operations.undelete(world.database, ACTOR, world.account, "u0@a.test", 0, now()) == {}
    changes = await world.messages.changes(inbox.id, before.modseq)
    assert [row["uid"] for row in changes.rows] == [4, 5]


async def test_what_was_moved_is_not_lost_and_comes_back_where_it_was_last(world):
    inbox, trash = await world.inbox(), await mailbox(world, "Trash")
    for _ in range(3):
        await world.append(inbox)
    await world.messages.move(world.account, inbox.id, [(1, 2)], trash.id)
    assert await world.database.read(retention.lost, world.account, 0) == []
    await world.messages.remove(world.account, trash.id, [(1, 1)])
    assert await world.database.read(retention.lost, world.account, now() + DAY) == []
    done = await operations.undelete(world.database, ACTOR, world.account, "u0@a.test", 0, now(), "Sent")
    assert done == {}
    done = await operations.undelete(world.database, ACTOR, world.account, "u0@a.test", 0, now())
    assert done == {"Trash": 1}
    await world.messages.remove(world.account, trash.id, [(3, 3)])
    done = await operations.undelete(world.database, ACTOR, world.account, "u0@a.test", 0, now(), "INBOX")
    assert done == {"INBOX": 1}
    await world.check_counts()


async def test_many_come_back_in_turns_and_pruned_ones_never(world, monkeypatch):
    monkeypatch.setattr(retention, "RESTORED_AT_ONCE", 3)
    monkeypatch.setattr(retention.lost, "__defaults__", ("", 3))
    inbox = await world.inbox()
    for _ in range(8):
        await world.append(inbox)
    await world.messages.remove(world.account, inbox.id, [(1, 8)])
    assert await operations.undelete(world.database, ACTOR, world.account, "u0@a.test", 0, now()) == {"INBOX": 8}
    await world.check_counts()
    await world.messages.remove(world.account, inbox.id, [(1, 100)])
    await prune_expunged(world.database, now() + DAY)
    assert await operations.undelete(world.database, ACTOR, world.account, "u0@a.test", 0, now()) == {}


async def test_a_full_account_gets_nothing_back(database):
    world = await make_world(database, quota=1000)
    inbox = await world.inbox()
    await world.append(inbox, size=600)
    await world.messages.remove(world.account, inbox.id, [(1, 1)])
    await world.append(inbox, size=600)
    with pytest.raises(OverQuota):
        await operations.undelete(database, ACTOR, world.account, "u0@a.test", 0, now())
    assert await world.uids(inbox.id) == [2]
    await world.check_counts()
