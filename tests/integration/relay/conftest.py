"""A relay worker on a real Valkey, SQLite and journal, with a DNS server and sinks on loopback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from services.relay.app import RelayWorker
from services.relay.settings import RelaySettings
from shared.db import Database, Work, connect, load
from shared.db.statement import Query
from shared.ids import new_id
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.journal.writer import Writer
from shared.message.envelope import Envelope, Lane, Recipient
from shared.queue.delivery import Item, Queue
from tests.tools.dnsserver import DnsServer
from tests.tools.sink import Rule, Sink, SinkOptions

DRAIN_TIMEOUT = 15.0  # seconds
BODY = b"From: alice@a.test\r\nSubject: hello\r\n\r\n.first\r\nlast\r\n"


class Relay:
    """A worker, and what a test asks of it."""

    def __init__(self, folder: Path, redis_url: str, redis: Redis, resolver: str) -> None:
        self.folder = folder
        self.redis = redis
        self.values: dict[str, Any] = {
            "data": folder,
            "redis_url": redis_url,
            "hostname": "relay.a.test",
            "resolver": resolver,
            "relay_allow_private": ["127.0.0.0/8"],
            "relay_command_timeout": 10,
            "relay_greeting_timeout": 10,
            "relay_end_timeout": 10,
        }
        self.workers: list[RelayWorker] = []
        self.database: Database
        self.writer: Writer
        self.queue = Queue(redis, "test")

    async def open(self) -> None:
        """Prepare what a test writes with."""
        self.database = await connect(f"sqlite:///{self.folder}/packetboat.db", migrate=True)
        self.writer = Writer(self.folder / "journal", "test", may_use_reserve=True)
        await self.writer.open()

    async def start(self, **values: Any) -> RelayWorker:
        """Start a worker."""
        self.values |= values
        worker = RelayWorker(RelaySettings(**self.values), len(self.workers))
        await worker.start()
        self.workers.append(worker)
        return worker

    async def stop(self) -> None:
        """Drain all workers."""
        while self.workers:
            worker = self.workers.pop()
            try:
                await asyncio.wait_for(worker.drain(), DRAIN_TIMEOUT)
            except TimeoutError:
                stacks = [f"{task.get_name()}: {task.get_stack()}" for task in asyncio.all_tasks()]
                raise AssertionError("not drained: " + "\n".join(stacks)) from None

    async def close(self) -> None:
        """End everything."""
        await self.stop()
        await self.writer.close()
        await self.database.close()

    async def submit(
        self, *recipients: str | Recipient, sender: str = "alice@a.test", body: bytes = BODY, **values: Any
    ) -> str:
        """Journal and enqueue a message; return its id."""
        entry = await self.journal(*recipients, sender=sender, body=body, **values)
        await self.queue.enqueue([Item(entry[0], Lane.RELAY, entry[1])])
        return entry[0]

    async def journal(
        self,
        *recipients: str | Recipient,
        sender: str = "alice@a.test",
        body: bytes = BODY,
        age: float = 0,
        **values: Any,
    ) -> tuple[str, str]:
        """Journal a message that was accepted `age` seconds ago; return its id and reference."""
        listed = tuple(r if isinstance(r, Recipient) else Recipient(r, Lane.RELAY) for r in recipients)
        received = int((time.time() - age) * 1e6)
        envelope = Envelope(new_id(), sender, listed, received, **values)
        reference = await self.writer.append(envelope, body)
        return envelope.id, reference.encode()

    async def ledger(self, entry: str) -> dict[str, tuple[str, str]]:
        """Return outcome and detail by recipient."""
        rows = await self.database.read(_select, LEDGER, entry)
        return {row["recipient"]: (row["outcome"], row["detail"]) for row in rows}

    async def pending(self, entry: str) -> dict[str, Any]:
        """Return the pending rows by recipient."""
        rows = await self.database.read(_select, PENDING, entry)
        return {row["recipient"]: row for row in rows}

    async def make_due(self, entry: str) -> None:
        """Do what `packetboat queue retry` does."""

        def work() -> Work[None]:
            yield load("queue").make_due(entries=[entry], now=int(time.time() * 1e6))

        await self.database.write(work)
        await self.queue.retry_now(entry, Lane.RELAY)

    async def children(self) -> list[tuple[Envelope, bytes]]:
        """Return the entries that wait in the delivery lane: notifications to local senders."""
        leases = await self.queue.read(Lane.DELIVERY, 100, 0)
        reader = Reader(self.folder / "journal")
        return [reader.record(Reference.decode(lease.item.reference)) for lease in leases]


LEDGER = Query("ledger", "SELECT * FROM ledger WHERE entry = :entry")
PENDING = Query("pending", "SELECT * FROM pending WHERE entry = :entry")


def _select(query: Query, entry: str) -> Work[list[Any]]:
    rows = yield query(entry=entry)
    return rows


async def until(ask: Callable[[], Awaitable[Any]], timeout: float = 15.0) -> Any:
    """Return the first true answer."""
    deadline = time.monotonic() + timeout
    while not (answer := await ask()):
        assert time.monotonic() < deadline, "it didn't happen in time"
        await asyncio.sleep(0.02)
    return answer


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    with DnsServer() as server:
        server.set_zone("b.test", "@ MX 10 mx\nmx A 127.0.0.1")
        server.set_zone("c.test", "@ MX 10 mx.b.test.")
        server.set_zone("null.test", "@ MX 0 .")
        server.set_zone("private.test", "@ MX 10 mx\nmx A 10.1.2.3")
        yield server


@pytest.fixture
def make_sink() -> Iterator[Callable[..., Sink]]:
    sinks: list[Sink] = []

    def make(*rules: Rule, **options: Any) -> Sink:
        sink = Sink(SinkOptions(**options), rules=rules).start()
        sinks.append(sink)
        return sink

    yield make
    for sink in sinks:
        sink.stop()


@pytest.fixture
async def relay(tmp_path: Path, redis_url: str, redis: Redis, dns: DnsServer) -> AsyncIterator[Relay]:
    relay = Relay(tmp_path, redis_url, redis, dns.address)
    await relay.open()
    yield relay
    await relay.close()
