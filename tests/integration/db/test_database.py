"""The adapter behaves the same on both engines."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from shared.db import Conflict, Database, Query, Rows, Work, connect
from shared.db.migrations import migrations
from shared.db.sqlite import migrate_file
from shared.db.statement import Engine
from shared.errors import ConfigurationError

INSERT = Query(
    "insert", "INSERT INTO domain (name, created_at) VALUES :rows... ON CONFLICT DO NOTHING RETURNING id, name"
)
INSERT_ONE = Query("one", "INSERT INTO domain (name, created_at) VALUES (:name, :at)")
NAMED = Query(
    "named", "SELECT name FROM domain WHERE name IN (:names...) AND created_at >= :low ORDER BY name @for_share@"
)
OTHERS = Query("others", "SELECT name FROM domain WHERE name NOT IN (:names...) ORDER BY name")
COUNT = Query("count", "SELECT count(*) AS n FROM domain")
RENAME = Query("rename", "UPDATE domain SET name = :new WHERE name = :old RETURNING name")

_WRITE_MANY = """
import asyncio, sys
from shared.db import Query, connect

INSERT = Query("insert", "INSERT INTO domain (name, created_at) VALUES (:name, 1)")

def insert(name):
    yield INSERT(name=name)

async def main(url, who):
    database = await connect(url)
    for group in range(10):
        await asyncio.gather(*(database.write(insert, f"{who}-{group}-{n}.test") for n in range(5)))
    await database.close()

asyncio.run(main(*sys.argv[1:]))
"""
_HOLD_TURN = """
import sys, time
from pathlib import Path
from shared.db.turn import Turn

with Turn(Path(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(60)
"""


def _insert(*names: str) -> Work[set[str]]:
    rows = yield INSERT(rows=[(name, 1) for name in names])
    return {row["name"] for row in rows}


def _count() -> Work[int]:
    rows = yield COUNT()
    return int(rows[0]["n"])


async def test_lists_and_rows_are_bound(database: Database) -> None:
    assert await database.write(_insert, "a.test", "b.test", "c.test") == {"a.test", "b.test", "c.test"}
    assert await database.write(_insert, "a.test", "d.test") == {"d.test"}

    def read() -> Work[tuple[Rows, Rows]]:
        chosen = yield NAMED(names=["a.test", "c.test", "x.test"], low=0)
        others = yield OTHERS(names=["a.test"])
        return chosen, others

    chosen, others = await database.write(read)
    assert [row["name"] for row in chosen] == ["a.test", "c.test"]
    assert [row[0] for row in others] == ["b.test", "c.test", "d.test"]


async def test_many_runs_once_for_each(database: Database) -> None:
    def work() -> Work[int]:
        yield INSERT_ONE.many([{"name": f"{n}.test", "at": n} for n in range(200)])
        yield INSERT_ONE.many([])
        return (yield from _count())

    assert await database.write(work) == 200


async def test_a_failing_transaction_leaves_nothing_and_takes_no_other_with_it(database: Database) -> None:
    def fail() -> Work[None]:
        yield INSERT(rows=[("lost.test", 1)])
        raise ValueError("no")

    def clash() -> Work[None]:
        yield INSERT_ONE(name="taken.test", at=1)

    await database.write(_insert, "taken.test")
    results = await asyncio.gather(
        *(database.write(_insert, f"{n}.test") for n in range(20)),
        database.write(fail),
        database.write(clash),
        *(database.write(_insert, f"{n}.test") for n in range(20, 40)),
        return_exceptions=True,
    )
    assert isinstance(results[20], ValueError)
    assert isinstance(results[21], Conflict)
    assert await database.read(_count) == 41


async def test_reads_see_what_was_written_before(database: Database) -> None:
    await database.write_relaxed(_insert, "a.test")
    assert await database.read(_count) == await database.scan(_count) == 1


async def test_a_lost_race_is_retried_or_waits(database: Database) -> None:
    """Transactions that lock rows in opposite orders all succeed."""
    await database.write(_insert, "a", "b")

    def swap(first: str, second: str) -> Work[None]:
        yield RENAME(old=first, new=first)
        yield RENAME(old=second, new=second)

    await asyncio.gather(*(database.write(swap, *pair) for pair in [("a", "b"), ("b", "a")] * 2))
    assert await database.read(_count) == 2


async def test_a_read_transaction_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)read.?only"):
        await database.read(_insert, "a.test")


async def test_a_missing_value_is_named(database: Database) -> None:
    def work() -> Work[None]:
        yield INSERT_ONE(name="a")

    with pytest.raises(KeyError, match="at"):
        await database.write(work)


def test_migrations_run_once(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    assert migrate_file(path) == [m.name for m in migrations(Engine.SQLITE)]
    assert migrate_file(path) == []


async def test_wrong_urls_are_configuration_errors(tmp_path: Path) -> None:
    for url in ("mysql://x", "sqlite:///", f"sqlite:///{tmp_path}/none.db"):
        with pytest.raises(ConfigurationError):
            await connect(url)


async def test_two_processes_connections_share_a_file(tmp_path: Path) -> None:
    first = await connect(f"sqlite:///{tmp_path}/x.db", migrate=True)
    second = await connect(f"sqlite:///{tmp_path}/x.db")
    await asyncio.gather(*((first, second)[n % 2].write(_insert, f"{n}.test") for n in range(100)))
    assert await second.read(_count) == await first.read(_count) == 100
    await first.close()
    await second.close()


async def test_processes_take_turns_and_none_loses_a_write(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    database = await connect(url, migrate=True)
    program = [sys.executable, "-c", _WRITE_MANY, url]
    writers = [await asyncio.create_subprocess_exec(*program, str(number)) for number in range(3)]
    assert [await writer.wait() for writer in writers] == [0, 0, 0]
    assert await database.read(_count) == 3 * 50
    await database.close()


async def test_a_writer_that_was_killed_holds_nobody_up(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    database = await connect(f"sqlite:///{path}", migrate=True)
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _HOLD_TURN, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None and await holder.stdout.readline() == b"mine\n"
    waiting = [asyncio.create_task(database.write(_insert, f"{n}.test")) for n in range(5)]
    done, _ = await asyncio.wait(waiting, timeout=0.1)
    assert not done
    holder.kill()
    await holder.wait()
    assert await asyncio.gather(*waiting) == [{f"{n}.test"} for n in range(5)]
    await database.close()
