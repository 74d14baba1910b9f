"""Telling who learns from it that messages were moved into or out of Junk; a session never waits for that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.db import Database, Work, load
from shared.errors import TemporaryFailure
from shared.maillog import MailLog
from shared.metrics import TRAINED
from shared.queue.training import Transfer, put, split

MAX_WAITING = 500  # transfers in memory
PAUSE = 1.0  # seconds between two looks, so that many transfers become few queries
BATCH = 100  # transfers looked at together

sql = load("mailboxes")


class Training:
    """Collects what was moved, finds what concerns Junk, and hands that on."""

    def __init__(self, database: Database, redis: Redis, log: MailLog) -> None:
        self._database = database
        self._redis = redis
        self._log = log
        self._waiting: list[Transfer] = []

    def note(self, source_id: int, target_id: int, uids: Sequence[int]) -> None:
        """Remember that messages are in another mailbox now; `uids` are those they have there."""
        if not uids or source_id == target_id:
            return
        if len(self._waiting) >= MAX_WAITING:
            TRAINED.labels("lost").inc(len(uids))
            return
        self._waiting.append(Transfer(source_id, target_id, tuple(uids)))

    async def run(self) -> None:
        """Hand on what was noted, until cancelled."""
        while True:
            await asyncio.sleep(PAUSE)
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                await self._hand_on(batch)

    async def _hand_on(self, batch: Sequence[Transfer]) -> None:
        try:
            uses = await self._database.read(_uses, {one for t in batch for one in (t.source_id, t.target_id)})
            jobs = [job for transfer in batch if _teaches(transfer, uses) for job in split(transfer)]
            if jobs:
                TRAINED.labels("lost").inc(await put(self._redis, jobs))
        except (RedisError, TemporaryFailure, OSError) as error:
            self._log.info("training lost", transfers=len(batch), error=str(error))
            TRAINED.labels("lost").inc(sum(len(transfer.uids) for transfer in batch))


def _teaches(transfer: Transfer, uses: dict[int, str]) -> bool:
    """Whether it went into Junk, or out of it to somewhere else than the Trash."""
    into, out = "\\Junk" in uses.get(transfer.target_id, ""), "\\Junk" in uses.get(transfer.source_id, "")
    return into != out and "\\Trash" not in uses.get(transfer.target_id, "")


def _uses(mailboxes: set[int]) -> Work[dict[int, str]]:
    rows = yield sql.uses_of(ids=sorted(mailboxes))
    return {row["id"]: row["special_use"] for row in rows}
