"""SQLite: who is told of a transaction finds it on the disk; UIDs that somebody may have seen are not given again."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from shared.db import Database, DatabaseUnavailable, Query, Work, connect, wal

INSERT = Query("insert", "INSERT INTO domain (name, created_at) VALUES (:name, 1)")
COUNT = Query("count", "SELECT count(*) AS n FROM domain")
ACCOUNT = Query(
    "account",
    "INSERT INTO account (domain_id, address, created_at) SELECT id, 'a@a.test', 1 FROM domain",
)
MAILBOX = Query(
    "mailbox", "INSERT INTO mailbox (account_id, name, uidvalidity, created_at) SELECT id, 'INBOX', 7, 1 FROM account"
)
UIDS = Query("uids", "SELECT uidnext, uidvalidity, modseq FROM mailbox")


class Disk:
    """Stands for `os.fdatasync`: waits while it is told to, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.ready = threading.Event()
        self.ready.set()
        self.failures = 0
        self.syncs = 0

    def fdatasync(self, file: int) -> None:
        self.ready.wait(10)
        self.syncs += 1
        if self.failures:
            self.failures -= 1
            raise OSError(5, "Input/output error")
        os.fsync(file)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(wal.os, "fdatasync", disk.fdatasync)
    return disk


def _url(folder: Path) -> str:
    return f"sqlite:///{folder}/a.sqlite"


def _insert(name: str) -> Work[None]:
    yield INSERT(name=name)


async def _count(database: Database) -> int:
    rows = await database.query(COUNT())
    number: int = rows[0]["n"]
    return number


async def test_nobody_hears_of_what_is_not_on_the_disk_and_one_sync_serves_many(tmp_path: Path, disk: Disk) -> None:
    database = await connect(_url(tmp_path), migrate=True)
    other = await connect(_url(tmp_path))
    disk.ready.clear()
    writes = [asyncio.create_task(database.write(_insert, "0.test"))]
    for number in range(1, 6):
        while await _count(database) < number:  # committed
            await asyncio.sleep(0.001)
        writes.append(asyncio.create_task(database.write(_insert, f"{number}.test")))
    while await _count(database) < 6:
        await asyncio.sleep(0.001)
    assert not any(write.done() for write in writes)
    relaxed = asyncio.create_task(other.write_relaxed(_insert, "relaxed.test"))
    await asyncio.wait_for(relaxed, 10)  # the turn is free, and it doesn't wait for the disk
    disk.ready.set()
    await asyncio.gather(*writes)
    assert disk.syncs == 2
    await database.close()
    await other.close()


async def test_after_an_error_the_log_is_written_anew(tmp_path: Path, disk: Disk) -> None:
    database = await connect(_url(tmp_path), migrate=True)
    disk.failures = 1
    await database.write(_insert, "a.test")
    assert (tmp_path / "a.sqlite-wal").stat().st_size == 0  # all is in the database itself
    await database.write(_insert, "b.test")
    assert await _count(database) == 2
    await database.close()


async def test_what_may_not_be_on_the_disk_failed(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    database = await connect(_url(tmp_path), migrate=True)
    rewrite, answers = wal.WalSync._rewrite, iter([OSError("no"), OSError("no"), None])

    def _try(sync: wal.WalSync[object]) -> None:
        if error := next(answers):
            raise error
        rewrite(sync)

    monkeypatch.setattr(wal.WalSync, "_rewrite", _try)
    disk.failures = 1
    for name in ("a.test", "b.test"):  # the second one isn't synced as if nothing had happened
        with pytest.raises(DatabaseUnavailable, match="can't be synced"):
            await database.write(_insert, name)
    syncs = disk.syncs
    await database.write(_insert, "c.test")
    assert disk.syncs == syncs
    assert await _count(database) == 3
    await database.close()


async def test_after_a_boot_uids_are_left_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boot = tmp_path / "boot_id"
    boot.write_text("one\n")
    monkeypatch.setattr(wal, "BOOT_ID", boot)
    wal._boot_mark.cache_clear()
    database = await connect(_url(tmp_path), migrate=True)

    def _fill() -> Work[None]:
        yield INSERT(name="a.test")
        yield ACCOUNT()
        yield MAILBOX()

    await database.write(_fill)
    before = tuple((await database.query(UIDS()))[0])
    await database.close()
    for text, raised in (("one\n", 0), ("two\n", 100_000), ("two\n", 100_000)):
        boot.write_text(text)
        wal._boot_mark.cache_clear()
        database = await connect(_url(tmp_path))
        uidnext, uidvalidity, modseq = (await database.query(UIDS()))[0]
        assert (uidnext, uidvalidity) == (before[0] + raised, before[1])
        assert modseq > before[2] if raised else modseq == before[2]
        await database.close()
    wal._boot_mark.cache_clear()
