"""Waking sessions: told through Redis, and a slow poll for what Redis lost (DESIGN §7)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import structlog
from redis.exceptions import RedisError

from shared.db import Database, DatabaseUnavailable, Rows, Work
from shared.mailbox.mailbox import sql
from shared.queue.notify import Publisher, Subscriber, Watch

POLL_INTERVAL = 10.0  # seconds between polls: one query for all sessions of a process
POLL_MAILBOXES = 10_000  # in one query
PAUSE = 0.02  # seconds from one announcement to the next: under load many accounts go together
RETRY = 1.0  # seconds until a notification that Redis didn't take is tried again
MAX_WAITING = 100_000  # accounts that wait to be announced while Redis is away; the poll covers the rest

log = structlog.get_logger(__name__)


class Watcher:
    """Wakes the sessions of one process; `run` is its task, beside `subscriber.run`."""

    def __init__(self, database: Database, subscriber: Subscriber, *, interval: float = POLL_INTERVAL) -> None:
        self._database = database
        self._subscriber = subscriber
        self._interval = interval
        self._watches: dict[int, set[Watch]] = {}
        self._modseqs: dict[int, int] = {}
        self._accounts: set[Watch] = set()

    @contextmanager
    def watch(self, account_id: int, mailbox_id: int, on_change: Callable[[], None] | None = None) -> Iterator[Watch]:
        """Have a session woken: `await watch.wait(timeout)`, its `changed` event, or the call of `on_change`.

        It is woken for any change of the account; `Messages.changes` tells whether it concerns the mailbox.
        """
        with self._subscriber.watch(account_id, on_change) as watch:
            self._watches.setdefault(mailbox_id, set()).add(watch)
            try:
                yield watch
            finally:
                self._forget(mailbox_id, watch)

    @contextmanager
    def watch_account(self, account_id: int, on_change: Callable[[], None]) -> Iterator[Watch]:
        """Have a session woken for any change of the account, and with each poll: it then compares for itself."""
        with self._subscriber.watch(account_id, on_change) as watch:
            self._accounts.add(watch)
            try:
                yield watch
            finally:
                self._accounts.discard(watch)

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.poll()
            except DatabaseUnavailable as error:
                log.warning("mailboxes not polled", error=str(error))

    async def poll(self) -> None:
        """Wake the sessions whose mailbox changed, or went, since the last poll."""
        for watch in tuple(self._accounts):
            watch.wake()
        watched = sorted(self._watches)
        for start in range(0, len(watched), POLL_MAILBOXES):
            asked = watched[start : start + POLL_MAILBOXES]
            rows = await self._database.read(_modseqs, asked)
            now = {row["id"]: row["modseq"] for row in rows}
            for mailbox_id in asked:
                self._compare(mailbox_id, now.get(mailbox_id, -1))

    def _compare(self, mailbox_id: int, modseq: int) -> None:
        if self._modseqs.get(mailbox_id) != modseq and mailbox_id in self._watches:
            self._modseqs[mailbox_id] = modseq
            for watch in tuple(self._watches[mailbox_id]):
                watch.wake()

    def _forget(self, mailbox_id: int, watch: Watch) -> None:
        watches = self._watches[mailbox_id]
        watches.discard(watch)
        if not watches:
            del self._watches[mailbox_id]
            self._modseqs.pop(mailbox_id, None)


class Announcer:
    """Tells other processes of changed accounts, never waited for: call it, and have `run` as a task."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._waiting: set[int] = set()
        self._filled = asyncio.Event()

    def __call__(self, account_ids: Iterable[int]) -> None:
        """Announce that something in these accounts has changed; after the commit."""
        if len(self._waiting) < MAX_WAITING:
            self._waiting.update(account_ids)
            self._filled.set()

    async def run(self) -> None:
        """Publish until cancelled; what comes meanwhile goes together."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            waiting, self._waiting = self._waiting, set()
            try:
                await self._publisher.publish(waiting)
                await asyncio.sleep(PAUSE)
            except (RedisError, OSError) as error:
                log.warning("changes not announced", error=str(error), accounts=len(waiting))
                self(waiting)
                await asyncio.sleep(RETRY)


def _modseqs(mailbox_ids: list[int]) -> Work[Rows]:
    rows = yield sql.modseqs(ids=mailbox_ids)
    return rows
