"""Whose an account's maildrop is: one session's, until it ends or has been silent for too long."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from services.access.pop3 import claim as module
from services.access.pop3.claim import CLAIM_TIME, RENEWAL, SILENCE, Claim
from shared.queue.connection import connect
from shared.queue.lease import NamedLease

KEY = "pop3:1"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def claim(redis: Redis, clock: Clock) -> Claim:
    return Claim(NamedLease(redis, KEY, ttl=CLAIM_TIME), clock)


async def test_one_session_at_a_time(redis: Redis) -> None:
    clock = Clock()
    first, second = claim(redis, clock), claim(redis, clock)
    assert await first.hold()
    assert not await second.hold()
    await first.give_up()
    assert await second.hold()
    assert await second.hold(surely=True)


async def test_an_abandoned_session_loses_it_to_the_next(redis: Redis) -> None:
    clock = Clock()
    first, second = claim(redis, clock), claim(redis, clock)
    assert await first.hold()
    [key] = await redis.keys(f"*{KEY}")
    assert 0 < await redis.pttl(key) <= CLAIM_TIME * 1000
    await redis.delete(key)  # its time is over
    assert await second.hold()
    assert await first.hold(), "not asked again so soon"
    clock.now += RENEWAL
    assert not await first.hold()


async def test_a_connected_client_may_be_silent_for_a_while(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEWAL", 0.05)
    tasks: set[asyncio.Task[None]] = set()
    clock = Clock()
    first, second = (Claim(NamedLease(redis, KEY, ttl=0.5), clock) for _ in range(2))
    assert await first.hold()
    first.attend(lambda work: tasks.add(asyncio.create_task(work)))
    await asyncio.sleep(1.0)
    assert not await second.hold()
    clock.now += SILENCE
    await asyncio.sleep(1.0)
    assert await second.hold()
    clock.now += RENEWAL
    assert not await first.hold()
    await first.give_up()
    await asyncio.sleep(0.1)
    number = len(tasks)
    await asyncio.sleep(0.2)
    assert len(tasks) == number, "nothing is renewed any more"


async def test_a_silent_session_goes_on_if_nobody_came(redis: Redis) -> None:
    clock = Clock()
    first = claim(redis, clock)
    assert await first.hold()
    await redis.flushall()
    assert await first.hold(surely=True)


async def test_nobody_is_kept_out_without_redis() -> None:
    away = connect("unix:///nonexistent/redis.sock")
    try:
        one = claim(away, Clock())
        assert await one.hold()
        await one.give_up()
    finally:
        await away.aclose()
