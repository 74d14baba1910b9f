"""The adapter: what the rest of the project knows of SQL.

A transaction is a generator that yields statements and is sent their rows; what it returns is
the result. So nothing but SQL can be awaited inside one, the same code runs on both engines, and
a test can drive it by hand:

    def rename(mailbox: int, name: str) -> Work[bool]:
        rows = yield sql.rename_mailbox(id=mailbox, name=name)
        return bool(rows)

    renamed = await database.write(rename, 7, "Archive")

A generator may be run more than once (a deadlock, a busy database): it must have no effect but
through its statements.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar
from urllib.parse import urlsplit

from shared.db.statement import Engine, Statement
from shared.errors import ConfigurationError, PacketboatError, TemporaryFailure

P = ParamSpec("P")
T = TypeVar("T")


class Row(Protocol):
    """A result row: by column name or by position."""

    def __getitem__(self, key: Any, /) -> Any: ...


Rows = list[Any]  # of Row; Any because columns have the types that SQL gives them
Work = Generator[Statement, Rows, T]


class DatabaseUnavailable(TemporaryFailure):
    """The database can't be reached or is too busy: pause, it never counts as an attempt."""


class Conflict(PacketboatError):
    """A UNIQUE, foreign key or CHECK constraint said no; it ends the transaction (don't catch it inside)."""


class Database(Protocol):
    """A connection (or a pool) to SQLite or PostgreSQL."""

    engine: Engine

    async def write(self, work: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one durable read-write transaction; all of it or nothing happens."""

    async def write_relaxed(self, work: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same without waiting for the disk: for flags, never where a UID is given."""

    async def query(self, statement: Statement) -> Rows:
        """Run one short statement that only reads: a snapshot by itself, at less cost than a transaction."""

    async def read(self, work: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run statements in one snapshot; for short queries (on SQLite it runs in the caller's thread)."""

    async def scan(self, work: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same for long queries (on SQLite it runs in another thread)."""

    async def close(self) -> None:
        """Finish what is under way and disconnect."""


async def connect(url: str, *, migrate: bool = False) -> Database:
    """Open `sqlite:///path` or `postgresql://…`; with `migrate` bring the schema up to date."""
    scheme = urlsplit(url).scheme
    if scheme == "sqlite":
        from shared.db.sqlite import SqliteDatabase

        return await SqliteDatabase.open(sqlite_path(url), migrate=migrate)
    if scheme in ("postgres", "postgresql"):
        from shared.db.postgres import PostgresDatabase

        return await PostgresDatabase.open(url, migrate=migrate)
    raise ConfigurationError(f"database URL {url!r}: use sqlite:///PATH or postgresql://USER@HOST/NAME")


def read_ahead(url: str) -> None:
    """Have the kernel read the newest part of an SQLite file, for a process that never opens the database itself."""
    if url.startswith("sqlite:"):
        from shared.db.sqlite import read_ahead as read_file_ahead

        read_file_ahead(sqlite_path(url))


def sqlite_path(url: str) -> Path:
    """Return the file of a `sqlite:///path` URL (absolute with four slashes)."""
    path = url.removeprefix("sqlite:///")
    if not path or path == url:
        raise ConfigurationError(f"database URL {url!r} names no file: use sqlite:///PATH")
    return Path(path)
