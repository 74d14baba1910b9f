"""Shared counters: sliding windows, failed logins."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from shared.queue import throttle as module
from shared.queue.throttle import LoginThrottle, Throttle, delay_after, network_of


async def test_a_limit_holds_in_a_window_for_all_replicas(redis: Redis) -> None:
    one, two = Throttle(redis), Throttle(redis)
    verdicts = [await t.count("messages", "alice@a.test", limit=5, window=60) for t in (one, two) * 4]
    assert [verdict.allowed for verdict in verdicts] == [True] * 5 + [False] * 3
    assert [verdict.used for verdict in verdicts[:5]] == [1, 2, 3, 4, 5]
    assert 0 < verdicts[-1].retry_after <= 60
    assert (await one.count("messages", "bob@a.test", limit=5, window=60)).allowed
    assert (await one.count("other", "alice@a.test", limit=5, window=60)).allowed


async def test_an_amount_is_counted_whole_or_not_at_all(redis: Redis) -> None:
    throttle = Throttle(redis)
    assert (await throttle.count("rcpt", "a", limit=10, window=60, amount=7)).allowed
    assert not (await throttle.count("rcpt", "a", limit=10, window=60, amount=4)).allowed
    assert (await throttle.count("rcpt", "a", limit=10, window=60, amount=3)).allowed


async def test_the_window_slides(redis: Redis) -> None:
    throttle = Throttle(redis)
    for _ in range(10):
        assert (await throttle.count("fast", "a", limit=10, window=0.4)).allowed
    refused = await throttle.count("fast", "a", limit=10, window=0.4)
    assert not refused.allowed and refused.retry_after <= 0.4
    await asyncio.sleep(0.85)
    assert (await throttle.count("fast", "a", limit=10, window=0.4, amount=0)).used == 0
    assert (await throttle.count("fast", "a", limit=10, window=0.4)).allowed


async def test_an_amount_of_nothing_only_looks(redis: Redis) -> None:
    throttle = Throttle(redis)
    await throttle.count("x", "a", limit=2, window=60)
    for _ in range(3):
        assert (await throttle.count("x", "a", limit=2, window=60, amount=0)).used == 1
    assert (await throttle.count("x", "a", limit=2, window=60)).allowed


async def test_counters_expire(redis: Redis) -> None:
    throttle = Throttle(redis)
    await throttle.count("x", "a", limit=1, window=0.02)
    await asyncio.sleep(0.06)
    assert await redis.keys("pb:throttle:*") == []


async def test_subjects_are_not_key_names(redis: Redis) -> None:
    await Throttle(redis).count("x", "a\r\n*\udcff" * 1000, limit=1, window=60)
    (key,) = await redis.keys("*")
    assert len(key) < 80


async def test_failed_logins_are_slowed_more_and_more(redis: Redis) -> None:
    logins = LoginThrottle(redis)
    delays = []
    for _ in range(9):
        delays.append(await logins.delay("192.0.2.1", "alice@a.test"))
        await logins.failed("192.0.2.1", "alice@a.test")
    assert delays == [0, 0, 0, 0, 1, 2, 4, 8, 16]
    assert await logins.delay("192.0.2.99", "alice@a.test") == 0
    await logins.succeeded("192.0.2.1", "alice@a.test")
    assert await logins.delay("192.0.2.1", "alice@a.test") == 0


async def test_a_guessing_network_is_refused_in_the_end(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOGIN_REFUSE", 12)
    logins = LoginThrottle(redis)
    for number in range(12):
        assert await logins.delay("2001:db8::1", f"user{number}@a.test") is not None
        await logins.failed(f"2001:db8::{number}", f"user{number}@a.test")
    assert await logins.delay("2001:db8::ffff", "alice@a.test") is None
    assert await logins.delay("2001:db8:0:1::1", "alice@a.test") == 0


async def test_an_account_is_not_locked_for_those_it_knows(redis: Redis) -> None:
    logins = LoginThrottle(redis)
    await logins.succeeded("192.0.2.1", "alice@a.test")
    for number in range(40):
        await logins.failed(f"198.51.100.{number}", "alice@a.test")
    assert await logins.delay("192.0.2.1", "alice@a.test") == 0
    assert await logins.delay("203.0.113.9", "alice@a.test") == module.LOGIN_DELAY_MOST


async def test_one_phone_with_an_old_password_does_not_lock_an_office_out(redis: Redis) -> None:
    logins = LoginThrottle(redis)
    await logins.succeeded("192.0.2.1", "alice@a.test")
    for _ in range(module.LOGIN_REFUSE):
        await logins.failed("192.0.2.1", "bob@a.test")
    assert await logins.delay("192.0.2.1", "alice@a.test") == 0
    assert await logins.delay("192.0.2.1", "bob@a.test") is None
    for _ in range(40):
        await logins.failed("192.0.2.1", "alice@a.test")
    assert await logins.delay("192.0.2.1", "alice@a.test") == module.LOGIN_DELAY_MOST, "guessing is slowed"


def test_networks() -> None:
    assert network_of("192.0.2.7") == "192.0.2.7"
    assert network_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert network_of("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::/64"
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert delay_after(10_000) == module.LOGIN_DELAY_MOST
