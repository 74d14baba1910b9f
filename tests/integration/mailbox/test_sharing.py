"""Mailboxes that accounts share: who may do what, what is listed, and copies that become another account's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from shared.address import Address
from shared.directory import Directory, Verdict, admin
from shared.imap.acl import ALL_RIGHTS, changeable_flags
from shared.imap.flags import DELETED, SEEN, FlagSet
from shared.mailbox.acl import MAX_ENTRIES, Acl, Change
from shared.mailbox.errors import LimitReached, NoSuchMailbox, NotAllowed, NotPermitted, OverQuota
from shared.mailbox.messages import StoreMode
from tests.integration.mailbox.conftest import PREFIX

PRIVATE = b"Return-Path: <s@a.test>\r\nDelivered-To: hidden+tag@a.test\r\n (folded)\r\nX-Score: 1\r\n"
PUBLIC = b"Return-Path: <s@a.test>\r\nX-Score: 1\r\n"


@dataclass(frozen=True)
class User:
    id: int
    address: str


@pytest.fixture
def acl(world) -> Acl:
    return Acl(world.database)


def users(world) -> tuple[User, User]:
    return User(world.accounts[0], "u0@a.test"), User(world.accounts[1], "u1@a.test")


async def test_nobody_else_sees_a_mailbox_until_it_is_shared(world, acl):
    _, other = users(world)
    box = await world.mailboxes.create(world.account, "box")
    with pytest.raises(NoSuchMailbox):
        await acl.find(other, "u0@a.test", "box")
    await acl.change(box, "u1@a.test", Change.REPLACE, "lr")
    access = await acl.find(other, "u0@a.test", "box")
    assert (access.mailbox.id, access.rights, access.owner) == (box.id, "lr", "u0@a.test")
    with pytest.raises(NotPermitted):
        access.require("i")
    await acl.change(box, "u1@a.test", Change.REMOVE, "l")
    with pytest.raises(NoSuchMailbox):
        (await acl.find(other, "u0@a.test", "box")).require("i")
    await acl.change(box, "u1@a.test", Change.REMOVE, "r")
    assert await acl.entries(box.id) == []


async def test_who_is_told_of_a_change_of_rights(world):
    told: list[set[int]] = []
    acl = Acl(world.database, lambda accounts: told.append(set(accounts)))
    box = await world.mailboxes.create(world.account, "box")
    await world.database.write(admin.add_alias, "team@a.test", ["U1@a.test", "x@b.test"], 1)
    owner, other = world.accounts[:2]
    for identifier, concerned in [
        ("u1@a.test", {owner, other}),
        ("-u1@a.test", {owner, other}),
        ("team@a.test", {owner, other}),
        ("@a.test", set(world.accounts)),
        ("anyone", set(world.accounts)),
        ("-anyone", set(world.accounts)),
        ("@b.test", {owner}),
        ("nobody@a.test", {owner}),
    ]:
        await acl.change(box, identifier, Change.ADD, "lr")
        assert told.pop() == concerned, identifier
        await acl.remove(box, identifier)
        assert told.pop() == concerned, identifier


async def test_everyone_a_domain_an_alias_and_what_is_taken_away(world, acl):
    owner, other = users(world)
    box = await world.mailboxes.create(world.account, "box")
    assert await acl.rights(owner, box.id) == ALL_RIGHTS
    for identifier, rights, want in [
        ("anyone", "l", "l"),
        ("@a.test", "r", "lr"),
        ("@b.test", "s", "lr"),
        ("team@a.test", "w", "lr"),
        ("u1@a.test", "i", "lri"),
        ("-@a.test", "l", "ri"),
    ]:
        await acl.change(box, identifier, Change.ADD, rights)
        assert await acl.rights(other, box.id) == want
    await world.database.write(admin.add_alias, "team@a.test", ["U1@a.test", "x@b.test"], 1)
    assert await acl.rights(other, box.id) == "rwi"
    await acl.change(box, "-team@a.test", Change.ADD, "i")
    assert await acl.rights(other, box.id) == "rw"
    await world.mailboxes.delete(world.account, "box")
    with pytest.raises(NoSuchMailbox):
        await acl.rights(other, box.id)


async def test_what_is_shared_is_listed_below_its_owner(world, acl):
    owner, other = users(world)
    box = await world.mailboxes.create(world.account, "Work/Boat", special_use="\\Archive")
    hidden = await world.mailboxes.create(world.account, "Hidden")
    await acl.change(box, "anyone", Change.REPLACE, "lrs")
    await acl.change(hidden, "anyone", Change.REPLACE, "rs")
    await world.mailboxes.subscribe(other.id, "Other Users/u0@a.test/Work/Boat")
    listed = {entry.name: entry for entry in await world.mailboxes.listing_for(other)}
    shared = listed["Other Users/u0@a.test/Work/Boat"]
    assert (shared.mailbox.id, shared.rights, shared.subscribed, shared.special_use) == (box.id, "lrs", True, "")
    for name in ("Other Users", "Other Users/u0@a.test", "Other Users/u0@a.test/Work"):
        assert not listed[name].exists and listed[name].has_children
    assert not any("Hidden" in name for name in listed)
    assert listed["INBOX"].mailbox.account_id == other.id
    assert not any(
        name.startswith("Other Users") for name in (e.name for e in await world.mailboxes.listing_for(owner))
    )


async def test_what_is_made_below_is_shared_alike(world, acl):
    box = await world.mailboxes.create(world.account, "box")
    await acl.change(box, "anyone", Change.REPLACE, "lrk")
    await acl.change(box, "-u1@a.test", Change.REPLACE, "k")
    child = await world.mailboxes.create(world.account, "box/a/b")
    between = await world.mailboxes.get(world.account, "box/a")
    assert await acl.entries(child.id) == await acl.entries(between.id) == await acl.entries(box.id)
    await world.mailboxes.rename(world.account, "box/a", "elsewhere")
    assert await acl.entries(between.id) == await acl.entries(box.id)


async def test_names_of_what_others_share_are_kept_for_that(world):
    with pytest.raises(NotAllowed):
        await world.mailboxes.create(world.account, "Other Users/x")
    await world.mailboxes.create(world.account, "box")
    with pytest.raises(NotAllowed):
        await world.mailboxes.rename(world.account, "box", "Other Users")


async def test_entries_are_limited(world, acl, monkeypatch):
    monkeypatch.setattr("shared.mailbox.acl.MAX_ENTRIES", 2)
    assert MAX_ENTRIES > 2
    box = await world.mailboxes.create(world.account, "box")
    await acl.change(box, "a@a.test", Change.ADD, "l")
    await acl.change(box, "b@a.test", Change.ADD, "l")
    await acl.change(box, "a@a.test", Change.ADD, "r")
    with pytest.raises(LimitReached):
        await acl.change(box, "c@a.test", Change.ADD, "l")


async def test_an_address_that_goes_leaves_no_rights_behind(world, acl):
    box = await world.mailboxes.create(world.account, "box")
    await acl.change(box, "u1@a.test", Change.REPLACE, "lr")
    await acl.change(box, "-u1@a.test", Change.REPLACE, "r")
    await world.database.write(lambda: admin.remove_account("u1@a.test", 1, purge=False))
    assert await acl.entries(box.id) == []
    await acl.change(box, "anyone", Change.REPLACE, "lr")
    await world.database.write(lambda: admin.remove_account("u0@a.test", 2, purge=True))
    assert await world.query("SELECT * FROM acl") == []


# Copies between accounts


async def test_a_copy_in_another_account_is_charged_there_and_tells_no_address(world):
    source, target = await world.inbox(), await world.inbox(world.accounts[1])
    await world.append(source, FlagSet(SEEN | DELETED, (b"$Label", b"$Other")), size=500)
    await world.append(source, size=300)
    await world.execute("UPDATE message SET prefix = :prefix WHERE uid = 1", prefix=PRIVATE)
    await world.execute("UPDATE message SET prefix = :prefix WHERE uid = 2", prefix=PREFIX)
    done = await world.messages.copy(
        world.account,
        source.id,
        [(1, 2)],
        target.id,
        target_account_id=world.accounts[1],
        settable=changeable_flags("w"),
    )
    assert (done.source, done.target) == ((1, 2), (1, 2))
    rows = await world.query("SELECT uid, flags, size, prefix FROM message WHERE mailbox_id = :id", id=target.id)
    lost = len(PRIVATE) - len(PUBLIC)
    assert [(row["uid"], row["size"], bytes(row["prefix"])) for row in rows] == [
        (1, 500 - lost, PUBLIC),
        (2, 300, PREFIX),
    ]
    selected = await world.messages.select(target.id)
    assert selected.keywords.names_of(rows[0]["flags"]) == [b"$Label", b"$Other"]
    assert (await world.messages.usage(world.accounts[1])).used_bytes == 800 - lost
    await world.check_counts()


async def test_a_move_to_another_account_and_back(world):
    source, target = await world.inbox(), await world.inbox(world.accounts[1])
    await world.append(source, FlagSet(SEEN), size=500)
    moved = await world.messages.move(
        world.account, source.id, [(1, 9)], target.id, target_account_id=world.accounts[1]
    )
    assert (moved.source, moved.target) == ((1,), (1,))
    await world.check_counts()
    assert (await world.messages.usage(world.account)).used_messages == 0
    await world.messages.move(
        world.accounts[1], target.id, [(1, 1)], source.id, target_account_id=world.account, settable=0
    )
    assert await world.uids(source.id) == [2]
    after = await world.inbox()
    assert (after.messages, after.unseen) == (1, 1)
    await world.check_counts()


async def test_flags_that_may_not_be_set_stay_as_they_are(world):
    box = await world.inbox()
    await world.append(box, FlagSet(SEEN, (b"$Label",)))
    settable = changeable_flags("t")
    for mode, flags, want in [
        (StoreMode.REPLACE, FlagSet(DELETED), SEEN | DELETED),
        (StoreMode.REPLACE, FlagSet(), SEEN),
        (StoreMode.ADD, FlagSet(DELETED), SEEN | DELETED),
        (StoreMode.REMOVE, FlagSet(SEEN | DELETED), SEEN),
    ]:
        change = await world.messages.store_flags(world.account, box.id, [(1, 1)], mode, flags, settable=settable)
        assert change.rows[0][1] & 0xFF == want
        assert change.rows[0][1] & 1 << 8
    await world.check_counts()


# A quota of messages


async def test_an_account_has_so_many_messages_and_no_more(world):
    inbox, other = await world.inbox(), await world.inbox(world.accounts[1])
    await world.database.write(admin.set_quota_messages, "u0@a.test", 3)
    await world.append(inbox)
    await world.append(inbox)
    with pytest.raises(OverQuota):
        await world.messages.copy(world.account, inbox.id, [(1, 2)], inbox.id)
    await world.messages.copy(world.account, inbox.id, [(1, 1)], inbox.id)
    with pytest.raises(OverQuota):
        await world.append(inbox)
    [result] = await world.deliver(world.job())
    assert [refusal.name for _, refusal in result.refused] == ["OVER_QUOTA"]
    await world.append(other)
    with pytest.raises(OverQuota):
        await world.messages.move(world.accounts[1], other.id, [(1, 1)], inbox.id, target_account_id=world.account)
    await world.messages.remove(world.account, inbox.id, [(1, 1)])
    await world.messages.move(world.accounts[1], other.id, [(1, 1)], inbox.id, target_account_id=world.account)
    usage = await world.messages.usage(world.account)
    assert (usage.used_messages, usage.quota_messages) == (3, 3)
    verdict = await Directory(world.database).verify(Address("u0", "a.test"))
    assert verdict is Verdict.OVER_QUOTA
    await world.check_counts()


async def test_many_move_between_accounts_at_once(world):
    first, second = await world.inbox(), await world.inbox(world.accounts[1])
    for box in (first, second):
        for _ in range(10):
            await world.append(box)

    async def move(source, target, uid):
        await world.messages.move(
            source.account_id, source.id, [(uid, uid)], target.id, target_account_id=target.account_id
        )

    async def copy(source, target, uid):
        await world.messages.copy(
            source.account_id, source.id, [(uid, uid)], target.id, target_account_id=target.account_id
        )

    ways = [(first, second), (second, first)]
    await asyncio.gather(*(work(*way, uid) for uid in range(1, 11) for way in ways for work in (copy, move)))
    await world.check_counts()
    counts = [(await world.mailboxes.get_by_id(box.id)).messages for box in (first, second)]
    assert sum(counts) >= 20
    assert len(set(await world.uids(first.id))) == counts[0]
