"""The way of a message through the MDA: mailboxes, aliases, forwards, bounces."""

from __future__ import annotations

import pytest

from shared.address import parse_address
from shared.db import DatabaseUnavailable
from shared.directory import admin
from shared.ids import child_id
from shared.message.envelope import Kind, Lane, Recipient
from tests.integration.mda.conftest import MESSAGE


async def test_a_message_reaches_its_mailboxes(office):
    ids = [await office.account(name) for name in ("bob", "eve")]
    item = await office.accept("bob", "eve", "bob+tag")
    assert await office.work() == 1
    assert await office.inbox("bob") == [
        b"Return-Path: <a@out.test>\r\nDelivered-To: bob@b.test\r\n" + MESSAGE,
        b"Return-Path: <a@out.test>\r\nDelivered-To: bob+tag@b.test\r\n" + MESSAGE,
    ]
    assert len(await office.inbox("eve")) == 1
    assert await office.ledger(item.entry) == {"bob@b.test": "delivered", "eve@b.test": "delivered"}
    assert sorted(set(office.woken)) == sorted(ids)
    assert await office.depth() == (0, 0, 0)
    row = (await office.query("SELECT entry, message_id, header_size FROM blob"))[0]
    assert (row["entry"], row["message_id"]) == (item.entry, "<m@out.test>")


async def test_the_same_entry_again_changes_nothing(office):
    await office.account("bob")
    await office.alias("team", "bob@b.test", "x@far.test")
    item = await office.accept("team", "nobody")
    await office.work()
    assert len(await office.relayed()) == 2  # the redirect and the bounce
    await office.redis.flushall()
    await office.queue.setup()
    await office.queue.enqueue([item])
    await office.work()
    assert len(await office.inbox("bob")) == 1
    assert await office.relayed() == []


async def test_aliases_and_forwards(office):
    for name in ("bob", "eve"):
        await office.account(name)
    await office.alias("team", "bob@b.test", "eve@b.test", "x@far.test", "list@b.test")
    await office.alias("list", "eve@b.test", "y@far.test")
    recipient = Recipient("team@b.test", Lane.DELIVERY, orcpt="rfc822;Team@b.test", notify="SUCCESS,FAILURE")
    item = await office.accept(recipient, sender="bob@b.test", envid="e1", ret="HDRS")
    await office.work()
    assert await office.ledger(item.entry) == {
        "bob@b.test": "delivered",
        "eve@b.test": "delivered",
        "x@far.test": "redirected",
        "y@far.test": "redirected",
    }
    assert len(await office.inbox("eve")) == 1
    children = {envelope.recipients[0].address: (envelope, body) for envelope, body in await office.relayed()}
    assert set(children) == {"x@far.test", "y@far.test"}
    envelope, body = children["x@far.test"]
    assert envelope.id == child_id(item.entry, "team@b.test", "redirect", "x@far.test")
    assert (envelope.kind, envelope.sender, envelope.parent, envelope.hops) == (
        Kind.REDIRECT,
        "bob@b.test",
        item.entry,
        1,
    )
    assert (envelope.envid, envelope.ret, envelope.recipients[0].notify) == ("e1", "HDRS", "FAILURE")
    assert envelope.recipients[0].orcpt == "rfc822;Team@b.test"
    assert body == b"Delivered-To: team@b.test\r\n" + MESSAGE
    confirmations = [message for message in await office.inbox("bob") if b"was delivered" in message]
    assert len(confirmations) == 1 and b"Action: delivered" in confirmations[0]


async def test_only_forwards_are_confirmed_as_expanded(office):
    await office.account("bob")
    await office.alias("away", "x@far.test")
    await office.accept(Recipient("away@b.test", Lane.DELIVERY, notify="SUCCESS"), sender="bob@b.test")
    await office.work()
    assert [envelope.recipients[0].notify for envelope, _ in await office.relayed()] == ["NEVER"]
    assert b"Action: expanded" in (await office.inbox("bob"))[0]


