"""One worker process of the mta: its collaborators, listeners, health and end."""

from __future__ import annotations

import asyncio
import os
import time
from functools import partial
from typing import TYPE_CHECKING

from services.mta.accept import Acceptance
from services.mta.allowance import Allowance
from services.mta.client import Role
from services.mta.desk import Desk
from services.mta.lmtp import LmtpSession
from services.mta.prompt import PromptSession
from services.mta.recipients import Recipients
from services.mta.settings import MtaSettings
from shared.address import Address
from shared.db import Database
from shared.db import connect as connect_database
from shared.directory import Directory
from shared.directory.logins import Logins
from shared.directory.verified import VerifiedPasswords
from shared.dns import Resolver
from shared.draining import end_sessions
from shared.errors import MailFailure
from shared.filters.configuration import Place, load_scanners
from shared.filters.hostname import ClientNames
from shared.listener import Listener
from shared.maillog import MailLog
from shared.metrics import SMTP_CONNECTIONS
from shared.net import ConnectionGate, Networks, parse_listen
from shared.operations.rejections import RejectionRecorder
from shared.queue.connection import connect as connect_redis
from shared.queue.delivery import Queue, new_consumer
from shared.queue.outbox import Outbox
from shared.queue.throttle import LoginThrottle, Throttle
from shared.queue.upkeep import watch_epoch
from shared.tasks import EndProcess, Tasks
from shared.tls import TlsContexts
from shared.volume import journal_writer

if TYPE_CHECKING:
    from services.mta.scan import Screening

DOORS = (  # the last says whether TLS is implicit
    (25, Role.MX, False),
    (587, Role.SUBMISSION, False),
    (465, Role.SUBMISSION, True),
    (24, Role.LMTP, False),
)
FINISHING_SHARE = 0.6  # of the grace period, for messages that are being sent to us
CUT_OFF_SHARE = 0.2  # … for those that were cut off to be gone
PUSHING_SHARE = 0.2  # … and for references on their way to Redis, which the sweep finds as well
LAST_WORDS = 0.2  # seconds for the 451s of a journal that failed
PROBE = Address("postmaster", "probe.invalid")


class MtaWorker:
    """Accepts mail; `end_process` is what a failed journal calls (its errors must not be retried)."""

    def __init__(
        self,
        settings: MtaSettings,
        index: int,
        *,
        verified: VerifiedPasswords | None = None,
        end_process: EndProcess = os._exit,
    ) -> None:
        self._settings = settings
        self._index = index
        self._verified = verified
        self._log = MailLog("mta")
        self._listeners: list[Listener] = []
        self._tasks = Tasks(self._log, end_process, last_words=LAST_WORDS)

    async def start(self) -> None:
        """Open the journal, connect, listen."""
        settings = self._settings
        tls = TlsContexts(settings.certificate, settings.key, settings.sni, report=self._log.trouble)
        self._database: Database = await connect_database(settings.sql)
        self._directory = Directory(self._database, algorithms=settings.scram, verified=self._verified)
        self._redis = connect_redis(settings.redis)
        queue = Queue(self._redis, new_consumer("mta"))
        self._outbox = Outbox(queue)
        self._journal = journal_writer(settings, f"mta-{self._index}", self._tasks.give_up)
        await self._journal.open()
        self._tasks.run(self._outbox.run())
        self._tasks.run(watch_epoch(queue, self._journal.epoch_changed))
        self._rejections = RejectionRecorder(self._database)
        self._tasks.run(self._rejections.run())
        self._desk = self._make_desk(tls)
        await self._listen()

    async def problems(self) -> list[str]:
        """Say why mail can't be taken; Redis is no reason, the outbox waits for it."""
        SMTP_CONNECTIONS.set(self._desk.gate.open)
        if self._journal.is_poisoned:
            return ["the journal failed"]
        problems: list[str] = []
        if not await asyncio.to_thread(os.access, self._settings.journal, os.W_OK):
            problems.append("the mail volume can't be written")
        for check in (self._journal.check_space(), self._directory.verify(PROBE)):
            try:
                await check
            except MailFailure as failure:
                problems.append(failure.text)
        return problems

    async def drain(self) -> None:
        """Accept no more, let messages under way end, seal the segment, push what is left to push."""
        grace = self._settings.grace_period
        for listener in self._listeners:
            listener.close()
        await end_sessions(self._desk.sessions, grace * FINISHING_SHARE, grace * CUT_OFF_SHARE)
        await self._journal.close()
        await self._outbox.drain(grace * PUSHING_SHARE)
        await self._tasks.cancel()
        await self._rejections.flush(everything=True)
        if self._desk.screening is not None:
            await self._desk.screening.close()
        await self._redis.aclose()
        await self._database.close()

    def _make_desk(self, tls: TlsContexts) -> Desk:
        settings, limits = self._settings, self._settings.limits
        hostname = settings.name
        trusted = Networks(settings.trusted_networks)
        recipients = Recipients(self._directory, hostname, limits)
        screening = self._screening(recipients)
        return Desk(
            hostname=hostname,
            limits=limits,
            gate=ConnectionGate(limits.connections, limits.connections_per_ip),
            tls=tls,
            recipients=recipients,
            acceptance=Acceptance(self._journal, self._outbox.put, hostname, time.time, screening),
            screening=screening,
            logins=Logins(self._directory, LoginThrottle(self._redis), self._log),
            allowance=Allowance(Throttle(self._redis), limits, self._log),
            log=self._log,
            is_trusted=trusted.__contains__,
            plaintext_auth=settings.allow_plaintext_auth,
            mechanisms=settings.mechanisms,
            reject=self._rejections.put,
        )

    def _screening(self, recipients: Recipients) -> Screening | None:
        configs = [config for config in load_scanners(self._settings.scanner_file) if config.at is Place.MTA]
        if not configs:
            return None
        from services.mta.scan import Screening  # 10 MB that a worker without scanners needn't have

        settings, names = self._settings, ClientNames(Resolver(self._settings.resolver))
        upload, size = self._journal.large, settings.limits.message_size
        return Screening(configs, settings.name, settings.journal, upload, recipients, size, names)

    async def _listen(self) -> None:
        proxies = Networks(self._settings.proxy_networks)
        for port, role, implicit_tls in DOORS:
            endpoints = parse_listen(self._settings.listen, port + self._settings.port_base)
            tls = self._desk.tls if implicit_tls else None
            factory = partial(LmtpSession if role is Role.LMTP else PromptSession, self._desk, role)
            self._listeners.append(
                await Listener.open(endpoints, factory, tls=tls, proxies=proxies, report=self._log.trouble)
            )
