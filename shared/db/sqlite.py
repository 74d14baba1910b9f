"""SQLite: one writing thread per process, group commit of transactions, readers beside it.

Transactions that wait together are committed together: each runs in its own savepoint of one
BEGIN IMMEDIATE, so one fsync serves them all and a failing one takes no other with it. Processes
take turns (shared.db.turn), and what is asked for while another one writes joins the next group.
The fsync comes after the turn (shared.db.wal); a transaction's caller hears of it after the fsync.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from shared.db.database import Conflict, DatabaseUnavailable, Rows, Work
from shared.db.migrations import migrations
from shared.db.statement import Engine, Statement, load
from shared.db.timing import SCAN, WRITE
from shared.db.turn import Turn
from shared.db.wal import WalSync, is_first_of_boot, mark_boot
from shared.errors import ConfigurationError
from shared.mounts import file_system, is_on_network

P = ParamSpec("P")
T = TypeVar("T")

BUSY_TIMEOUT = 20.0  # seconds to wait for another process's transaction
GROUP_LIMIT = 128  # transactions committed together
SCAN_THREADS = 2
CHECKPOINT_PAGES = 4_000  # of the WAL, 16 MB: who commits beyond copies them into the file, and fsyncs it
SEEN_UIDS = 100_000  # left out in each mailbox after a boot: more than can be seen before they are on the disk
READ_AHEAD = 64 * 1024 * 1024  # octets at the file's end, where the newest messages' rows are …
READ_AHEAD_STEP = 128 * 1024  # … and of one piece of advice: Linux heeds no more of it

sql = load("restoration")


class SqliteDatabase:
    """A database file; safe for any number of processes on one machine."""

    engine = Engine.SQLITE

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = _open(path, readonly=True)
        self._local = threading.local()
        self._scanners: list[sqlite3.Connection] = []
        self._pool = ThreadPoolExecutor(SCAN_THREADS, thread_name_prefix="sql-scan")
        self._writer = _Writer(path)

    @classmethod
    async def open(cls, path: Path, *, migrate: bool) -> SqliteDatabase:
        """Open the file, creating and migrating it if asked to."""
        refuse_network_file_system(path)
        if migrate:
            await asyncio.to_thread(migrate_file, path)
        elif not path.exists():
            raise ConfigurationError(f"there is no database at {path}: run `packetboat up` or `packetboat init`")
        await asyncio.to_thread(_begin_boot, path)
        return cls(path)

    async def write(self, work: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._writer.submit(lambda: work(*args, **kwargs), durable=True)

    async def write_relaxed(self, work: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._writer.submit(lambda: work(*args, **kwargs), durable=False)

    async def query(self, statement: Statement) -> Rows:
        try:
            return _execute(self._reader, statement)
        except sqlite3.OperationalError as error:
            raise _translate(error) from error

    async def read(self, work: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        return _snapshot(self._reader, work(*args, **kwargs))

    async def scan(self, work: Callable[P, Work[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        with SCAN.time():
            return await loop.run_in_executor(self._pool, lambda: _snapshot(self._scanner(), work(*args, **kwargs)))

    async def close(self) -> None:
        await asyncio.to_thread(self._writer.close)
        self._pool.shutdown()
        for connection in (self._reader, *self._scanners):
            connection.close()

    def _scanner(self) -> sqlite3.Connection:
        if not hasattr(self._local, "connection"):
            self._local.connection = _open(self.path, readonly=True)
            self._scanners.append(self._local.connection)
        connection: sqlite3.Connection = self._local.connection
        return connection


@dataclass(slots=True)
class _Job:
    work: Callable[[], Work[Any]]
    durable: bool
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    result: Any = None
    error: BaseException | None = None


class _Writer:
    """The thread that writes."""

    def __init__(self, path: Path) -> None:
        self._connection = _open(path, readonly=False)
        self._turn = Turn(path)
        self._sync: WalSync[_Job] = WalSync(path, lambda: _open(path, readonly=False), _tell)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sql-write", daemon=True)
        self._thread.start()

    async def submit(self, work: Callable[[], Work[T]], *, durable: bool) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, durable, future, loop))
        return await future

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()
        self._sync.close()
        self._connection.close()
        self._turn.close()

    def _run(self) -> None:
        closing = False
        while not closing and (job := self._jobs.get()) is not None:
            group = [job]
            try:
                with self._turn:
                    closing = self._gather(group)
                    with WRITE.time():
                        self._commit(group)
            except BaseException as error:  # noqa: BLE001 - every waiter must learn of it
                failure = _translate(error)
                for job in group:
                    job.error = job.error or failure
                _resolve(group)
                continue
            if any(job.durable for job in group):
                self._sync.put(group)
            else:
                _resolve(group)

    def _gather(self, group: list[_Job]) -> bool:
        """Add the jobs that wait; return whether the writer is to close after them."""
        while len(group) < GROUP_LIMIT and not self._jobs.empty():
            following = self._jobs.get()
            if following is None:
                return True
            group.append(following)
        return False

    def _commit(self, group: list[_Job]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job in group:
                self._run_job(job, alone=len(group) == 1)
            self._connection.execute("COMMIT")
        except BaseException:
            self._rollback()
            raise

    def _run_job(self, job: _Job, *, alone: bool) -> None:
        if not alone:
            self._connection.execute("SAVEPOINT job")
        try:
            job.result = _drive(self._connection, job.work())
        except sqlite3.OperationalError:
            raise  # the disk, the lock: the whole group's trouble
        except BaseException as error:
            job.error = _translate(error)
            if alone:
                raise
            self._connection.execute("ROLLBACK TO job")
        if not alone:
            self._connection.execute("RELEASE job")

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _tell(jobs: list[_Job], failure: OSError | None) -> None:
    """Hand the results over; what may not be on the disk failed."""
    if failure is not None:
        for job in jobs:
            job.error = job.error or _translate(failure)
    _resolve(jobs)


def _resolve(group: list[_Job]) -> None:
    """Hand the results over, with one wake-up per event loop."""
    loops: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in group:
        loops.setdefault(job.loop, []).append(job)
    for loop, jobs in loops.items():
        try:
            loop.call_soon_threadsafe(_set_results, jobs)
        except RuntimeError:  # the loop was closed: nobody waits any more
            continue


def _set_results(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)


def _open(path: Path, *, readonly: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")  # WalSync sees to the rest
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-16384")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
    if readonly:
        connection.execute("PRAGMA query_only=ON")
    return connection


def _begin_boot(path: Path) -> None:
    """Leave out UIDs that may have been seen and not saved when the machine last stopped."""
    connection = _open(path, readonly=False)
    try:
        if not is_first_of_boot(connection):
            return
        connection.execute("BEGIN IMMEDIATE")
        if is_first_of_boot(connection):
            mark_boot(connection)
            _drive(connection, _leave_out(time.time_ns() // 1000))
        connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise _translate(error) from error
    finally:
        connection.close()


def _leave_out(now: int) -> Work[None]:
    yield sql.raise_accounts(step=SEEN_UIDS)
    yield sql.raise_mailboxes(step=SEEN_UIDS, now=now)


def _snapshot(connection: sqlite3.Connection, work: Work[T]) -> T:
    try:
        connection.execute("BEGIN")
        try:
            return _drive(connection, work)
        finally:
            connection.execute("COMMIT")
    except sqlite3.OperationalError as error:
        raise _translate(error) from error


def _drive(connection: sqlite3.Connection, work: Work[T]) -> T:
    try:
        statement = next(work)
        while True:
            statement = work.send(_execute(connection, statement))
    except StopIteration as stop:
        result: T = stop.value
        return result
    finally:
        work.close()


def _execute(connection: sqlite3.Connection, statement: Statement) -> Rows:
    if statement.many is not None:
        if statement.many:
            text, _ = statement.query.bind(Engine.SQLITE, statement.many[0])
            connection.executemany(text, [statement.query.bind(Engine.SQLITE, row)[1] for row in statement.many])
        return []
    text, values = statement.query.bind(Engine.SQLITE, statement.values)
    return connection.execute(text, values).fetchall()


def _translate(error: BaseException) -> BaseException:
    if isinstance(error, sqlite3.OperationalError | OSError):
        return DatabaseUnavailable(f"SQLite: {error}")
    if isinstance(error, sqlite3.IntegrityError):
        return Conflict(str(error))
    return error


def migrate_file(path: Path) -> list[str]:
    """Bring a database file's schema up to date; return the names of the steps taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _open(path, readonly=False)
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS schema_version (number INTEGER PRIMARY KEY, at INTEGER)")
        taken = []
        for migration in migrations(Engine.SQLITE):
            connection.execute("BEGIN IMMEDIATE")
            if not connection.execute("SELECT 1 FROM schema_version WHERE number=?", [migration.number]).fetchone():
                for text in migration.statements:
                    connection.execute(text)
                done = [migration.number, time.time_ns() // 1000]
                connection.execute("INSERT INTO schema_version VALUES (?, ?)", done)
                taken.append(migration.name)
            connection.execute("COMMIT")
        return taken
    finally:
        connection.close()


def read_ahead(path: Path) -> None:
    """Have the kernel read the file's end, so that what is listed soon after a start doesn't wait for the disk.

    Not for a process that has it open: closing a file gives up every lock that the process has on it.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # it is only advice: whoever opens it for use says what is wrong
        return
    try:
        size = os.fstat(file).st_size
        for position in range(max(size - READ_AHEAD, 0), size, READ_AHEAD_STEP):
            os.posix_fadvise(file, position, READ_AHEAD_STEP, os.POSIX_FADV_WILLNEED)
    finally:
        os.close(file)


def refuse_network_file_system(path: Path) -> None:
    """SQLite's locks can't be trusted there: raise ConfigurationError."""
    if is_on_network(path):
        raise ConfigurationError(
            f"{path} is on {file_system(path)}: SQLite needs a local disk; use PostgreSQL (database_url)"
        )
