"""A real access worker on uvloop in a thread: SQLite, embedded Valkey, a journal in a temporary folder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.access.app import AccessWorker
from services.access.settings import AccessSettings
from shared.db import Work, connect
from shared.directory import admin
from shared.directory.passwords import hash_password
from shared.ids import new_id
from shared.mailbox.blobs import NewBlob
from shared.mailbox.deliver import deliver
from shared.mailbox.job import Deliver, Job, Result
from shared.message.envelope import Envelope, Lane, Recipient
from shared.message.rendered import render
from tests.integration.access.wire import Client
from tests.integration.running import Running, settings_in
from tests.tools.sql import command
from tests.tools.stack import free_port_base

ALICE, BOB = "alice@a.test", "bob@a.test"
PASSWORDS = {ALICE: "wonderland", BOB: "builder"}


class RunningAccess(Running[AccessWorker]):
    """A worker that runs; its ports, and what a test does behind its back."""

    def __init__(self, settings: AccessSettings) -> None:
        super().__init__(lambda end_process: AccessWorker(settings, 0, end_process=end_process))
        self.settings = settings

    @property
    def imap(self) -> int:
        return 143 + self.settings.port_base

    @property
    def imaps(self) -> int:
        return 993 + self.settings.port_base

    @property
    def pop3(self) -> int:
        return 110 + self.settings.port_base

    @property
    def pop3s(self) -> int:
        return 995 + self.settings.port_base

    def connect(self, port: int | None = None) -> Client:
        """A raw client that has read the greeting."""
        client = Client(port or self.imap)
        client.greeting = client.line()
        return client

    def log_in(self, address: str = ALICE, mailbox: str | None = "INBOX") -> Client:
        """A logged-in raw IMAP client with a mailbox selected."""
        client = self.connect()
        client.ok(f"LOGIN {address} {PASSWORDS[address]}")
        if mailbox is not None:
            client.ok(f"SELECT {mailbox}")
        return client

    def deliver(self, *messages: bytes, address: str = ALICE, announce: bool = True) -> list[Result]:
        """Deliver as the MDA does."""
        return list(self.call(lambda: self._deliver(messages, address, announce)))

    def in_database(self, work: Callable[..., Work[Any]], *args: Any) -> Any:
        """Run a transaction."""
        return self.call(lambda: self.worker._database.write(work, *args))

    async def _deliver(self, messages: tuple[bytes, ...], address: str, announce: bool) -> list[Result]:
        worker = self.worker
        account = await worker._directory.account(address)
        assert account is not None
        jobs = []
        for message in messages:
            entry = new_id()
            now = int(time.time() * 1_000_000)
            recipients = (Recipient(address, Lane.DELIVERY),)
            reference = await worker.desk.journal.append(Envelope(entry, "s@b.test", recipients, now), message)
            blob = NewBlob(entry, reference, await asyncio.to_thread(render, message))
            step = Deliver(address, address, account.id, b"Delivered-To: " + address.encode() + b"\r\n")
            jobs.append(Job(blob, "s@b.test", (step,), int(time.time())))
        results = await worker._database.write(deliver, jobs, int(time.time() * 1_000_000))
        if announce:
            worker._announcer((account.id,))
        return results


@pytest.fixture
def start_access(tmp_path: Path, redis_url: str) -> Iterator[Callable[..., RunningAccess]]:
    """Start workers with settings of the test's choice; they are drained at its end."""
    running: list[RunningAccess] = []
    url = f"sqlite:///{tmp_path}/test.db"
    asyncio.run(_fill(url))
    common = settings_in(tmp_path, url, redis_url) | {"allow_plaintext_auth": True}

    def start(**values: Any) -> RunningAccess:
        access = RunningAccess(AccessSettings(**{**common, "port_base": free_port_base(), **values}))
        running.append(access)
        access.start()
        return access

    yield start
    for access in running:
        access.stop()


@pytest.fixture
def access_on_postgres(start_access: Callable[..., RunningAccess], postgres_url: str) -> RunningAccess:
    """The same over PostgreSQL."""
    name = f"access_{new_id().lower()}"
    url = postgres_url.replace("@/postgres", f"@/{name}")
    asyncio.run(command(postgres_url, f"CREATE DATABASE {name}"))
    asyncio.run(_fill(url))
    return start_access(database_url=url)


@pytest.fixture
def access(start_access: Callable[..., RunningAccess]) -> RunningAccess:
    """A worker with the default settings, and passwords without TLS."""
    return start_access()


async def _fill(url: str) -> None:
    database = await connect(url, migrate=True)
    await database.write(admin.add_domain, "a.test", 1)
    for address, password in PASSWORDS.items():
        await database.write(admin.add_account, address, hash_password(password), 1)
    await database.close()
