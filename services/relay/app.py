"""The relay's worker: wiring, and the tasks that it runs."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import ssl

from redis.exceptions import RedisError

from services.relay.connection import Timeouts, TlsSettings
from services.relay.engine import Dialling, Engine
from services.relay.intake import Intake
from services.relay.recorder import Recorder
from services.relay.route import SMTP_PORT, RoutePolicy, Router
from services.relay.schedule import Schedule
from services.relay.settings import RelaySettings, SmarthostTls
from services.relay.site import SiteRun
from services.relay.transport import parse_transport
from shared.db import connect as connect_database
from shared.directory import Directory
from shared.dns import Resolver
from shared.errors import TemporaryFailure
from shared.journal.reader import Reader
from shared.maillog import MailLog
from shared.operations.notice import Notifier
from shared.operations.sites import Throttles
from shared.queue.connection import connect as connect_redis
from shared.queue.delivery import Queue, new_consumer
from shared.queue.outbox import Outbox
from shared.queue.recovery import Sweep
from shared.queue.sites import SiteLease, Sites
from shared.queue.upkeep import Sweeper, keep_promoting, keep_pruning, watch_epoch
from shared.smtp.client import ClientOptions, Credentials, Dialect, TlsPolicy
from shared.tasks import Tasks
from shared.volume import journal_writer

BUSY_WAIT = 0.05  # seconds until a site with much work is given a further connection
IDLE_WAIT = 0.5  # seconds between looks for pauses that have ended
PAUSE = 1.0  # seconds after Redis was away
EXPIRE_INTERVAL = 60.0  # seconds between looks at cached files of removed segments
DRAIN_INTAKE = 5.0  # seconds for reads that are under way, Redis may be away
PATIENCE = 0.6  # share of the grace period that other hosts are given
DRAIN_OUTBOX = 2.0  # seconds for notifications to reach the queue


class RelayWorker:
    """One process's share of the relay."""

    def __init__(self, settings: RelaySettings, index: int) -> None:
        self._settings = settings
        self._index = index
        self._log = MailLog("relay")
        self._tasks = Tasks(self._log)
        self._takers = Tasks(self._log)
        self._runs: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(settings.relay_connections)
        self._engine: Engine | None = None
        self._throttles = Throttles(settings.relay_concurrency)

    async def start(self) -> None:
        """Connect and begin; ConfigurationError, or whatever is away."""
        settings = self._settings
        redis = connect_redis(settings.redis)
        self._database = await connect_database(settings.sql)
        lease_ms = int(settings.queue_lease * 1000)
        self._queue = Queue(redis, new_consumer("relay"), lease_ms=lease_ms)
        self._writer = journal_writer(
            settings, f"relay-{self._index}-{os.getpid()}", self._tasks.give_up, may_use_reserve=True
        )
        await self._writer.open()
        self._outbox = Outbox(self._queue)
        reader = Reader(settings.journal)
        directory = Directory(self._database)
        notifier = Notifier("relay", self._writer, reader, settings.name, directory.is_local_domain)
        self._recorder = Recorder(self._database, notifier, self._outbox, schedule_of(settings), self._log)
        self._engine = Engine(
            database=self._database,
            queue=self._queue,
            sites=Sites(redis, self._throttles.connections, lease_ms=lease_ms),
            reader=reader,
            router=Router(Resolver(settings.resolver), policy_of(settings)),
            recorder=self._recorder,
            dialling=dialling_of(settings),
            log=self._log,
            recipients=settings.relay_recipients,
            reuse=settings.relay_reuse,
            back_off=settings.relay_retry_first,
        )
        self._begin(self._engine, reader)

    async def problems(self) -> list[str]:
        """Say what is away."""
        problems = [self._recorder.trouble] if self._recorder.trouble else []
        try:
            async with asyncio.timeout(2):
                await self._queue.redis.ping()
        except (RedisError, OSError, TimeoutError) as error:
            problems.append(f"Redis: {error}")
        return problems

    async def drain(self) -> None:
        """Finish the transactions under way, record them and give everything else back."""
        assert self._engine is not None
        self._engine.stopping.set()
        await self._takers.finish(DRAIN_INTAKE)
        if self._runs:
            await asyncio.wait(self._runs, timeout=self._settings.grace_period * PATIENCE)
        await self._cut_off()
        await self._outbox.drain(DRAIN_OUTBOX)
        await self._tasks.cancel()
        with contextlib.suppress(TemporaryFailure):  # what isn't sealed now is sealed by the sweep
            await self._writer.close()
        await self._database.close()
        await self._queue.redis.aclose()

    async def _cut_off(self) -> None:
        """End sessions whose hosts take too long: what they got and didn't confirm is sent again."""
        for run in self._runs:
            run.cancel()
        if self._runs:
            await asyncio.wait(self._runs)

    def _begin(self, engine: Engine, reader: Reader) -> None:
        sweep = Sweep(self._database, self._queue, self._settings.journal, reader, open_age=self._settings.open_age)
        for work in (
            self._recorder.run(),
            self._outbox.run(),
            keep_promoting(self._queue),
            keep_pruning(self._queue),
            Sweeper(self._queue, sweep, interval=self._settings.sweep_interval).run(),
            watch_epoch(self._queue, self._writer.epoch_changed),
            _keep_expiring(reader),
            self._throttles.keep_reading(self._database, engine.sites),
        ):
            self._tasks.run(work)
        self._takers.run(Intake(engine).run())
        self._takers.run(self._dispatch(engine))

    async def _dispatch(self, engine: Engine) -> None:
        """Lease slots of sites and start runs, as long as connections are left."""
        while not engine.stopping.is_set():
            await self._slots.acquire()
            lease = None
            try:
                lease = await engine.sites.acquire()
                if lease is None:
                    await engine.sites.wait(BUSY_WAIT if self._runs else IDLE_WAIT)
            except (RedisError, OSError) as error:
                self._log.trouble("sites away", error=str(error))
                await asyncio.sleep(PAUSE)
            if lease is None:
                self._slots.release()
            else:
                self._start_run(engine, lease)

    def _start_run(self, engine: Engine, lease: SiteLease) -> None:
        task = asyncio.create_task(SiteRun(engine, lease).run(), name="site-run")
        self._runs.add(task)
        task.add_done_callback(self._run_ended)

    def _run_ended(self, task: asyncio.Task[None]) -> None:
        self._runs.discard(task)
        self._slots.release()
        if not task.cancelled() and (error := task.exception()):
            self._log.trouble("site run failed", error=repr(error), exc_info=error)


