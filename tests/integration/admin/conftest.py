"""The API over real SQL, Redis and a journal, without a network: httpx speaks ASGI."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from services.admin.api import make_api
from shared import ids
from shared.db import Database, Query, Rows, Work, load
from shared.directory import Directory
from shared.dns import Resolver
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.journal.writer import Writer
from shared.mailbox.blobs import lock_segments
from shared.message.envelope import Envelope, Lane, Origin, Recipient
from shared.operations.actor import Actor
from shared.operations.bounce import Bounces
from shared.operations.operator import Office, Operator
from shared.operations.queue import Yard
from shared.operations.tokens import STACK_WIDE, NewToken, Scope, add_token
from shared.operations.waiting import RedisFresh
from shared.queue.delivery import Item, Queue
from shared.queue.sites import Sites
from tests.tools import sql

MESSAGE = b"From: a@a.test\r\nSubject: hello\r\nMessage-ID: <m@a.test>\r\n\r\nHello.\r\n"
ROOT = Actor("cli:test")
INSERT = Query(
    "insert",
    "INSERT INTO pending (entry, recipient, target, lane, segment_id, position, length, body, inline_size, size,"
    " large, due_at, first_at, attempts, site, reason, sender, message_id) VALUES :rows...",
)


@dataclass
class Stack:
    """What the API stands on, and its clients."""

    database: Database
    redis: Redis
    queue: Queue
    writer: Writer
    reader: Reader
    office: Office
    operator: Operator
    http: httpx.AsyncClient
    put: list[Item] = field(default_factory=list)

    async def token(self, *scopes: str, domains: tuple[str, ...] = ()) -> str:
        """Make a token; all scopes by default."""
        wanted = scopes or tuple(scope for scope in Scope if not domains or scope not in STACK_WIDE)
        made = await add_token(self.database, ROOT, NewToken(f"t{ids.new_id()}", wanted, domains))
        return str(made["token"])

    async def call(self, method: str, path: str, token: str = "", body: Any = None, **headers: str) -> httpx.Response:
        """Make one request."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            given["Authorization"] = f"Bearer {token}"
        return await self.http.request(method, f"/api/v1{path}", json=body, headers=given)

    async def accept(self, *recipients: str, lane: Lane = Lane.RELAY, sender: str = "me@a.test") -> Envelope:
        """Journal a message and enqueue it, as the mta does."""
        envelope = Envelope(
            ids.new_id(),
            sender,
            tuple(Recipient(address, lane) for address in recipients),
            time.time_ns() // 1000,
            message_id="<m@a.test>",
            origin=Origin("submission", "192.0.2.7", "client", "ESMTPSA", "TLSv1.3", sender),
        )
        reference = await self.writer.append(envelope, MESSAGE)
        await self.queue.enqueue([Item(envelope.id, lane, reference.encode())])
        self.references[envelope.id] = reference
        return envelope

    def __post_init__(self) -> None:
        self.references: dict[str, Reference] = {}

    async def defer(self, envelope: Envelope, reason: str = "451 later", site: str = "mx.b.test") -> None:
        """Put all recipients on record as waiting, as the relay does, an hour from now."""
        ref = self.references[envelope.id]

        def work() -> Work[None]:
            segments = yield from lock_segments([ref.segment])
            now = time.time_ns() // 1000
            rows = [
                (
                    envelope.id, r.address, r.address, r.lane.value, segments[ref.segment], ref.offset, ref.length,
                    ref.body, ref.inline, ref.size, ref.large, now + 3_600_000_000, envelope.received_at, 1, site,
                    reason, envelope.sender, envelope.message_id,
                )
                for r in envelope.recipients
            ]  # fmt: skip
            yield INSERT(rows=rows)

        await self.database.write(work)
        leases = await self.queue.read(envelope.recipients[0].lane, 100, 0)
        await self.queue.delay(leases, [time.time() + 3600] * len(leases))

    async def keep_back(self, *recipients: str, sender: str = "me@b.test") -> Envelope:
        """Put a message into the quarantine, as the mda does."""
        envelope = await self.accept(*recipients, lane=Lane.DELIVERY, sender=sender)
        await self.defer(envelope, site="")
        now, size = time.time_ns() // 1000, len(MESSAGE)
        rows = [(envelope.id, one, now, "clamav", "clamav: virus", sender, "hello", size) for one in recipients]

        def work() -> Work[None]:
            yield Query("hold", "UPDATE pending SET held = 1 WHERE entry = :entry")(entry=envelope.id)
            yield load("quarantine").insert(rows=rows)

        await self.database.write(work)
        return envelope

    async def query(self, text: str, **values: object) -> Rows:
        return await sql.query(self.database, text, **values)


@pytest.fixture
async def stack(database: Database, redis: Redis, tmp_path: Path) -> AsyncIterator[Stack]:
    """A stack with the domains a.test and b.test, and an account and an alias in each."""
    queue = Queue(redis, "admin-test")
    await queue.setup()
    writer, reader = Writer(tmp_path / "journal", "admin-0"), Reader(tmp_path / "journal")
    await writer.open()
    directory = Directory(database)
    put: list[Item] = []
    office = Office(
        yard=Yard(database, tmp_path / "journal", reader, queue),
        fresh=RedisFresh(database, redis, reader),
        hostname="mail.a.test",
        resolver=lambda: Resolver("127.0.0.1:9", timeout=0.2),
        sites=Sites(redis, lambda _: 5),
        bounces=lambda: Bounces(writer, reader, "mail.a.test", directory.is_local_domain, put.append),
    )
    operator = Operator(office, ROOT)
    for domain in ("a.test", "b.test"):
        await operator.add_domain(domain)
        await operator.add_account(f"me@{domain}", password_hash="$2b$12$" + "." * 53)
        await operator.create_alias(f"info@{domain}", [f"me@{domain}"])
    transport = httpx.ASGITransport(make_api(office), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://admin.test") as http:
        yield Stack(database, redis, queue, writer, reader, office, operator, http, put)
    await writer.close()
    reader.close()
