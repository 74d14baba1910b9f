"""A real mta worker on uvloop in a thread: SQLite, embedded Valkey, a journal in a temporary folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.mta.app import MtaWorker
from services.mta.settings import MtaSettings
from shared.db import connect
from shared.directory import admin
from shared.directory.passwords import hash_password
from shared.journal.reader import Reader
from shared.journal.scan import ScannedRecord
from shared.message.envelope import Envelope
from tests.integration.running import Running, settings_in
from tests.tools.stack import free_port_base

PASSWORDS = {"alice@a.test": "wonderland", "bob@a.test": "builder"}


class RunningMta(Running[MtaWorker]):
    """A worker that runs; its ports by name, and what it has accepted."""

    def __init__(self, settings: MtaSettings) -> None:
        super().__init__(lambda end_process: MtaWorker(settings, 0, end_process=end_process))
        self.settings = settings

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

    def problems(self) -> list[str]:
        return list(self.call(self.worker.problems))

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


@pytest.fixture
def start_mta(tmp_path: Path, redis_url: str) -> Iterator[Callable[..., RunningMta]]:
    """Start workers with settings of the test's choice; they are drained at its end."""
    running: list[RunningMta] = []
    url = f"sqlite:///{tmp_path}/test.db"
    asyncio.run(fill_directory(url))
    common = settings_in(tmp_path, url, redis_url)

    def start(**values: Any) -> RunningMta:
        mta = RunningMta(MtaSettings(**{**common, "port_base": free_port_base(), **values}))
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
