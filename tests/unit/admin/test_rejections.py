"""What is written down of refusals: capped per second and per network, counted beyond, bounded while SQL is away."""

from __future__ import annotations

from typing import Any

import pytest

from shared.db import DatabaseUnavailable
from shared.operations.rejections import (
    COUNT_FLUSH,
    MAX_KEPT,
    PER_NETWORK,
    PER_SECOND,
    Rejection,
    RejectionRecorder,
)


class FakeDatabase:
    """Keeps what is inserted."""

    def __init__(self) -> None:
        self.rows: list[tuple[Any, ...]] = []
        self.away = False

    async def write_relaxed(self, work: Any, rows: list[tuple[Any, ...]]) -> None:
        if self.away:
            raise DatabaseUnavailable("away")
        assert [statement.query.name for statement in work(rows)] == ["insert_rejections"] * -(-len(rows) // 500)
        self.rows += rows


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def parts() -> tuple[FakeDatabase, Clock, RejectionRecorder]:
    database, clock = FakeDatabase(), Clock()
    return database, clock, RejectionRecorder(database, clock=clock)  # type: ignore[arg-type]


def refused(ip: str, reply: str = "550 5.1.1 no") -> Rejection:
    return Rejection(1000.0, "mx", ip, reply, sender="A@x.test", recipient="B@y.test")


async def test_a_refusal_is_written_in_the_next_batch(parts: tuple[FakeDatabase, Clock, RejectionRecorder]) -> None:
    database, _, recorder = parts
    recorder.put(refused("192.0.2.1"))
    assert database.rows == []
    await recorder.flush()
    assert database.rows == [(1_000_000_000, "mx", "192.0.2.1", "", "", "", "a@x.test", "b@y.test", "550 5.1.1 no", 1)]


async def test_a_network_has_its_share_and_the_rest_is_counted(
    parts: tuple[FakeDatabase, Clock, RejectionRecorder],
) -> None:
    database, clock, recorder = parts
    for number in range(500):
        clock.now += 0.1
        recorder.put(refused(f"2001:db8::{number:x}"))  # one /64
    recorder.put(refused("192.0.2.9"))
    await recorder.flush()
    assert len(database.rows) == PER_NETWORK + 1 + (1 if clock.now - 1000 >= COUNT_FLUSH else 0)
    clock.now += COUNT_FLUSH
    await recorder.flush()
    counted = [row for row in database.rows if row[-1] > 1]
    assert sum(row[-1] for row in counted) == 500 - PER_NETWORK
    assert {row[2] for row in counted} == {"2001:db8::/64"}


async def test_a_second_has_its_share(parts: tuple[FakeDatabase, Clock, RejectionRecorder]) -> None:
    database, clock, recorder = parts
    for number in range(200):
        recorder.put(refused(f"192.0.2.{number}"))
    await recorder.flush(everything=True)
    assert len([row for row in database.rows if row[-1] == 1 and "counted" not in row[8]]) == PER_SECOND
    assert sum(row[-1] for row in database.rows) == 200
    clock.now += 1
    recorder.put(refused("192.0.2.250"))
    await recorder.flush()
    assert database.rows[-1][2] == "192.0.2.250"


async def test_while_sql_is_away_it_keeps_a_bounded_number(
    parts: tuple[FakeDatabase, Clock, RejectionRecorder],
) -> None:
    database, clock, recorder = parts
    database.away = True
    for number in range(MAX_KEPT + 500):
        clock.now += 0.06
        recorder.put(refused(f"10.{number // 65536}.{number // 256 % 256}.{number % 256}"))
        if number % 300 == 0:
            await recorder.flush()
    database.away = False
    await recorder.flush(everything=True)
    assert MAX_KEPT <= len(database.rows) <= 2 * MAX_KEPT
    assert sum(row[-1] for row in database.rows) <= MAX_KEPT + 500


async def test_hostile_text_is_made_harmless(parts: tuple[FakeDatabase, Clock, RejectionRecorder]) -> None:
    database, _, recorder = parts
    recorder.put(Rejection(1.0, "mx", "192.0.2.1", "550 a\x1b[31m\0b", helo="\udcff", sender="x" * 5000))
    await recorder.flush()
    row = database.rows[0]
    assert all(isinstance(value, int) or (value.isprintable() and len(value) <= 500) for value in row)
    assert row[8] == "550 a?[31m?b"
