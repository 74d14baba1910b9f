"""An MDA's courier with real SQL, Redis and journal, and the mail a test puts before it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis

from services.mda.children import Children
from services.mda.courier import Courier, Limits
from services.mda.expansions import Expansions
from shared import ids
from shared.db import Database, Rows
from shared.directory import Directory, admin
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.journal.writer import Writer
from shared.mailbox.content import Content
from shared.mailbox.mailboxes import Mailboxes
from shared.mailbox.messages import Messages, Want
from shared.maillog import MailLog
from shared.message.envelope import Envelope, Lane, Recipient
from shared.queue.delivery import Item, Lease, Queue
from shared.queue.outbox import Outbox
from tests.tools import sql

DOMAIN = "b.test"
MESSAGE = b"Received: by mx.b.test\r\nFrom: a@out.test\r\nSubject: hello\r\nMessage-ID: <m@out.test>\r\n\r\nHello.\r\n"


@dataclass
class Office:
    """All that a courier needs, and what tests look at."""

    database: Database
    redis: Redis
    queue: Queue
    outbox: Outbox
    writer: Writer
    reader: Reader
    courier: Courier
    directory: Directory
    journal: Path
    woken: list[int]

    def __post_init__(self) -> None:
        self.mailboxes = Mailboxes(self.database)
        self.messages = Messages(self.database)
        self.content = Content(self.database, self.reader)

    async def account(self, name: str, quota: int = 0) -> int:
        return await self.database.write(admin.add_account, f"{name}@{DOMAIN}", "x", time.time_ns() // 1000, quota)

    async def alias(self, name: str, *targets: str) -> None:
        await self.database.write(admin.add_alias, f"{name}@{DOMAIN}", list(targets), time.time_ns() // 1000)

    async def accept(
        self, *recipients: str | Recipient, message: bytes = MESSAGE, sender: str = "a@out.test", **fields: object
    ) -> Item:
        """Journal a message as the mta would; the names are of our domain."""
        full = tuple(Recipient(f"{one}@{DOMAIN}", Lane.DELIVERY) if isinstance(one, str) else one for one in recipients)
        now = time.time_ns() // 1000
        envelope = Envelope(**({"id": ids.new_id(), "sender": sender, "recipients": full, "received_at": now} | fields))
        reference = await self.writer.append(envelope, message)
        item = Item(envelope.id, Lane.DELIVERY, reference.encode())
        await self.queue.enqueue([item])
        return item

    async def work(self) -> int:
        """Work on what is in the queue until it is empty; return how many entries there were."""
        done = 0
        while leases := await self.queue.read(Lane.DELIVERY, 64, 0):
            await self.courier.work(leases)
            done += len(leases)
            await self.push()
        return done

    async def push(self) -> None:
        task = asyncio.create_task(self.outbox.run())
        await self.outbox.drain(5)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def relayed(self) -> list[tuple[Envelope, bytes]]:
        """Take what waits for the relay."""
        leases = await self.queue.read(Lane.RELAY, 100, 0)
        return [self.reader.record(Reference.decode(lease.item.reference)) for lease in leases]

    async def inbox(self, name: str, mailbox: str = "INBOX") -> list[bytes]:
        """Return the messages of an account's mailbox."""
        account = await self.directory.account(f"{name}@{DOMAIN}")
        assert account is not None
        box = await self.mailboxes.get(account.id, mailbox)
        selected = await self.messages.select(box.id)
        found = self.messages.fetch_rows(box.id, selected.uids, Want.CONTENT)
        return [await self.content.read(row) async for rows in found for row in rows]

    async def ledger(self, entry: str) -> dict[str, str]:
        """Return target -> outcome."""
        rows = await self.query("SELECT target, outcome FROM ledger WHERE entry = :entry", entry=entry)
        return {row["target"]: row["outcome"] for row in rows}

    async def query(self, text: str, **values: object) -> Rows:
        return await sql.query(self.database, text, **values)

    async def execute(self, text: str, **values: object) -> None:
        await sql.execute(self.database, text, **values)

    async def depth(self, lane: Lane = Lane.DELIVERY) -> tuple[int, int, int]:
        """Return how many wait, are leased and are delayed."""
        stats = (await self.queue.stats())[lane]
        return stats.depth, stats.leased, stats.delayed

    def again(self, item: Item, deliveries: int = 1) -> Lease:
        """A lease as another worker might hold it."""
        return Lease(item, "0-1", deliveries)


@pytest.fixture
async def office(database: Database, redis: Redis, tmp_path: Path) -> AsyncIterator[Office]:
    """A domain without accounts, on SQLite and on PostgreSQL."""
    await database.write(admin.add_domain, DOMAIN, time.time_ns() // 1000)
    journal = tmp_path / "journal"
    queue = Queue(redis, "mda-test")
    await queue.setup()
    outbox = Outbox(queue)
    writer, reader = Writer(journal, "mda-0"), Reader(journal)
    await writer.open()
    directory = Directory(database)
    woken: list[int] = []
    courier = Courier(
        database,
        queue,
        reader,
        writer,
        outbox,
        Expansions(directory),
        Children(writer, directory, "mx.b.test"),
        woken.extend,
        MailLog("mda"),
        limits=Limits(isolation=20, stuck=20),
    )
    yield Office(database, redis, queue, outbox, writer, reader, courier, directory, journal, woken)
    await writer.close()
    reader.close()
