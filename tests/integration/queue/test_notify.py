"""Notifications and named leases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from shared.queue import notify as module
from shared.queue.connection import connect
from shared.queue.lease import NamedLease
from shared.queue.notify import Publisher, Subscriber


@pytest.fixture
async def subscriber(redis_url: str, redis: Redis) -> AsyncIterator[Subscriber]:
    client = connect(redis_url)
    subscriber = Subscriber(client)
    task = asyncio.create_task(subscriber.run())
    await asyncio.wait_for(subscriber.connected.wait(), 5)
    yield subscriber
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=2)
    assert done
    await client.aclose()


async def test_only_the_sessions_of_changed_accounts_wake(redis: Redis, subscriber: Subscriber) -> None:
    publisher = Publisher(redis)
    with subscriber.watch(1) as first, subscriber.watch(1) as again, subscriber.watch(2) as other:
        await publisher.publish([1, 7, 1])
        assert await first.wait(2) and await again.wait(2)
        assert not await other.wait(0.02)
        assert not await first.wait(0.02), "a change wakes once"
        await publisher.publish(range(2_500))
        assert await other.wait(2)
    assert subscriber._watches == {}


async def test_a_change_before_the_wait_is_not_missed(redis: Redis, subscriber: Subscriber) -> None:
    with subscriber.watch(5) as watch:
        await Publisher(redis).publish([5])
        await asyncio.sleep(0.05)
        assert await watch.wait(0.01)


async def test_publishing_nothing_is_nothing(redis: Redis, subscriber: Subscriber) -> None:
    with subscriber.watch(5) as watch:
        await Publisher(redis).publish([])
        assert not await watch.wait(0.02)


async def test_strange_messages_are_ignored(redis: Redis, subscriber: Subscriber) -> None:
    with subscriber.watch(5) as watch:
        await redis.publish("pb:changed", "x -1 ² 5x")
        await Publisher(redis).publish([5])
        assert await watch.wait(2)


async def test_a_lost_connection_is_remade_and_everybody_woken(
    redis: Redis, subscriber: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_FIRST", 0.01)
    with subscriber.watch(5) as watch:
        assert await redis.client_kill_filter(_type="pubsub") == 1
        assert await watch.wait(5), "it may have missed something"
        await Publisher(redis).publish([5])
        assert await watch.wait(5)


async def test_a_named_lease_has_one_owner(redis: Redis) -> None:
    one, two = NamedLease(redis, "sweep", ttl=0.1), NamedLease(redis, "sweep", ttl=10)
    assert await one.acquire() and await one.acquire()
    assert not await two.acquire() and not await two.renew() and not await two.release()
    await asyncio.sleep(0.12)
    assert await two.acquire()
    assert not await one.renew() and not await one.release()
    assert await two.release()
    assert await one.acquire()