async def test_who_does_not_exist_is_bounced_to_the_sender(office):
    await office.account("bob")
    item = await office.accept("nobody", sender="bob@b.test")
    assert await office.work() == 2
    assert await office.ledger(item.entry) == {"nobody@b.test": "bounced"}
    (bounce,) = await office.inbox("bob")
    assert bounce.startswith(b"Return-Path: <>\r\n")
    for part in (b"Action: failed", b"Status: 5.1.1", b"Final-Recipient: rfc822; nobody@b.test", b"Subject: hello"):
        assert part in bounce
    rows = await office.query("SELECT detail FROM ledger WHERE outcome = 'bounced'")
    assert child_id(item.entry, "nobody@b.test", "failed", "nobody@b.test") in rows[0]["detail"]


async def test_a_bounce_to_elsewhere_goes_to_the_relay(office):
    await office.accept("nobody")
    await office.work()
    ((envelope, body),) = await office.relayed()
    assert (envelope.sender, envelope.recipients[0].address, envelope.kind) == ("", "a@out.test", Kind.BOUNCE)
    assert b"5.1.1" in body


@pytest.mark.parametrize(("sender", "notify"), [("", ""), ("a@out.test", "NEVER"), ("a@out.test", "DELAY")])
async def test_where_no_report_may_be_sent_the_ledger_says_failed(office, sender, notify):
    item = await office.accept(Recipient("nobody@b.test", Lane.DELIVERY, notify=notify), sender=sender)
    await office.work()
    assert await office.ledger(item.entry) == {"nobody@b.test": "failed"}
    assert await office.relayed() == []


async def test_a_disabled_account_is_bounced(office):
    await office.account("bob")
    await office.database.write(admin.set_enabled, "bob@b.test", False)
    await office.accept("bob")
    await office.work()
    ((_, body),) = await office.relayed()
    assert b"Status: 5.2.1" in body
    assert await office.inbox("bob") == []


async def test_quota_is_exact_and_what_is_over_is_bounced(office):
    size = len(b"Return-Path: <a@out.test>\r\nDelivered-To: bob@b.test\r\n" + MESSAGE)
    await office.account("bob", quota=3 * size)
    await office.account("eve")
    await office.alias("both", "bob@b.test", "eve@b.test")
    items = [await office.accept("bob") for _ in range(5)]
    both = await office.accept("both")
    await office.work()
    outcomes = [(await office.ledger(item.entry))["bob@b.test"] for item in items]
    assert sorted(outcomes) == ["bounced"] * 2 + ["delivered"] * 3
    assert await office.ledger(both.entry) == {"bob@b.test": "bounced", "eve@b.test": "delivered"}
    assert (len(await office.inbox("bob")), len(await office.inbox("eve"))) == (3, 1)
    reports = [body for _, body in await office.relayed()]
    assert len(reports) == 3 and all(b"Status: 5.2.2" in body for body in reports)
    account = await office.directory.account("bob@b.test")
    assert account.used_bytes == account.quota_bytes


async def test_a_loop_of_forwards_ends(office):
    await office.account("bob")
    await office.alias("keep", "bob@b.test", "x@far.test")
    await office.alias("away", "x@far.test")
    for name in ("keep", "away"):
        message = f"Delivered-To: {name}@b.test\r\n".encode() + MESSAGE
        item = await office.accept(name, message=message)
        await office.work()
        if name == "keep":
            assert await office.ledger(item.entry) == {"bob@b.test": "delivered", "x@far.test": "dropped"}
            assert await office.relayed() == []
        else:
            assert await office.ledger(item.entry) == {"away@b.test": "bounced"}
            ((_, body),) = await office.relayed()
            assert b"Status: 5.4.6" in body


