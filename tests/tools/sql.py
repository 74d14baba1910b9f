"""SQL that a test writes itself: a statement against our database, a command to a PostgreSQL server."""

from __future__ import annotations

import asyncpg

from shared.db import Database, Query, Rows, Work


async def query(database: Database, text: str, **values: object) -> Rows:
    """Return the rows of a SELECT."""

    def work() -> Work[Rows]:
        rows = yield Query("test", text)(**values)
        return rows

    return await database.read(work)


async def execute(database: Database, text: str, **values: object) -> Rows:
    """Change something; return what RETURNING gives."""

    def work() -> Work[Rows]:
        rows = yield Query("test", text)(**values)
        return rows

    return await database.write(work)


async def command(server: str, text: str) -> None:
    """Give a PostgreSQL server a command that no transaction may hold, such as CREATE DATABASE."""
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(text)
    finally:
        await connection.close()
