"""A real access worker on uvloop in a thread: SQLite, embedded Valkey, a journal in a temporary folder."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import uvloop

from services.access.app import DOORS, AccessWorker
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
from tests.tools.certificates import self_signed

ALICE, BOB = "alice@a.test", "bob@a.test"
PASSWORDS = {ALICE: "wonderland", BOB: "builder"}


class RunningAccess:
    """A worker that runs; its ports, and what a test does behind its back."""

    def __init__(self, settings: AccessSettings) -> None:
        self.settings = settings
        self.exits: list[int] = []
        self._worker: AccessWorker
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._up: Future[None] = Future()
        self._stop: asyncio.Event

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

    @property
    def worker(self) -> AccessWorker:
        return self._worker

    def start(self) -> None:
        self._thread.start()
        self._up.result(timeout=20)

    def stop(self) -> None:
        """Drain and end."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout=30)
        assert not self._thread.is_alive()

    def call(self, make: Callable[[], Any]) -> Any:
        """Await something in the worker's loop."""

        async def run() -> Any:
            return await make()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=60)

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
        return self.call(lambda: self._worker._database.write(work, *args))

    async def _deliver(self, messages: tuple[bytes, ...], address: str, announce: bool) -> list[Result]:
        worker = self._worker
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

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._worker = AccessWorker(self.settings, 0, end_process=self.exits.append)
        try:
            await self._worker.start()
        except BaseException as error:
            self._up.set_exception(error)
            raise
        self._up.set_result(None)
        await self._stop.wait()
        await self._worker.drain()


@pytest.fixture
def start_access(tmp_path: Path, redis_url: str) -> Iterator[Callable[..., RunningAccess]]:
    """Start workers with settings of the test's choice; they are drained at its end."""
    running: list[RunningAccess] = []
    certificate = self_signed(tmp_path / "tls", "mail.a.test")
    url = f"sqlite:///{tmp_path}/test.db"
    asyncio.run(_fill(url))

    def start(**values: Any) -> RunningAccess:
        settings = {
            "data": tmp_path,
            "database_url": url,
            "redis_url": redis_url,
            "hostname": "mail.a.test",
            "tls_certificate": certificate.certificate,
            "tls_key": certificate.key,
            "port_base": _free_base(),
            "reserve_bytes": 0,
            "grace_period": 5.0,
            "allow_plaintext_auth": True,
        }
        access = RunningAccess(AccessSettings(**{**settings, **values}))
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
    asyncio.run(_create_database(postgres_url, name))
    asyncio.run(_fill(url))
    return start_access(database_url=url)


@pytest.fixture
def access(start_access: Callable[..., RunningAccess]) -> RunningAccess:
    """A worker with the default settings, and passwords without TLS."""
    return start_access()


async def _create_database(server: str, name: str) -> None:
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()


async def _fill(url: str) -> None:
    database = await connect(url, migrate=True)
    await database.write(admin.add_domain, "a.test", 1)
    for address, password in PASSWORDS.items():
        await database.write(admin.add_account, address, hash_password(password), 1)
    await database.close()


def _free_base() -> int:
    """A port base at which all ports are free now."""
    for _ in range(100):
        base = random.randrange(20_000, 60_000)
        try:
            for port, _session, _tls in DOORS:
                with socket.create_server(("127.0.0.1", base + port)):
                    pass
        except OSError:
            continue
        return base
    raise RuntimeError("no free ports")
