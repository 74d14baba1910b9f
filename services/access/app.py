"""One worker process of the access service: its collaborators, listeners, health and end."""

from __future__ import annotations

import asyncio
import os
from functools import partial

from services.access.connection import Connection
from services.access.desk import Desk
from services.access.imap.session import ImapSession
from services.access.managesieve.session import SieveSession
from services.access.pop3.session import Pop3Session
from services.access.settings import AccessSettings
from services.access.training import Training
from shared.address import Address
from shared.db import connect as connect_database
from shared.directory import Directory
from shared.directory.logins import Logins
from shared.directory.verified import VerifiedPasswords
from shared.draining import end_sessions
from shared.errors import MailFailure
from shared.filters.configuration import RspamdConfig, load_scanners
from shared.journal.reader import Reader
from shared.listener import Listener
from shared.mailbox.acl import Acl
from shared.mailbox.content import Content
from shared.mailbox.mailboxes import Mailboxes
from shared.mailbox.messages import Messages
from shared.mailbox.metadata import Metadata
from shared.mailbox.search import TextSearch
from shared.mailbox.watch import Announcer, Watcher
from shared.mailbox.words import WordIndex
from shared.maillog import MailLog
from shared.metrics import ACCESS_CONNECTIONS
from shared.net import ConnectionGate, Networks, parse_listen
from shared.operations.scripts import Scripts
from shared.queue.connection import connect as connect_redis
from shared.queue.delivery import Queue, new_consumer
from shared.queue.notify import Publisher, Subscriber
from shared.queue.throttle import LoginThrottle
from shared.queue.upkeep import watch_epoch
from shared.tasks import EndProcess, Tasks
from shared.tls import TlsContexts
from shared.volume import journal_writer

DOORS = (
    (143, ImapSession, False),
    (993, ImapSession, True),
    (110, Pop3Session, False),
    (995, Pop3Session, True),
    (4190, SieveSession, False),
)
SWEEP = 1.0  # seconds between two looks for clients that are silent too long
EXPIRE_FILES = 60  # sweeps between two looks for cached files that may have been removed
FINISHING_SHARE = 0.7  # of the grace period, for commands that are under way
CUT_OFF = 1.0  # seconds for connections that were cut off to be gone
LAST_WORDS = 0.2  # seconds for the answers of a journal that failed
PROBE = Address("postmaster", "probe.invalid")


class AccessWorker:
    """Serves mailboxes; `end_process` is what a failed journal calls (its errors must not be retried)."""

    def __init__(
        self,
        settings: AccessSettings,
        index: int,
        *,
        verified: VerifiedPasswords | None = None,
        end_process: EndProcess = os._exit,
    ) -> None:
        self._settings = settings
        self._index = index
        self._verified = verified
        self._log = MailLog("access")
        self._listeners: list[Listener] = []
        self._tasks = Tasks(self._log, end_process, last_words=LAST_WORDS)

    async def start(self) -> None:
        """Open the journal, connect, listen."""
        settings = self._settings
        tls = TlsContexts(settings.certificate, settings.key, settings.sni, report=self._log.trouble)
        self._database = await connect_database(settings.sql)
        self._directory = Directory(self._database, algorithms=settings.scram, verified=self._verified)
        self._redis = connect_redis(settings.redis)
        self._journal = journal_writer(settings, f"access-{self._index}", self._tasks.give_up)
        await self._journal.open()
        self._reader = Reader(settings.journal)
        self._announcer = Announcer(Publisher(self._redis))
        self._subscriber = Subscriber(self._redis)
        self._desk = self._make_desk(tls)
        if self._desk.training is not None:
            self._tasks.run(self._desk.training.run())
        queue = Queue(self._redis, new_consumer("access"))
        for work in (
            self._announcer.run(),
            self._subscriber.run(),
            self._desk.watcher.run(),
            watch_epoch(queue, self._journal.epoch_changed),
            self._sweep(),
        ):
            self._tasks.run(work)
        await self._listen()

    @property
    def desk(self) -> Desk:
        """What the sessions share."""
        return self._desk

    async def problems(self) -> list[str]:
        """Say why mailboxes can't be served; Redis is no reason, a slow poll replaces it."""
        ACCESS_CONNECTIONS.set(self._desk.gate.open)
        if self._journal.is_poisoned:
            return ["the journal failed"]
        try:
            await self._directory.verify(PROBE)
        except MailFailure as failure:
            return [failure.text]
        return []

    async def drain(self) -> None:
        """Accept no more, let commands under way end, seal the segment, disconnect."""
        for listener in self._listeners:
            listener.close()
        await end_sessions(self._desk.connections, self._settings.grace_period * FINISHING_SHARE, CUT_OFF)
        await asyncio.gather(*self._desk.leftovers, return_exceptions=True)  # while Redis and the journal are open
        await self._journal.close()
        await self._tasks.cancel()
        self._reader.close()
        await self._redis.aclose()
        await self._database.close()

    def _make_desk(self, tls: TlsContexts) -> Desk:
        settings, limits = self._settings, self._settings.limits
        content = Content(self._database, self._reader)
        return Desk(
            hostname=settings.name,
            limits=limits,
            gate=ConnectionGate(limits.connections, limits.connections_per_ip),
            tls=tls,
            redis=self._redis,
            logins=Logins(self._directory, LoginThrottle(self._redis), self._log),
            mailboxes=Mailboxes(self._database, announce=self._announcer),
            acl=Acl(self._database, self._announcer),
            metadata=Metadata(self._database, self._announcer),
            messages=Messages(self._database, announce=self._announcer),
            content=content,
            search=TextSearch(content),
            words=WordIndex(self._database),
            watcher=Watcher(self._database, self._subscriber),
            journal=self._journal,
            scripts=Scripts(self._database),
            volume=settings.journal,
            log=self._log,
            training=self._training(),
            plaintext_auth=settings.allow_plaintext_auth,
            mechanisms=settings.mechanisms,
        )

    def _training(self) -> Training | None:
        scanners = load_scanners(self._settings.scanner_file)
        wanted = any(isinstance(scanner, RspamdConfig) and scanner.learn_url for scanner in scanners)
        return Training(self._database, self._redis, self._log) if wanted else None

    async def _listen(self) -> None:
        proxies = Networks(self._settings.proxy_networks)
        for port, session, is_tls in DOORS:
            endpoints = parse_listen(self._settings.listen, port + self._settings.port_base)
            factory = partial(Connection, self._desk, session, is_tls)
            tls = self._desk.tls if is_tls else None
            self._listeners.append(
                await Listener.open(endpoints, factory, tls=tls, proxies=proxies, report=self._log.trouble)
            )

    async def _sweep(self) -> None:
        """End sessions whose clients are silent, or don't read, for too long."""
        loop = asyncio.get_running_loop()
        sweeps = 0
        while True:
            await asyncio.sleep(SWEEP)
            now = loop.time()
            for connection in list(self._desk.connections):
                connection.check(now)
            sweeps += 1
            if sweeps % EXPIRE_FILES == 0:
                await asyncio.to_thread(self._reader.expire)