async def test_a_message_that_came_too_far_is_not_forwarded(office):
    await office.alias("away", "x@far.test")
    hops = await office.accept("away", hops=10)
    received = await office.accept("away", message=b"Received: x\r\n" * 101 + MESSAGE)
    await office.work()
    for item in (hops, received):
        assert await office.ledger(item.entry) == {"away@b.test": "bounced"}


async def test_recipients_of_the_relay_lane_are_left_alone(office):
    await office.account("bob")
    item = await office.accept("bob", Recipient("x@far.test", Lane.RELAY))
    await office.work()
    assert await office.ledger(item.entry) == {"bob@b.test": "delivered"}


async def test_a_large_message_is_delivered_and_sent_on(office):
    await office.account("bob")
    await office.alias("both", "bob@b.test", "x@far.test")
    message = MESSAGE + b"0123456789abcde\r\n" * 40_000
    await office.accept("both", message=message)
    await office.work()
    assert (await office.inbox("bob"))[0].endswith(message)
    ((_, body),) = await office.relayed()
    assert body == b"Delivered-To: both@b.test\r\n" + message
    assert [path.suffix for path in (office.journal / "large").rglob("*") if path.is_file()] == [".msg"]


async def test_an_account_removed_meanwhile_is_bounced(office):
    await office.account("bob")
    await office.accept("bob")
    await office.work()
    await office.database.write(admin.remove_account, "bob@b.test", 1, purge=True)
    item = await office.accept("bob")  # the expansion is remembered for a moment
    await office.work()
    assert await office.ledger(item.entry) == {"bob@b.test": "bounced"}


async def test_a_crash_between_journal_and_commit_makes_each_child_once(office, monkeypatch):
    await office.account("bob")
    await office.alias("team", "bob@b.test", "x@far.test")
    item = await office.accept("team", "nobody")
    write = office.database.write
    failures = iter([DatabaseUnavailable("away")])

    async def failing(work, *args, **kwargs):
        if work.__name__ == "deliver":
            for failure in failures:
                raise failure
        return await write(work, *args, **kwargs)

    monkeypatch.setattr(office.database, "write", failing)
    with pytest.raises(DatabaseUnavailable):
        await office.work()
    assert await office.ledger(item.entry) == {}
    assert await office.depth() == (1, 0, 0)
    leases = await office.queue.read(Lane.DELIVERY, 1, 0)
    assert leases[0].deliveries == 1  # trouble doesn't count
    await office.courier.work(leases)
    await office.push()
    assert len(await office.inbox("bob")) == 1
    children = [envelope.id for envelope, _ in await office.relayed()]
    assert sorted(children) == sorted(
        [
            child_id(item.entry, "team@b.test", "redirect", "x@far.test"),
            child_id(item.entry, "nobody@b.test", "failed", "nobody@b.test"),
        ]
    )


async def test_two_workers_with_the_same_entries_deliver_once(office):
    import asyncio

    await office.account("bob")
    await office.alias("team", "bob@b.test", "x@far.test")
    items = [await office.accept("team") for _ in range(10)]
    leases = await office.queue.read(Lane.DELIVERY, 64, 0)
    await asyncio.gather(office.courier.work(leases), office.courier.work([office.again(item) for item in items]))
    await office.push()
    assert len(await office.inbox("bob")) == 10
    assert len({envelope.id for envelope, _ in await office.relayed()}) == 10


async def test_expansions_are_asked_once_for_a_while(office, monkeypatch):
    await office.account("bob")
    asked = []
    expand = office.directory.expand

    async def counting(address):
        asked.append(address)
        return await expand(address)

    monkeypatch.setattr(office.directory, "expand", counting)
    for _ in range(3):
        await office.accept("bob")
    await office.accept("nobody")
    await office.work()
    await office.accept("bob")
    await office.accept("nobody")
    await office.work()
    assert [str(address) for address in asked] == ["bob@b.test", "nobody@b.test", "nobody@b.test"]
    assert parse_address("bob@b.test") in asked
