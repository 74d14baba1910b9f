"""The Redis client: pooled, with time limits and retries that are written down here."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from prometheus_client import Histogram
from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.errors import ConfigurationError

MAX_BLOCK_MS = 5_000  # the longest that any read blocks at the server
SOCKET_TIMEOUT = 15.0  # seconds; must stay above MAX_BLOCK_MS, or each idle read is an error
CONNECT_TIMEOUT = 5.0  # seconds
POOL_TIMEOUT = 20.0  # seconds to wait for a free connection
MAX_CONNECTIONS = 32  # for each process; a blocked read holds one
HEALTH_CHECK = 30  # seconds idle after which a connection is tried with PING
SAMPLE = 8
WAITING = frozenset({"XREADGROUP", "XREAD", "BLPOP", "BRPOP", "BLMOVE"})
RETRIES = 3  # of one command, on a lost connection; safe as every write of ours is idempotent


SECONDS = Histogram(
    "packetboat_redis_seconds",
    "Duration of Redis commands that don't wait; one of eight is measured",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.2, 1, 5),
)


def connect(url: str, *, max_connections: int = MAX_CONNECTIONS) -> Redis:
    """Return a client for `redis://`, `rediss://` or `unix://`; it dials at the first command."""
    try:
        options: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        raise ConfigurationError(f"Redis URL {url!r}: {error}") from error
    kind = options.pop("connection_class", Connection)
    pool = BlockingConnectionPool(
        connection_class=_CLASSES[kind],
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
        **options,
    )
    return _Timed.from_pool(pool)


class _Timed(Redis):
    """Times one command of SAMPLE that don't wait: what a metric costs isn't little beside a command."""

    _commands = 0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Execute a command and return its reply."""
        self._commands += 1
        if self._commands % SAMPLE or args[0] in WAITING:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        with SECONDS.time():
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


class _Sending(AbstractConnection):
    """Sends without `asyncio.wait_for`.

    That costs a task for each command, and before Python 3.12 it may swallow a cancellation, so that
    a worker which is told to stop goes on for ever.
    """

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        if not self.is_connected:
            await self.connect_check_health(check_health=False)
        if check_health:
            await self.check_health()  # type: ignore[no-untyped-call]
        try:
            async with asyncio.timeout(SOCKET_TIMEOUT):
                await self._write(command)
        except TimeoutError:
            await self.disconnect(nowait=True)
            raise RedisTimeoutError("Timeout writing to socket") from None
        except OSError as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(f"writing to Redis: {error}") from error
        except BaseException:
            await self.disconnect(nowait=True)  # a command may be half sent
            raise

    async def _write(self, command: bytes | str | Iterable[bytes]) -> None:
        writer = self._writer
        if writer is None:
            raise ConnectionResetError("disconnected")
        if isinstance(command, str):
            command = command.encode()
        writer.writelines([command] if isinstance(command, bytes) else command)
        await writer.drain()


class _Connection(_Sending, Connection):
    pass


class _SSLConnection(_Sending, SSLConnection):
    pass


class _UnixConnection(_Sending, UnixDomainSocketConnection):
    pass


_CLASSES: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _Connection,
    SSLConnection: _SSLConnection,
    UnixDomainSocketConnection: _UnixConnection,
}
