"""Whose an account's maildrop is: one session's, until it ends or has been silent for too long."""

from __future__ import annotations

from redis.asyncio import Redis

from services.access.pop3.claim import CLAIM_TIME, RENEWAL, Claim
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
