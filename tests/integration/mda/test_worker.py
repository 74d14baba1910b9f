"""A whole worker: start, deliver, drain."""

from __future__ import annotations

import asyncio
import time

from services.mda.app import MdaWorker
from services.mda.settings import MdaSettings
from shared.db import connect
from shared.directory import Directory, admin
from shared.ids import new_id
from shared.journal.writer import Writer
from shared.mailbox.mailboxes import Mailboxes
from shared.message.envelope import Envelope, Lane, Recipient
from shared.queue.delivery import Item, Queue
from tests.integration.mda.conftest import MESSAGE


async def test_a_worker_delivers_and_drains(redis, redis_url, tmp_path):
    database = await connect(f"sqlite:///{tmp_path}/w.db", migrate=True)
    await database.write(admin.add_domain, "b.test", 1)
    account = await database.write(admin.add_account, "bob@b.test", "x", 1)
    settings = MdaSettings(
        data=tmp_path, database_url=f"sqlite:///{tmp_path}/w.db", redis_url=redis_url, hostname="mx.b.test"
    )
    ended = []
    worker = MdaWorker(settings, 0, end_process=ended.append)
    await worker.start()
    assert await worker.problems() == []
    writer = Writer(settings.journal, "mta-0")
    await writer.open()
    queue = Queue(redis, "test")
    recipients = (Recipient("bob@b.test", Lane.DELIVERY),)
    for _ in range(200):
        envelope = Envelope(new_id(), "a@out.test", recipients, time.time_ns() // 1000)
        reference = await writer.append(envelope, MESSAGE)
        await queue.enqueue([Item(envelope.id, Lane.DELIVERY, reference.encode())])
    mailboxes = Mailboxes(database)
    deadline = time.monotonic() + 20
    while (await mailboxes.get(account, "INBOX")).messages < 200 and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    began = time.monotonic()
    await worker.drain()
    assert time.monotonic() - began < 5
    assert (await mailboxes.get(account, "INBOX")).messages == 200
    stats = (await queue.stats())[Lane.DELIVERY]
    assert (stats.depth, stats.leased) == (0, 0) and ended == []
    assert await Directory(database).account_by_id(account)
    await writer.close()
    await database.close()
