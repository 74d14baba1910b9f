"""One worker process of the mda: its collaborators, the loops that take work, upkeep, health and end."""

from __future__ import annotations

import asyncio
import os
import time

from services.mda.children import Children
from services.mda.courier import Courier, Limits, Stuck
from services.mda.expansions import Expansions
from services.mda.settings import MdaSettings
from services.mda.training import Trainer
from services.mda.upkeep import Keeping, keep_maintaining
from shared.db import Database
from shared.db import connect as connect_database
from shared.directory import Directory
from shared.dns import Resolver
from shared.filters.configuration import Place, load_scanners
from shared.filters.folder import FilterFolder
from shared.filters.folder import Limits as FilterLimits
from shared.filters.hostname import ClientNames
from shared.filters.panel import make_panel
from shared.journal.reader import Reader
from shared.mailbox.watch import Announcer
from shared.maillog import MailLog
from shared.message.envelope import Lane
from shared.operations.pruning import DAY
from shared.queue.connection import connect as connect_redis
from shared.queue.delivery import Lease, Queue, new_consumer
from shared.queue.filterstatus import keep_telling
from shared.queue.notify import Publisher
from shared.queue.outbox import Outbox
from shared.queue.recovery import Sweep
from shared.queue.upkeep import AWAY, Sweeper, keep_promoting, keep_pruning, watch_epoch
from shared.tasks import EndProcess, Tasks
from shared.volume import journal_writer

READ_BLOCK_MS = 1_000  # a draining worker waits as long for its last read
RECLAIMS = 4  # looks for expired leases in one lease's time
PAUSE_FIRST, PAUSE_MOST = 0.1, 5.0  # seconds to wait when Redis, SQL or the volume is away
FINISHING_SHARE = 0.6  # of the grace period, for batches under way
TARGETS_SHARE = 0.15  # … for deliveries outside the store
PUSHING_SHARE = 0.2  # … and for children on their way to Redis, which the sweep finds as well


class MdaWorker:
    """Delivers mail; `end_process` is what a failed journal or a stuck thread calls."""

    def __init__(self, settings: MdaSettings, index: int, *, end_process: EndProcess = os._exit) -> None:
        self._settings = settings
        self._index = index
        self._log = MailLog("mda")
        self._stopping = False
        self._trouble: dict[int, str] = {}
        self._tasks = Tasks(self._log, end_process)
        self._loops = Tasks(self._log, end_process)
        self._reclaimed = 0.0

    async def start(self) -> None:
        """Open the journal, connect, begin to take work."""
        settings = self._settings
        self._database: Database = await connect_database(settings.sql)
        self._redis = connect_redis(settings.redis)
        lease_ms = int(settings.queue_lease * 1000)
        self._queue = Queue(self._redis, new_consumer("mda"), lease_ms=lease_ms)
        self._outbox = Outbox(self._queue)
        self._reader = Reader(settings.journal)
        self._writer = journal_writer(settings, f"mda-{self._index}", self._tasks.give_up, may_use_reserve=True)
        await self._writer.open()
        announcer = Announcer(Publisher(self._redis))
        names = ClientNames(Resolver(settings.resolver))
        scanners = load_scanners(settings.scanner_file)
        self._panel = make_panel(scanners, Place.MDA, settings.name, names)
        self._folder = self._filter_folder()
        if self._folder is not None:
            self._tasks.run(keep_telling(self._redis, self._folder))
        trainer = Trainer(scanners, self._database, self._redis, self._reader, settings.name)
        if trainer.is_wanted:
            self._tasks.run(trainer.run())
        self._courier = self._make_courier(announcer)
        self._tasks.run(self._outbox.run())
        self._tasks.run(announcer.run())
        self._tasks.run(keep_promoting(self._queue))
        self._tasks.run(keep_pruning(self._queue))
        self._tasks.run(watch_epoch(self._queue, self._writer.epoch_changed))
        sweep = Sweep(self._database, self._queue, settings.journal, self._reader, open_age=settings.open_age)
        self._tasks.run(Sweeper(self._queue, sweep, interval=settings.sweep_interval).run())
        interval = settings.mda_maintenance_interval
        self._tasks.run(
            keep_maintaining(
                self._database,
                self._redis,
                settings.journal,
                self._reader,
                interval,
                settings.ages,
                Keeping(settings.kept_days, settings.mda_expunged_days * DAY, announcer),
                index=settings.mda_search_index,
            )
        )
        for slot in range(settings.mda_parallel):
            self._loops.run(self._take_work(slot))

    async def problems(self) -> list[str]:
        """Say why mail isn't being delivered."""
        if self._writer.is_poisoned:
            return ["the journal failed"]
        return sorted(set(self._trouble.values()))

    async def drain(self) -> None:
        """Take no more work, finish what is under way or give it back, push what is left to push."""
        grace = self._settings.grace_period
        self._stopping = True
        await self._loops.finish(grace * FINISHING_SHARE)
        await self._courier.drain(grace * TARGETS_SHARE)
        await self._writer.close()
        await self._outbox.drain(grace * PUSHING_SHARE)
        await self._tasks.cancel()
        await self._panel.close()
        await self._folder.close()
        await self._redis.aclose()
        await self._database.close()
        self._reader.close()

    async def _take_work(self, slot: int) -> None:
        """Read and work, one batch after the other; wait while anything that is needed is away."""
        pause = PAUSE_FIRST
        while not self._stopping:
            try:
                leases = await self._next()
                if leases:
                    await self._courier.work(leases)
            except AWAY as error:
                self._trouble[slot] = str(error)
                self._log.trouble("delivery paused", error=str(error), pause=pause)
                await self._pause(pause)
                pause = min(pause * 2, PAUSE_MOST)
                continue
            except Stuck:
                raise  # a thread doesn't come back: only the end of the process stops it
            except Exception as error:  # noqa: BLE001 - a bug that a message met: its lease expires, counted
                self._log.trouble("batch failed", error=repr(error))
            self._trouble.pop(slot, None)
            pause = PAUSE_FIRST

    async def _next(self) -> list[Lease]:
        """Take over expired leases now and then, else read new work."""
        now = time.monotonic()
        if now - self._reclaimed >= self._settings.queue_lease / RECLAIMS:
            self._reclaimed = now
            leases = await self._queue.reclaim(Lane.DELIVERY, self._settings.mda_batch)
            if leases:
                self._reclaimed = 0.0  # there may be more
                return leases
        return await self._queue.read(Lane.DELIVERY, self._settings.mda_batch, READ_BLOCK_MS)

    async def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < deadline:
            await asyncio.sleep(min(0.1, seconds))

    def _make_courier(self, announcer: Announcer) -> Courier:
        settings = self._settings
        directory = Directory(self._database)
        return Courier(
            self._database,
            self._queue,
            self._reader,
            self._writer,
            self._outbox,
            Expansions(directory),
            Children(self._writer, directory, settings.name),
            announcer,
            self._log,
            hostname=settings.name,
            panel=self._panel,
            folder=self._folder,
            limits=Limits(settings.mda_isolation_time, settings.mda_stuck_time),
        )

    def _filter_folder(self) -> FilterFolder:
        settings = self._settings
        limits = FilterLimits(settings.mda_filter_time, settings.mda_filter_memory, settings.mda_filter_processes)
        return FilterFolder(settings.filter_folder, limits)
