"""Metrics that no other service has: queues, workers, free space, the certificate's end."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import structlog
from cryptography import x509

from services.admin.settings import AdminSettings
from shared.db import Database
from shared.metrics import (
    CERTIFICATE_EXPIRES,
    QUEUE_DEPTH,
    QUEUE_OLDEST,
    VOLUME_FREE,
    VOLUME_RESERVE,
    WORKERS,
)
from shared.operations.statistics import queue_statistics
from shared.operations.workers import list_workers
from shared.queue.delivery import Queue
from shared.queue.sites import Sites
from shared.queue.upkeep import AWAY

log = structlog.get_logger(__name__)


async def keep_measuring(database: Database, queue: Queue, settings: AdminSettings, interval: float) -> None:
    """Set the gauges until cancelled."""
    while True:
        try:
            await _measure_queues(database, queue)
        except AWAY as error:
            log.warning("queues not measured", error=str(error))
        await asyncio.to_thread(_measure_volume, settings)
        await asyncio.sleep(interval)


async def _measure_queues(database: Database, queue: Queue) -> None:
    statistics = await queue_statistics(database, queue, Sites(queue.redis, lambda _site: 1))
    workers = await list_workers(queue.redis)
    for lane in statistics["lanes"]:
        for state in ("queued", "leased", "waiting", "held"):
            QUEUE_DEPTH.labels(lane["lane"], state).set(lane[state])
        QUEUE_OLDEST.labels(lane["lane"]).set(lane["oldest_age"])
        WORKERS.labels(lane["lane"]).set(sum(one["alive"] and one["lane"] == lane["lane"] for one in workers))


def _measure_volume(settings: AdminSettings) -> None:
    VOLUME_RESERVE.set(settings.reserve_bytes)
    try:
        VOLUME_FREE.set(shutil.disk_usage(settings.data).free)
    except OSError as error:
        log.warning("volume not measured", error=str(error))
    expires = certificate_end(settings.certificate)
    if expires is not None:
        CERTIFICATE_EXPIRES.set(expires)


def certificate_end(path: Path) -> float | None:
    """Return when a certificate ends, Unix seconds; None if there is none that can be read."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None
    return certificate.not_valid_after_utc.timestamp()
