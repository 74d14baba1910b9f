"""Mailboxes: create, rename, delete, list, subscribe."""

from __future__ import annotations

import pytest

from shared.imap.flags import SEEN, FlagSet
from shared.mailbox.errors import HasChildren, MailboxExists, NoSuchMailbox, NotAllowed
from shared.mailbox.mailboxes import DEFAULT_MAILBOXES


async def names(world) -> list[str]:
    return [listed.name for listed in await world.mailboxes.listing(world.account)]


async def test_an_account_begins_with_the_default_mailboxes(world):
    listed = {entry.name: entry for entry in await world.mailboxes.listing(world.account)}
    assert {name: entry.mailbox.special_use for name, entry in listed.items()} == DEFAULT_MAILBOXES
    assert all(entry.subscribed and not entry.has_children for entry in listed.values())
    assert len({entry.mailbox.uidvalidity for entry in listed.values()}) == len(listed)


async def test_create_makes_parents(world):
    created = await world.mailboxes.create(world.account, "Work/Clients/Ärger", special_use="\\Archive")
    assert created.special_use == "\\Archive"
    listed = {entry.name: entry for entry in await world.mailboxes.listing(world.account)}
    assert listed["Work"].has_children and listed["Work/Clients"].has_children
    assert listed["Work"].mailbox.special_use == ""
    assert not listed["Work/Clients/Ärger"].has_children
    assert not listed["Work"].subscribed
    with pytest.raises(MailboxExists):
        await world.mailboxes.create(world.account, "Work")


async def test_uidvalidity_grows_with_each_creation(world):
    seen = [(await world.mailboxes.create(world.account, "again")).uidvalidity]
    for _ in range(3):
        await world.mailboxes.delete(world.account, "again")
        seen.append((await world.mailboxes.create(world.account, "again")).uidvalidity)
    assert seen == sorted(set(seen))


async def test_delete_leaves_children_below_a_name_that_cannot_be_selected(world):
    await world.mailboxes.create(world.account, "a/b")
    await world.mailboxes.delete(world.account, "a")
    listed = {entry.name: entry for entry in await world.mailboxes.listing(world.account)}
    assert listed["a"].mailbox is None and listed["a"].has_children
    with pytest.raises(HasChildren):
        await world.mailboxes.delete(world.account, "a")
    with pytest.raises(NoSuchMailbox):
        await world.mailboxes.get(world.account, "a")
    await world.mailboxes.create(world.account, "a")
    assert (await world.mailboxes.get(world.account, "a")).messages == 0


async def test_delete_gives_the_room_back(world):
    box = await world.mailboxes.create(world.account, "box")
    await world.append(box, FlagSet(0, (b"word",)), size=500)
    await world.mailboxes.delete(world.account, "box")
    await world.check_counts()
    assert (await world.messages.usage(world.account)).used_messages == 0
    with pytest.raises(NoSuchMailbox):
        await world.messages.select(box.id)
    with pytest.raises(NoSuchMailbox):
        await world.append(box)
    await world.check_counts()


async def test_inbox_cannot_be_deleted(world):
    with pytest.raises(NotAllowed):
        await world.mailboxes.delete(world.account, "INBOX")


async def test_rename_takes_children_along(world):
    box = await world.mailboxes.create(world.account, "a/b/c")
    await world.append(box)
    await world.mailboxes.rename(world.account, "a", "x/y")
    assert {"x", "x/y", "x/y/b", "x/y/b/c"} <= set(await names(world))
    assert "a" not in await names(world)
    renamed = await world.mailboxes.get(world.account, "x/y/b/c")
    assert (renamed.id, renamed.uidvalidity, renamed.messages) == (box.id, box.uidvalidity, 1)


async def test_rename_refuses_what_it_must(world):
    await world.mailboxes.create(world.account, "a/b")
    with pytest.raises(NotAllowed):
        await world.mailboxes.rename(world.account, "a", "a/c")
    with pytest.raises(MailboxExists):
        await world.mailboxes.rename(world.account, "a", "Sent")
    with pytest.raises(NoSuchMailbox):
        await world.mailboxes.rename(world.account, "nothing", "c")
    await world.mailboxes.create(world.account, "z/b")
    await world.mailboxes.delete(world.account, "z")
    with pytest.raises(MailboxExists):
        await world.mailboxes.rename(world.account, "a", "z")


async def test_a_name_that_is_only_a_parent_can_be_renamed(world):
    await world.mailboxes.create(world.account, "a/b")
    await world.mailboxes.delete(world.account, "a")
    await world.mailboxes.rename(world.account, "a", "c")
    assert "c/b" in await names(world) and "a" not in await names(world)


async def test_renaming_inbox_moves_its_messages_and_leaves_it_empty(world):
    await world.mailboxes.create(world.account, "INBOX/child")
    inbox = await world.inbox()
    await world.append(inbox, FlagSet(SEEN, (b"$Label1",)))
    await world.append(inbox)
    await world.mailboxes.rename(world.account, "INBOX", "old")
    old = await world.mailboxes.get(world.account, "old")
    after = await world.inbox()
    assert (old.messages, old.unseen, after.messages, after.uidnext) == (2, 1, 0, inbox.uidnext + 2)
    assert "INBOX/child" in await names(world) and "old/child" not in await names(world)
    assert (await world.messages.select(old.id)).keywords.names == (b"$Label1",)
    await world.check_counts()


async def test_subscriptions_need_no_mailbox(world):
    await world.mailboxes.subscribe(world.account, "not/there")
    await world.mailboxes.subscribe(world.account, "not/there")
    await world.mailboxes.unsubscribe(world.account, "Junk")
    await world.mailboxes.unsubscribe(world.account, "Junk")
    subscribed = await world.mailboxes.subscriptions(world.account)
    assert "not/there" in subscribed and "Junk" not in subscribed
    assert "not/there" not in await names(world)


async def test_accounts_do_not_see_each_other(world):
    await world.mailboxes.create(world.accounts[0], "private")
    with pytest.raises(NoSuchMailbox):
        await world.mailboxes.get(world.accounts[1], "private")
