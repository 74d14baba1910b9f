"""Pruning and compaction, by one MDA worker of all."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import structlog
from redis.asyncio import Redis

from shared.db import Database
from shared.journal.reader import Reader
from shared.mailbox.content import Content
from shared.mailbox.indexing import Indexed, IndexProgress, index_words
from shared.mailbox.maintenance import Progress, maintain
from shared.operations.pruning import Ages, prune_history
from shared.queue.lease import NamedLease
from shared.queue.upkeep import AWAY

LEASE = 180.0  # seconds that a pass may take without a renewal
TURN = LEASE / 6  # seconds between renewals while a pass goes on

log = structlog.get_logger(__name__)


async def keep_maintaining(
    database: Database, redis: Redis, root: Path, reader: Reader, interval: float, ages: Ages, *, index: bool = False
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
                await _pass(lease, database, root, reader, progress, ages, indexing)
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
    indexing: IndexProgress | None,
) -> None:
    if not await lease.acquire():
        return
    began = time.monotonic()
    renewing = asyncio.create_task(_renew(lease))
    try:
        report = await maintain(database, root, reader, progress=progress)
        forgotten = await prune_history(database, root, ages)
        indexed = Indexed()
        if indexing is not None:
            indexed = await index_words(database, Content(database, reader), indexing)
    finally:
        renewing.cancel()
        await asyncio.gather(renewing, return_exceptions=True)
    seconds = round(time.monotonic() - began, 3)
    log.debug("maintained", seconds=seconds, report=report, forgotten=forgotten, indexed=indexed)


async def _renew(lease: NamedLease) -> None:
    while True:
        await asyncio.sleep(TURN)
        try:
            await lease.renew()
        except AWAY as error:
            log.info("maintenance lease not renewed", error=str(error))
