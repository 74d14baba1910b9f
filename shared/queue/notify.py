"""Changes of mailboxes, told to the sessions of all processes: a hint, never the truth.

A notification may be lost; a session polls slowly besides, and is woken after each reconnection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from types import TracebackType

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.queue.connection import MAX_BLOCK_MS
from shared.queue.keys import PREFIX

MESSAGE_ACCOUNTS = 1_000  # account ids in one message
BACKOFF_FIRST = 0.1  # seconds
BACKOFF_MOST = 5.0

log = structlog.get_logger(__name__)


class Publisher:
    """Tells of changed accounts."""

    def __init__(self, redis: Redis, *, prefix: str = PREFIX) -> None:
        self._redis = redis
        self._channel = f"{prefix}changed"

    async def publish(self, account_ids: Iterable[int]) -> None:
        """Wake the sessions of these accounts, in all processes."""
        ids = sorted(set(account_ids))
        for start in range(0, len(ids), MESSAGE_ACCOUNTS):
            text = " ".join(map(str, ids[start : start + MESSAGE_ACCOUNTS]))
            await self._redis.publish(self._channel, text)


class Watch:
    """One session's wait for changes of its account: `with subscriber.watch(id) as watch:`.

    `on_change` is called for each change: a session that idles then needs no task that waits.
    """

    def __init__(self, subscriber: Subscriber, account_id: int, on_change: Callable[[], None] | None = None) -> None:
        self._subscriber = subscriber
        self._on_change = on_change
        self.account_id = account_id
        self.changed = asyncio.Event()

    def __enter__(self) -> Watch:
        self._subscriber.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._subscriber.remove(self)

    def wake(self) -> None:
        """Tell the session that something may have changed."""
        self.changed.set()
        if self._on_change is not None:
            self._on_change()

    async def wait(self, timeout: float) -> bool:
        """Wait for a change since the last wait; False if none came in `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self.changed.wait()
        except TimeoutError:
            return False
        self.changed.clear()
        return True


class Subscriber:
    """One connection for a process, fanned out to its sessions; `run` is its task."""

    def __init__(self, redis: Redis, *, prefix: str = PREFIX) -> None:
        self._redis = redis
        self._channel = f"{prefix}changed"
        self._watches: dict[int, set[Watch]] = {}
        self.connected = asyncio.Event()

    def watch(self, account_id: int, on_change: Callable[[], None] | None = None) -> Watch:
        """Return a session's watch, to be entered."""
        return Watch(self, account_id, on_change)

    def add(self, watch: Watch) -> None:
        """Begin to wake a watch."""
        self._watches.setdefault(watch.account_id, set()).add(watch)

    def remove(self, watch: Watch) -> None:
        """Stop waking it."""
        watches = self._watches.get(watch.account_id, set())
        watches.discard(watch)
        if not watches:
            self._watches.pop(watch.account_id, None)

    async def run(self) -> None:
        """Listen until cancelled, reconnecting for ever."""
        pause = BACKOFF_FIRST
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                pause = BACKOFF_FIRST if self.connected.is_set() else min(pause * 2, BACKOFF_MOST)
                self.connected.clear()
                log.warning("notifications interrupted", error=str(error), pause=pause)
                await asyncio.sleep(pause)

    async def _listen(self) -> None:
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(self._channel)
            while True:
                message = await pubsub.get_message(timeout=MAX_BLOCK_MS / 1000)
                if message is None:
                    await pubsub.ping()
                elif message["type"] == "subscribe":
                    self._wake_all()  # whatever happened while nobody listened
                    self.connected.set()
                elif message["type"] == "message":
                    self._wake(message["data"])

    def _wake(self, accounts: str) -> None:
        for account in accounts.split(" "):
            for watch in tuple(self._watches.get(int(account), ())) if account.isdecimal() else ():
                watch.wake()

    def _wake_all(self) -> None:
        for watch in [watch for watches in self._watches.values() for watch in watches]:
            watch.wake()
