"""The Redis client: pooled, with time limits and retries that are written down here."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

MAX_BLOCK_MS = 5_000  # the longest that any read blocks at the server
SOCKET_TIMEOUT = 15.0  # seconds; must stay above MAX_BLOCK_MS, or each idle read is an error
CONNECT_TIMEOUT = 5.0  # seconds
POOL_TIMEOUT = 20.0  # seconds to wait for a free connection
MAX_CONNECTIONS = 32  # for each process; a blocked read holds one
HEALTH_CHECK = 30  # seconds idle after which a connection is tried with PING
RETRIES = 3  # of one command, on a lost connection; safe as every write of ours is idempotent


def connect(url: str, *, max_connections: int = MAX_CONNECTIONS) -> Redis:
    """Return a client for `redis://`, `rediss://` or `unix://`; it dials at the first command."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=POOL_TIMEOUT,
        socket_timeout=SOCKET_TIMEOUT,
        socket_connect_timeout=CONNECT_TIMEOUT,
        health_check_interval=HEALTH_CHECK,
        retry=Retry(
            ExponentialBackoff(cap=0.5, base=0.05),
            RETRIES,
            supported_errors=(RedisConnectionError, RedisTimeoutError),
        ),
        decode_responses=True,
        protocol=2,
    )
    return Redis.from_pool(pool)
