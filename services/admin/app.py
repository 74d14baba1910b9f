"""One worker process of the API: its collaborators, the HTTP server, health and end."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator

import uvicorn

from services.admin.api import make_api
from services.admin.gauges import keep_measuring
from services.admin.settings import AdminSettings
from shared.db import Database
from shared.db import connect as connect_database
from shared.directory import Directory
from shared.dns import Resolver
from shared.errors import MailFailure, TemporaryFailure
from shared.journal.reader import Reader
from shared.maillog import MailLog
from shared.net import bind, parse_listen
from shared.operations.bounce import Bounces
from shared.operations.operator import Office
from shared.operations.queue import Yard
from shared.operations.waiting import RedisFresh
from shared.queue.connection import connect as connect_redis
from shared.queue.delivery import Queue, new_consumer
from shared.queue.outbox import Outbox
from shared.queue.sites import Sites
from shared.queue.upkeep import watch_epoch
from shared.tasks import EndProcess, Tasks
from shared.tls import TlsContexts
from shared.volume import journal_writer

IDLE = 30  # seconds that a connection may be silent between two requests
CONNECTIONS = 200  # at once; beyond them 503
FINISHING_SHARE = 0.6  # of the grace period, for requests under way
PUSHING_SHARE = 0.2
STARTING = 10.0  # seconds until the listener must be there


class AdminWorker:
    """Serves the API; `end_process` is what a failed journal calls (its errors must not be retried)."""

    def __init__(self, settings: AdminSettings, index: int, *, end_process: EndProcess = os._exit) -> None:
        self._settings = settings
        self._index = index
        self._log = MailLog("admin")
        self._tasks = Tasks(self._log, end_process)
        self._serving = Tasks(self._log, end_process)

    async def start(self) -> None:
        """Open the journal, connect, listen."""
        settings = self._settings
        self._database: Database = await connect_database(settings.sql)
        self._redis = connect_redis(settings.redis)
        self._queue = Queue(self._redis, new_consumer("admin"))
        self._outbox = Outbox(self._queue)
        self._journal = journal_writer(settings, f"admin-{self._index}", self._tasks.give_up, may_use_reserve=True)
        await self._journal.open()
        self._reader = Reader(settings.journal)
        self._directory = Directory(self._database)
        self._tasks.run(self._outbox.run())
        self._tasks.run(watch_epoch(self._queue, self._journal.epoch_changed))
        self._tasks.run(keep_measuring(self._database, self._queue, settings, settings.admin_metrics_interval))
        await self._serve()

    async def problems(self) -> list[str]:
        """Say why operators can't be served; Redis is no reason, what needs it says so."""
        if self._journal.is_poisoned:
            return ["the journal failed"]
        try:
            await self._directory.is_local_domain("probe.invalid")
        except MailFailure as failure:
            return [failure.text]
        return [] if self._server.started else ["not listening"]

    async def drain(self) -> None:
        """Accept no more, let requests under way end, seal the segment, disconnect."""
        grace = self._settings.grace_period
        self._server.should_exit = True
        await self._serving.finish(grace * FINISHING_SHARE)
        with contextlib.suppress(TemporaryFailure):  # what isn't sealed now is sealed by the sweep
            await self._journal.close()
        await self._outbox.drain(grace * PUSHING_SHARE)
        await self._tasks.cancel()
        self._reader.close()
        await self._redis.aclose()
        await self._database.close()

    @property
    def office(self) -> Office:
        """What operations are done with."""
        yard = Yard(self._database, self._settings.journal, self._reader, self._queue)
        return Office(
            yard=yard,
            fresh=RedisFresh(self._database, self._redis, self._reader),
            hostname=self._settings.name,
            resolver=lambda: Resolver(self._settings.resolver),
            sites=Sites(self._redis, lambda _site: 1),
            bounces=self._bounces,
        )

    def _bounces(self) -> Bounces:
        local = self._directory.is_local_domain
        return Bounces(self._journal, self._reader, self._settings.name, local, self._outbox.put)

    async def _serve(self) -> None:
        settings = self._settings
        config = uvicorn.Config(
            make_api(self.office, max_body=settings.admin_request_bytes),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=IDLE,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=int(settings.grace_period * FINISHING_SHARE) or 1,
        )
        if settings.admin_tls:
            context = TlsContexts(settings.certificate, settings.key, settings.sni, report=self._log.trouble).server
            config.ssl_context_factory = lambda _config, _default: context
        self._server = _Server(config)
        sockets = [bind(endpoint) for endpoint in parse_listen(settings.addresses, settings.port)]
        self._serving.run(self._server.serve(sockets=sockets))
        async with asyncio.timeout(STARTING):
            while not self._server.started:
                await asyncio.sleep(0.01)


class _Server(uvicorn.Server):
    """Leaves signals to shared.process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
