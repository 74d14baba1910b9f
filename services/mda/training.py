"""Teaching rspamd what users moved into or out of Junk."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from shared.db import Database, Rows, Work, load
from shared.filters.configuration import RspamdConfig, ScannerConfig
from shared.filters.failure import ScanFailed
from shared.filters.parcel import Parcel
from shared.journal.errors import RecordUnavailable
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.maillog import MailLog
from shared.metrics import TRAINED
from shared.queue.training import Transfer, put, take
from shared.queue.upkeep import AWAY

if TYPE_CHECKING:
    from shared.filters.rspamd import Rspamd

POLL = 5.0  # seconds between looks into an empty list
PAUSE = 15.0  # seconds after a failure
MAX_TRIES = 5  # for one job
MAX_SIZE = 5 * 1024 * 1024  # octets of a message that is learned

sql = load("mailboxes")


class Trainer:
    """Works on what IMAP sessions noted; any number of workers may do so at once."""

    def __init__(
        self, configs: Sequence[ScannerConfig], database: Database, redis: Redis, reader: Reader, hostname: str
    ) -> None:
        chosen = [config for config in configs if isinstance(config, RspamdConfig) and config.learn_url]
        self._pupils: list[Rspamd] = []
        if chosen:
            from shared.filters.rspamd import Rspamd

            self._pupils = [Rspamd(config, hostname) for config in chosen]
        self._database = database
        self._redis = redis
        self._reader = reader
        self._log = MailLog("mda")

    @property
    def is_wanted(self) -> bool:
        """Whether anybody learns."""
        return bool(self._pupils)

    async def run(self) -> None:
        """Teach until cancelled."""
        try:
            while True:
                try:
                    await asyncio.sleep(0 if await self.work() else POLL)
                except AWAY as error:
                    self._log.info("training paused", error=str(error))
                    await asyncio.sleep(PAUSE)
        finally:
            for pupil in self._pupils:
                await pupil.close()

    async def work(self) -> bool:
        """Do one job; False if there is none. One of AWAY."""
        transfer = await take(self._redis)
        if transfer is None:
            return False
        rows: Rows = await self._database.read(_messages, transfer)
        for row in rows:
            if row["octets"] > MAX_SIZE:
                continue
            try:
                await self._teach(row)
            except ScanFailed as failure:
                await self._again(transfer, row["uid"], failure)
                await asyncio.sleep(PAUSE)
                return True
            except RecordUnavailable:
                TRAINED.labels("failed").inc()
        return True

    async def _teach(self, row: Any) -> None:
        reference = Reference(*(row[name] for name in _REFERENCE))
        parcel = Parcel(row["entry"], "", (), await asyncio.to_thread(self._reader.read, reference))
        for pupil in self._pupils:
            learned = await pupil.learn(parcel, spam="\\Junk" in row["special_use"])
            TRAINED.labels("learned" if learned else "known").inc()

    async def _again(self, transfer: Transfer, uid: int, failure: ScanFailed) -> None:
        """Put back what is left of a job, a few times."""
        left = tuple(one for one in transfer.uids if one >= uid)
        self._log.info("training failed", messages=len(left), tries=transfer.tries + 1, error=str(failure))
        if transfer.tries + 1 >= MAX_TRIES:
            TRAINED.labels("failed").inc(len(left))
            return
        TRAINED.labels("lost").inc(await put(self._redis, [replace(transfer, uids=left, tries=transfer.tries + 1)]))


_REFERENCE = ("segment", "position", "length", "body", "inline_size", "octets", "large")


def _messages(transfer: Transfer) -> Work[Rows]:
    rows: Rows = []
    if transfer.uids:
        rows = yield sql.to_be_learned(mailbox=transfer.target_id, uids=list(transfer.uids))
    return rows
