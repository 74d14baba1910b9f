"""Our side: a stack started by `packetboat up` on a data folder of its own."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from shared.db import Work, connect
from shared.directory import admin
from shared.directory.passwords import hash_password
from shared.operations.actor import Actor
from shared.operations.scripts import Scripts
from tests.bench.accounts import ACCOUNTS, DOMAIN, PASSWORD
from tests.bench.server import Endpoint
from tests.tools.stack import Stack

LOOPBACK = "127.0.0.1"
SERVICES_VARIABLE = "PACKETBOAT_UP_SERVICES"
ALL_SERVICES = ""
LEASE_VARIABLE = "PACKETBOAT_QUEUE_LEASE"
RECOVERY_LEASE = "5"  # seconds; measurements use the shipped lease


class Packetboat:
    """One stack under `work`, with the benchmark's accounts."""

    def __init__(
        self,
        work: Path,
        *,
        services: str = ALL_SERVICES,
        workers: int = 1,
        database_url: str = "",
        resolver: str | None = None,
        relay_port: int | None = None,
        env: Mapping[str, str] | None = None,
        script: Path | None = None,
    ) -> None:
        """`services` is a comma-separated list of those that `up` starts, empty for all; every account has `script`."""
        self.name = f"packetboat ({services or 'all services'}, {workers} workers)"
        self.services = services
        self._database_url = database_url
        self._script = script
        self._data = work / "data"
        work.mkdir(parents=True, exist_ok=True)
        self.stack = Stack(
            self._data,
            resolver=resolver,
            relay_port=relay_port,
            workers=workers,
            allow_plaintext_auth=True,
            env=_environment(database_url) | dict(env or {}),
        )
        ports = self.stack.ports
        self.smtp: Endpoint = (LOOPBACK, ports.mx)
        self.submission: Endpoint = (LOOPBACK, ports.submission)
        self.imap: Endpoint = (LOOPBACK, ports.imap)
        self.imaps: Endpoint = (LOOPBACK, ports.imaps)
        self.pop3: Endpoint = (LOOPBACK, ports.pop3)

    def reset(self) -> None:
        """Begin with an empty volume and a database that has only the accounts."""
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(parents=True)
        asyncio.run(_seed(self.database_url, self._script))

    @property
    def database_url(self) -> str:
        """Where its SQL is."""
        return self._database_url or f"sqlite:///{self._data / 'packetboat.db'}"

    def start(self) -> None:
        """Start the chosen services."""
        self._start(self.services)

    def start_all(self) -> None:
        """Start every service, whatever was chosen."""
        self._start(ALL_SERVICES)

    def start_recovery(self) -> None:
        """Start every service with a short lease: the sweep that a wiped Redis needs waits for one lease."""
        self.stack.env[LEASE_VARIABLE] = RECOVERY_LEASE
        try:
            self.start_all()
        finally:
            del self.stack.env[LEASE_VARIABLE]

    def stop(self) -> None:
        """Drain and stop."""
        self.stack.stop()

    def kill(self) -> None:
        """SIGKILL to every process."""
        self.stack.kill()

    def roots(self) -> list[int]:
        """The supervisor."""
        return [self.stack.pid] if self.stack.running else []

    def wipe_redis(self) -> None:
        """Forget everything that Valkey kept; only while stopped."""
        shutil.rmtree(self._data / "redis", ignore_errors=True)

    def _start(self, services: str) -> None:
        self.stack.env[SERVICES_VARIABLE] = services
        self.stack.start()


def _environment(database_url: str) -> dict[str, str]:
    return {
        "PACKETBOAT_HOSTNAME": "mx.bench.test",
        "PACKETBOAT_TRUSTED_NETWORKS": json.dumps(["127.0.0.0/8"]),
        "PACKETBOAT_DATABASE_URL": database_url,
    }


async def _seed(url: str, script: Path | None) -> None:
    """Make the schema and the accounts; on PostgreSQL whatever was there is dropped."""
    if not url.startswith("sqlite"):
        await _empty_postgres(url)
    database = await connect(url, migrate=True)
    try:
        await database.write(_accounts, hash_password(PASSWORD), time.time_ns() // 1000)
        if script is not None:
            await _give_script(Scripts(database), script.stem, script.read_bytes())
    finally:
        await database.close()


async def _give_script(scripts: Scripts, name: str, content: bytes) -> None:
    for address in ACCOUNTS:
        owner = await scripts.owner(Actor("bench"), account=address)
        await scripts.put(owner, name, content)
        await scripts.activate(owner, name)


async def _empty_postgres(url: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    await connection.execute("DROP SCHEMA public CASCADE")
    await connection.execute("CREATE SCHEMA public")
    await connection.close()


def _accounts(password_hash: str, now: int) -> Work[None]:
    yield from admin.add_domain(DOMAIN, now)
    for address in ACCOUNTS:
        yield from admin.add_account(address, password_hash, now)