async def _keep_expiring(reader: Reader) -> None:
    while True:
        await asyncio.sleep(EXPIRE_INTERVAL)
        await asyncio.to_thread(reader.expire)


def schedule_of(settings: RelaySettings) -> Schedule:
    """Return the retry schedule that is set."""
    return Schedule(
        first=settings.relay_retry_first,
        most=settings.relay_retry_most,
        expiry=settings.relay_expiry,
        bounce_expiry=settings.relay_bounce_expiry,
        warning=settings.relay_delay_warning,
    )


def policy_of(settings: RelaySettings) -> RoutePolicy:
    """Return what routes depend on."""
    port = settings.relay_port
    # only our own MX listener's port leads back to us
    own = settings.listen if port == SMTP_PORT + settings.port_base else []
    return RoutePolicy(
        port=port,
        own_names=frozenset(name.lower().rstrip(".") for name in (settings.name, *settings.relay_own_names)),
        own_addresses=frozenset(str(ipaddress.ip_address(address)) for address in own),
        allow_private=tuple(ipaddress.ip_network(network) for network in settings.relay_allow_private),
        transports={domain: parse_transport(hop, port) for domain, hop in settings.relay_transport.items()},
        smarthost=parse_transport(settings.relay_smarthost, port) if settings.relay_smarthost else None,
    )


def dialling_of(settings: RelaySettings) -> Dialling:
    """Return how hosts are talked to."""
    opportunistic = TlsPolicy.OPPORTUNISTIC if settings.relay_tls else TlsPolicy.NEVER
    options = ClientOptions(settings.name, tls=opportunistic)
    smarthost_tls = settings.relay_smarthost_tls
    verify = smarthost_tls is SmarthostTls.VERIFY
    return Dialling(
        options=options,
        tls=TlsSettings(_tls_context(verify=False)),
        smarthost_options=_smarthost_options(settings),
        smarthost_tls=TlsSettings(_tls_context(verify=verify)),
        lmtp_options=ClientOptions(settings.name, dialect=Dialect.LMTP, tls=opportunistic),
        timeouts=Timeouts(
            connect=settings.relay_connect_timeout,
            greeting=settings.relay_greeting_timeout,
            command=settings.relay_command_timeout,
            data=settings.relay_data_timeout,
            end=settings.relay_end_timeout,
        ),
    )


def _smarthost_options(settings: RelaySettings) -> ClientOptions:
    policies: dict[SmarthostTls, TlsPolicy] = {
        SmarthostTls.OPPORTUNISTIC: TlsPolicy.OPPORTUNISTIC,
        SmarthostTls.NEVER: TlsPolicy.NEVER,
    }
    user, password = settings.relay_smarthost_user, settings.relay_smarthost_password.get_secret_value()
    return ClientOptions(
        settings.name,
        tls=policies.get(settings.relay_smarthost_tls, TlsPolicy.REQUIRED),
        credentials=Credentials(user, password) if user else None,
        plaintext_auth=settings.relay_smarthost_tls is SmarthostTls.NEVER,
    )


def _tls_context(*, verify: bool) -> ssl.SSLContext:
    """RFC 7435: without verification TLS still keeps out whoever only listens."""
    if verify:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
