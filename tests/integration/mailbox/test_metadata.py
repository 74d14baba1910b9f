"""Annotations in SQL: whose they are, their limits, what changed."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from shared.mailbox.errors import NoSuchMailbox
from shared.mailbox.metadata import MAX_ENTRIES, MAX_VALUE, REMEMBERED, Changed, Metadata, TooManyEntries, ValueTooLarge


class Bell:
    """Hears of changes; its clock goes on a second with each look."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        self._seconds = itertools.count(1_000)

    def __call__(self, accounts: Iterable[int]) -> None:
        self.heard += accounts

    def clock(self) -> float:
        return next(self._seconds)


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def metadata(world, bell) -> Metadata:
    return Metadata(world.database, bell, clock=bell.clock)


async def of(metadata: Metadata, account: int, mailbox) -> dict[str, bytes]:
    return (await metadata.of_mailboxes(account, [mailbox]))[mailbox.id]


async def test_private_entries_are_each_accounts_own(world, metadata, bell):
    inbox, (mine, other) = await world.inbox(), world.accounts
    await metadata.set_of_mailbox(mine, inbox, {"/private/a": b"mine", "/shared/a": b"\0\xff"}, None)
    await metadata.set_of_mailbox(other, inbox, {"/private/a": b"other"}, None)
    assert await of(metadata, mine, inbox) == {"/private/a": b"mine", "/shared/a": b"\0\xff"}
    assert await of(metadata, other, inbox) == {"/private/a": b"other", "/shared/a": b"\0\xff"}
    assert bell.heard == [mine, mine]
    await metadata.set_of_mailbox(other, inbox, {"/private/a": None, "/shared/a": b""}, None)
    assert await of(metadata, mine, inbox) == {"/private/a": b"mine", "/shared/a": b""}
    assert await of(metadata, other, inbox) == {"/shared/a": b""}


async def test_the_servers_entries(world, metadata):
    mine, other = world.accounts
    await metadata.set_of_server(mine, {"/private/a": b"x", "/private/b": b"y"})
    await metadata.set_of_server(mine, {"/private/b": None})
    assert await metadata.of_server(mine) == {"/private/a": b"x"}
    assert await metadata.of_server(other) == {}


async def test_the_special_use_is_an_entry(world, metadata):
    box = await world.mailboxes.create(world.account, "box")
    await metadata.set_of_mailbox(world.account, box, {}, "\\Sent \\Junk")
    box = await world.mailboxes.get(world.account, "box")
    assert await of(metadata, world.account, box) == {"/private/specialuse": b"\\Sent \\Junk"}
    assert await of(metadata, world.accounts[1], box) == {}


async def test_limits_leave_everything_as_it_was(world, metadata):
    inbox = await world.inbox()
    await metadata.set_of_mailbox(world.account, inbox, {"/private/a": b"x"}, None)
    with pytest.raises(ValueTooLarge) as too_large:
        await metadata.set_of_mailbox(
            world.account, inbox, {"/private/a": b"y", "/shared/b": b"x" * (MAX_VALUE + 1)}, "\\Sent"
        )
    assert too_large.value.code == f"METADATA MAXSIZE {MAX_VALUE}"
    many = {f"/private/{number}": b"" for number in range(MAX_ENTRIES)}
    with pytest.raises(TooManyEntries):
        await metadata.set_of_mailbox(world.account, inbox, {"/shared/a": b"y", **many}, None)
    with pytest.raises(TooManyEntries):
        await metadata.set_of_server(world.account, {**many, "/private/a": b""})
    assert await of(metadata, world.account, await world.inbox()) == {"/private/a": b"x"}
    await metadata.set_of_mailbox(world.account, inbox, {**many, "/private/a": None}, None)
    assert len(await of(metadata, world.account, inbox)) == MAX_ENTRIES


async def test_the_annotations_of_an_account_take_only_so_much_room(world, metadata, monkeypatch):
    monkeypatch.setattr("shared.mailbox.metadata.MAX_TOTAL", 100)
    inbox, box = await world.inbox(), await world.mailboxes.create(world.account, "box")
    await metadata.set_of_mailbox(world.account, inbox, {"/shared/a": b"x" * 60}, None)
    with pytest.raises(TooManyEntries):
        await metadata.set_of_mailbox(world.accounts[1], box, {"/private/a": b"x" * 60}, None)
    assert await of(metadata, world.accounts[1], box) == {}
    await metadata.set_of_mailbox(world.account, box, {"/private/a": b"x" * 40}, None)
    await metadata.set_of_mailbox(
        world.accounts[1], await world.inbox(world.accounts[1]), {"/shared/a": b"x" * 90}, None
    )
    some = await metadata.of_mailboxes(world.account, [inbox, box], ["/private/a"])
    assert some == {inbox.id: {}, box.id: {"/private/a": b"x" * 40}}


async def test_entries_follow_a_mailbox_and_go_with_it(world, metadata):
    box, inbox = await world.mailboxes.create(world.account, "box"), await world.inbox()
    await metadata.set_of_mailbox(world.account, box, {"/shared/a": b"box"}, None)
    await metadata.set_of_mailbox(world.account, inbox, {"/shared/a": b"inbox"}, None)
    await world.mailboxes.rename(world.account, "box", "other")
    assert await of(metadata, world.account, await world.mailboxes.get(world.account, "other")) == {"/shared/a": b"box"}
    await world.mailboxes.rename(world.account, "INBOX", "old")
    for name in ("old", "INBOX"):
        mailbox = await world.mailboxes.get(world.account, name)
        assert await of(metadata, world.account, mailbox) == {"/shared/a": b"inbox"}
    await world.mailboxes.delete(world.account, "other")
    with pytest.raises(NoSuchMailbox):
        await metadata.set_of_mailbox(world.account, box, {"/shared/a": b"box"}, None)
    assert await world.query("SELECT * FROM mailbox_metadata WHERE mailbox_id = :id", id=box.id) == []


async def test_what_changed(world, metadata):
    inbox, mine, other = await world.inbox(), *world.accounts
    await metadata.set_of_server(mine, {"/private/s": b"1"})
    await metadata.set_of_mailbox(mine, inbox, {"/private/a": b"1", "/shared/a": b"1"}, None)
    since = (await metadata.changed(mine, 0))[-1].at
    assert [(c.mailbox, c.entry) for c in await metadata.changed(mine, 0)] == [
        ("", "/private/s"),
        ("INBOX", "/private/a"),
        ("INBOX", "/shared/a"),
    ]
    assert await metadata.changed(mine, since) == []
    await metadata.set_of_mailbox(other, inbox, {"/private/a": b"theirs", "/shared/a": None}, None)
    assert await metadata.changed(mine, since) == [Changed("INBOX", "/shared/a", since + 1_000_000)]


async def test_removed_entries_are_forgotten_in_time(world, metadata, bell):
    inbox = await world.inbox()
    await metadata.set_of_mailbox(world.account, inbox, {"/shared/a": b"1"}, None)
    await metadata.set_of_mailbox(world.account, inbox, {"/shared/a": None}, None)
    bell._seconds = itertools.count(2_000 + REMEMBERED // 1_000_000)
    await metadata.set_of_mailbox(world.account, inbox, {"/shared/b": b"1"}, None)
    rows = await world.query("SELECT entry FROM mailbox_metadata")
    assert [row["entry"] for row in rows] == ["/shared/b"]
