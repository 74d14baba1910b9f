"""What is written into the journal, and what goes to the queue."""

from __future__ import annotations

import pytest

from services.mta.accept import Acceptance
from services.mta.body import Text
from services.mta.client import Client, Role, Transaction
from services.mta.commands import Mail
from services.mta.limits import MAX_RECEIVED
from shared.address import Address
from shared.errors import MailFailure, TemporaryFailure
from shared.journal.record import LARGE_THRESHOLD, LargeFile
from shared.message.envelope import Lane, Origin, Recipient
from shared.message.header import find_header_end
from shared.queue.delivery import Item
from tests.unit.mta.fakes import ALICE, NOW, FakeJournal

ENTRY = "01M83AEFQKGVM4BHG04Y13W1KF"
LOCAL = Recipient("alice@a.test", Lane.DELIVERY)
REMOTE = Recipient("x@elsewhere.test", Lane.RELAY, "rfc822;x@elsewhere.test", "NEVER")


class World:
    """An acceptance with what it writes to."""

    def __init__(self) -> None:
        self.journal = FakeJournal()
        self.items: list[Item] = []
        self.acceptance = Acceptance(self.journal, self.items.append, "mail.a.test", lambda: NOW)  # type: ignore[arg-type]

    async def accept(self, client: Client, data: bytes, *recipients: Recipient, mail: Mail | None = None) -> bytes:
        transaction = Transaction(mail or Mail(Address("x", "b.test")), ENTRY)
        transaction.recipients = {r.address: r for r in recipients or (LOCAL,)}
        await self.acceptance.accept(client, transaction, Text(data, find_header_end(data), len(data)))
        return self.journal.entries[-1][1]


def mx() -> Client:
    return Client("192.0.2.7", Role.MX, helo="c.test", extended=True)


def submission() -> Client:
    return Client("192.0.2.7", Role.SUBMISSION, helo="c.test", extended=True, tls="TLSv1.3 X", account=ALICE)


async def test_received_is_put_in_front_and_nothing_else_touched() -> None:
    data = b"Subject: x\r\nBcc: y@z.test\r\n\r\nbody\r\n"
    got = await World().accept(mx(), data)
    received = got.removesuffix(data)
    assert received.replace(b"\r\n\t", b" ") == (
        b"Received: from c.test ([192.0.2.7]) by mail.a.test with ESMTP "
        b"id 01M83AEFQKGVM4BHG04Y13W1KF for <alice@a.test>; Mon, 23 Nov 2026 04:00:00 +0000\r\n"
    )


async def test_submission_is_completed_and_stripped_of_bcc() -> None:
    got = await World().accept(
        submission(), b"Subject: x\r\nBcc: y@z.test,\r\n w@z.test\r\n\r\nBcc: body\r\n", LOCAL, REMOTE
    )
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"with ESMTPSA" in head and b" for <" not in head
    assert b"bcc" not in head.lower() and body == b"Bcc: body\r\n"
    assert b"\r\nDate: Mon, 23 Nov 2026 04:00:00 +0000\r\n" in head
    assert b"\r\nMessage-ID: <01M83AEFQKGVM4BHG04Y13W1KF@mail.a.test>\r\n" in head


async def test_envelope() -> None:
    world = World()
    mail = Mail(Address("alice", "a.test"), eight_bit=True, smtputf8=True, ret="HDRS", envid="id+2B")
    await world.accept(submission(), b"Message-ID: <me@here>\r\n\r\n", LOCAL, REMOTE, mail=mail)
    envelope = world.journal.entries[0][0]
    assert envelope.id == ENTRY
    assert (envelope.sender, envelope.recipients) == ("alice@a.test", (LOCAL, REMOTE))
    assert (envelope.ret, envelope.envid, envelope.smtputf8, envelope.eight_bit) == ("HDRS", "id+2B", True, True)
    assert (envelope.message_id, envelope.received_at) == ("<me@here>", int(NOW * 1_000_000))
    assert envelope.origin == Origin("submission", "192.0.2.7", "c.test", "UTF8SMTPSA", "TLSv1.3 X", "alice@a.test")


async def test_null_sender_and_no_message_id() -> None:
    world = World()
    await world.accept(mx(), b"Subject: message-id\r\n\r\n", mail=Mail(None))
    envelope = world.journal.entries[0][0]
    assert (envelope.sender, envelope.message_id, envelope.origin.protocol) == ("", "", "ESMTP")


async def test_a_reference_for_each_lane() -> None:
    world = World()
    await world.accept(submission(), b"\r\n", LOCAL, REMOTE, Recipient("bob@a.test", Lane.DELIVERY))
    assert [(item.entry, item.lane) for item in world.items] == [(ENTRY, Lane.DELIVERY), (ENTRY, Lane.RELAY)]
    assert len({item.reference for item in world.items}) == 1


async def test_what_the_journal_refuses_reaches_no_queue() -> None:
    world = World()
    world.journal.failure = TemporaryFailure("full", code=452, status="4.3.1")
    with pytest.raises(MailFailure, match=r"452 4\.3\.1"):
        await world.accept(mx(), b"\r\n")
    assert world.items == [] and world.journal.entries == []


async def test_loops() -> None:
    hops = b"Received: from a\r\n by b\r\nRECEIVED: from b\r\n" * (MAX_RECEIVED // 2)
    await World().accept(mx(), hops + b"\r\n")
    for header in (b"Received: from c\r\n" + hops, hops + b"received: from c\r\n"):
        with pytest.raises(MailFailure, match=r"554 5\.4\.6"):
            await World().accept(mx(), header + b"\r\n")
    await World().accept(mx(), b"Subject: x\r\n\r\n" + hops * 2)


async def test_large_message_keeps_its_file() -> None:
    world = World()
    upload = world.journal.large(ENTRY)
    await upload.write(b"rest")
    text = Text(b"Bcc: x\r\nSubject: x\r\n\r\n", 22, 26, LargeFile(upload.name, 4, 0))
    transaction = Transaction(Mail(None), ENTRY, {"alice@a.test": LOCAL})
    await world.acceptance.accept(submission(), transaction, text)
    data = world.journal.entries[0][1]
    assert data.endswith(b"Subject: x\r\n\r\nrest") and b"Bcc" not in data


async def test_header_too_long_to_complete() -> None:
    text = Text(b"x" * LARGE_THRESHOLD, LARGE_THRESHOLD, LARGE_THRESHOLD + 1, LargeFile("x-y-z", 1, 0))
    transaction = Transaction(Mail(None), ENTRY, {"alice@a.test": LOCAL})
    with pytest.raises(MailFailure, match=r"552 5\.3\.4"):
        await World().acceptance.accept(submission(), transaction, text)
