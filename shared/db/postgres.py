"""PostgreSQL through asyncpg: a pool, prepared statements, deadlocks retried."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import asyncpg

from shared.db.database import Conflict, DatabaseUnavailable, Rows, Work
from shared.db.migrations import migrations
from shared.db.statement import Engine, Statement
from shared.db.timing import READ, WRITE
from shared.errors import ConfigurationError

P = ParamSpec("P")
T = TypeVar("T")

POOL_SIZE = 8  # connections per process
IDLE_TIME = 30.0  # seconds until a connection that nobody uses is closed, and the memory of its backend freed
CONNECT_TIMEOUT = 10.0  # seconds
COMMAND_TIMEOUT = 60.0  # seconds
DEADLOCK_RETRIES = 8
MIGRATION_LOCK = 0x7061636B  # advisory lock: one process migrates at a time

_RETRY = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.DiskFullError,
)


class PostgresDatabase:
    """A pool of connections to one database."""

    engine = Engine.POSTGRES

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @classmethod
    async def open(cls, url: str, *, migrate: bool) -> PostgresDatabase:
        """Connect; DatabaseUnavailable if the server can't be reached."""
        try:
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=POOL_SIZE,
                max_inactive_connection_lifetime=IDLE_TIME,
                timeout=CONNECT_TIMEOUT,
                command_timeout=COMMAND_TIMEOUT,
                statement_cache_size=512,
            )
        except (asyncpg.InvalidPasswordError, asyncpg.InvalidCatalogNameError, ValueError) as error:
            raise ConfigurationError(f"PostgreSQL: {error}") from error
        except _UNAVAILABLE as error:
            raise DatabaseUnavailable(f"PostgreSQL can't be reached: {error}") from error
        if migrate:
            await _migrate(pool)
        return cls(pool)

    async def write(self, work: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._transaction(lambda: work(*args, **kwargs), durable=True)

    async def write_relaxed(self, work: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._transaction(lambda: work(*args, **kwargs), durable=False)

    async def query(self, statement: Statement) -> Rows:
        try:
            async with self._pool.acquire(timeout=CONNECT_TIMEOUT) as connection:
                with READ.time():
                    return await _execute(connection, statement)
        except _UNAVAILABLE as error:
            raise DatabaseUnavailable(f"PostgreSQL: {error}") from error

    async def read(self, work: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            async with (
                self._pool.acquire(timeout=CONNECT_TIMEOUT) as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                with READ.time():
                    return await _drive(connection, work(*args, **kwargs))
        except _UNAVAILABLE as error:
            raise DatabaseUnavailable(f"PostgreSQL: {error}") from error

    scan = read

    async def close(self) -> None:
        await self._pool.close()

    async def _transaction(self, work: Callable[[], Work[T]], *, durable: bool) -> T:
        try:
            for attempt in range(DEADLOCK_RETRIES):
                try:
                    return await self._attempt(work(), durable=durable)
                except _RETRY:
                    await asyncio.sleep(random.uniform(0, 0.005) * 2**attempt)
            return await self._attempt(work(), durable=durable)
        except asyncpg.IntegrityConstraintViolationError as error:
            raise Conflict(str(error)) from error
        except (*_RETRY, *_UNAVAILABLE) as error:
            raise DatabaseUnavailable(f"PostgreSQL: {error}") from error

    async def _attempt(self, work: Work[T], *, durable: bool) -> T:
        with WRITE.time():
            return await self._commit(work, durable=durable)

    async def _commit(self, work: Work[T], *, durable: bool) -> T:
        async with self._pool.acquire(timeout=CONNECT_TIMEOUT) as connection, connection.transaction():
            if not durable:
                await connection.execute("SET LOCAL synchronous_commit = off")
            return await _drive(connection, work)


async def _drive(connection: Any, work: Work[T]) -> T:
    try:
        statement = next(work)
        while True:
            statement = work.send(await _execute(connection, statement))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        work.close()


async def _execute(connection: Any, statement: Statement) -> Rows:
    query = statement.query
    if statement.many is not None:
        if statement.many:
            text, _ = query.bind(Engine.POSTGRES, statement.many[0])
            await connection.executemany(text, [query.bind(Engine.POSTGRES, row)[1] for row in statement.many])
        return []
    text, values = query.bind(Engine.POSTGRES, statement.values)
    rows: Rows = await connection.fetch(text, *values)
    return rows


async def _migrate(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", MIGRATION_LOCK)
        await connection.execute("CREATE TABLE IF NOT EXISTS schema_version (number INT PRIMARY KEY, at BIGINT)")
        done = {row["number"] for row in await connection.fetch("SELECT number FROM schema_version")}
        for migration in migrations(Engine.POSTGRES):
            if migration.number in done:
                continue
            for text in migration.statements:
                await connection.execute(text)
            await connection.execute(
                "INSERT INTO schema_version VALUES ($1, $2)", migration.number, time.time_ns() // 1000
            )
