"""Pruning and compaction, by one MDA worker of all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from redis.asyncio import Redis

from shared.db import Database
from shared.journal.reader import Reader
from shared.mailbox.content import Content
from shared.mailbox.indexing import Indexed, IndexProgress, index_words
from shared.mailbox.maintenance import Policy, Progress, maintain
from shared.mailbox.retention import expire, rules_of
from shared.operations.pruning import DAY, Ages, prune_history
from shared.queue.lease import NamedLease
from shared.queue.upkeep import AWAY

LEASE = 180.0  # seconds that a pass may take without a renewal
TURN = LEASE / 6  # seconds between renewals while a pass goes on

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long messages stay: days by special use where no rule says otherwise, and seconds once they are expunged.

    `announce` is told the accounts in which some were expunged.
    """

    days: Mapping[str, int] = field(default_factory=dict)
    expunged: float = DAY
    announce: Callable[[Iterable[int]], None] = lambda accounts: None


async def keep_maintaining(
    database: Database,
    redis: Redis,
    root: Path,
    reader: Reader,
    interval: float,
    ages: Ages,
    keeping: Keeping,
    *,
    index: bool = False,
) -> None:
    """Do one pass after the other, until cancelled; a pass is harmless where two workers do it at once.

    With `index` the words of messages are indexed too (shared.mailbox.words).
    """
    lease = NamedLease(redis, "maintenance", ttl=LEASE)
    indexing = IndexProgress() if index else None
    progress = Progress()
    try:
        while True:
            await asyncio.sleep(interval)
            try:
                await _pass(lease, database, root, reader, progress, ages, keeping, indexing)
            except AWAY as error:
                log.warning("maintenance paused", error=str(error))
    finally:
        try:
            await lease.release()
        except AWAY as error:
            log.info("maintenance lease left to expire", error=str(error))


async def _pass(
    lease: NamedLease,
    database: Database,
    root: Path,
    reader: Reader,
    progress: Progress,
    ages: Ages,
    keeping: Keeping,
    indexing: IndexProgress | None,
) -> None:
    if not await lease.acquire():
        return
    began = time.monotonic()
    renewing = asyncio.create_task(_renew(lease))
    try:
        expired = await expire_messages(database, keeping)
        report = await maintain(database, root, reader, policy=Policy(expunged_age=keeping.expunged), progress=progress)
        forgotten = await prune_history(database, root, ages)
        indexed = Indexed()
        if indexing is not None:
            indexed = await index_words(database, Content(database, reader), indexing)
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
    seconds = round(time.monotonic() - began, 3)
    log.debug("maintained", seconds=seconds, report=report, expired=expired, forgotten=forgotten, indexed=indexed)


async def expire_messages(database: Database, keeping: Keeping) -> int:
    """Expunge messages that have been in a mailbox for as long as its rule says; return how many."""
    rules = await database.read(rules_of, keeping.days)
    gone = await expire(database, rules, time.time_ns() // 1000)
    keeping.announce(gone)
    return sum(gone.values())


async def _renew(lease: NamedLease) -> None:
    while True:
        await asyncio.sleep(TURN)
        try:
            await lease.renew()
        except AWAY as error:
            log.info("maintenance lease not renewed", error=str(error))
