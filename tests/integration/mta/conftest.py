"""A real mta worker on uvloop in a thread: SQLite, embedded Valkey, a journal in a temporary folder."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import uvloop

from services.mta.app import DOORS, MtaWorker
from services.mta.settings import MtaSettings
from shared.db import connect
from shared.directory import admin
from shared.directory.passwords import hash_password
from shared.journal.reader import Reader
from shared.journal.scan import ScannedRecord
from shared.message.envelope import Envelope
from tests.tools.certificates import self_signed

PASSWORDS = {"alice@a.test": "wonderland", "bob@a.test": "builder"}


class RunningMta:
    """A worker that runs; its ports by name, and what it has accepted."""

    def __init__(self, settings: MtaSettings) -> None:
        self.settings = settings
        self.exits: list[int] = []
        self._runner: asyncio.Runner
        self._worker: MtaWorker
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._up: Future[None] = Future()
        self._stop: asyncio.Event

    @property
    def mx(self) -> int:
        return 25 + self.settings.port_base

    @property
    def submission(self) -> int:
        return 587 + self.settings.port_base

    @property
    def submissions(self) -> int:
        return 465 + self.settings.port_base

    @property
    def certificate(self) -> Path:
        return self.settings.certificate

    @property
    def worker(self) -> MtaWorker:
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

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=20)

    def problems(self) -> list[str]:
        return list(self.call(self._worker.problems))

    def accepted(self) -> list[tuple[Envelope, bytes]]:
        """Every entry in the journal with its message, in the order of segments."""
        reader = Reader(self.settings.journal)
        entries: list[tuple[Envelope, bytes]] = []
        for path in sorted(self.settings.journal.glob("20*/*")):
            for record in reader.scan(f"{path.parent.name}/{path.stem}"):
                assert isinstance(record, ScannedRecord), record
                entries.append((record.envelope, reader.read(record.reference)))
        reader.close()
        return entries

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._worker = MtaWorker(self.settings, 0, end_process=self.exits.append)
        try:
            await self._worker.start()
        except BaseException as error:
            self._up.set_exception(error)
            raise
        self._up.set_result(None)
        await self._stop.wait()
        if not self.exits:  # a process that gave up has no end to tidy
            await self._worker.drain()


@pytest.fixture
def start_mta(tmp_path: Path, redis_url: str) -> Iterator[Callable[..., RunningMta]]:
    """Start workers with settings of the test's choice; they are drained at its end."""
    running: list[RunningMta] = []
    certificate = self_signed(tmp_path / "tls", "mail.a.test")
    url = f"sqlite:///{tmp_path}/test.db"
    asyncio.run(fill_directory(url))

    def start(**values: Any) -> RunningMta:
        settings = {
            "data": tmp_path,
            "database_url": url,
            "redis_url": redis_url,
            "hostname": "mail.a.test",
            "tls_certificate": certificate.certificate,
            "tls_key": certificate.key,
            "port_base": free_base(),
            "reserve_bytes": 0,
            "grace_period": 5.0,
        }
        mta = RunningMta(MtaSettings(**{**settings, **values}))
        running.append(mta)
        mta.start()
        return mta

    yield start
    for mta in running:
        mta.stop()


@pytest.fixture
def mta(start_mta: Callable[..., RunningMta]) -> RunningMta:
    """A worker with the default settings."""
    return start_mta()


async def fill_directory(url: str) -> None:
    """Make a database with a.test, two users, a full mailbox and an alias."""
    database = await connect(url, migrate=True)
    await database.write(admin.add_domain, "a.test", 1)
    for address, password in PASSWORDS.items():
        await database.write(admin.add_account, address, hash_password(password), 1)
    await database.write(admin.add_account, "full@a.test", "", 1, 1)
    await database.write(admin.add_alias, "sales@a.test", ["alice@a.test"], 1)
    await database.close()


def free_base() -> int:
    """A port base at which all ports of the mta are free now, on IPv4 and IPv6."""
    for _ in range(100):
        base = random.randrange(11_000, 31_000)  # below the ephemeral ports
        try:
            for port, _role, _tls in DOORS:
                with socket.create_server(("127.0.0.1", base + port)):
                    pass
        except OSError:
            continue
        return base
    raise RuntimeError("no free ports")
