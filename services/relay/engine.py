"""What intake and site runs share in one worker process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.relay.connection import Connection, Timeouts, TlsSettings, connect
from services.relay.recorder import Recorder
from services.relay.route import Hop, Route, Router
from services.relay.state import EntryState, load_states
from services.relay.transport import Scheme
from shared.db import Database
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.maillog import MailLog
from shared.queue.delivery import Queue
from shared.queue.sites import Sites, site_id
from shared.smtp.client import ClientOptions

ALONE_AFTER = 2  # times handed out: an entry that may have killed its workers goes out on its own …
HOLD_AFTER = 5  # … and is held for the operator
ALIVE = 30  # seconds that a site counts as alive after it gave a session or took mail
AGAIN = 60.0  # seconds until a record that can't be read is tried again


@dataclass(frozen=True, slots=True)
class Dialling:
    """How hosts are talked to; the smarthost may need other options."""

    options: ClientOptions
    tls: TlsSettings
    smarthost_options: ClientOptions
    smarthost_tls: TlsSettings
    lmtp_options: ClientOptions
    timeouts: Timeouts = field(default_factory=Timeouts)

    async def connect(self, hop: Hop, route: Route) -> Connection:
        """Return a session that is ready; HostFailure."""
        options, tls = self.options, self.tls
        if route.smarthost:
            options, tls = self.smarthost_options, self.smarthost_tls
        if route.scheme is Scheme.LMTP:
            options = self.lmtp_options
        implicit = TlsSettings(tls.context, from_start=route.scheme is Scheme.SMTPS)
        return await connect(hop, options, self.timeouts, implicit)


@dataclass(slots=True)
class Engine:
    """The collaborators, and what is common to all runs."""

    database: Database
    queue: Queue
    sites: Sites
    reader: Reader
    router: Router
    recorder: Recorder
    dialling: Dialling
    log: MailLog
    recipients: int  # in one transaction
    reuse: int  # messages over one connection
    back_off: float  # seconds that a site is left alone when none of its hosts can be reached
    clock: Callable[[], float] = time.time
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def states(self, entries: Sequence[str]) -> dict[str, EntryState]:
        """Return what SQL knows of entries; DatabaseUnavailable."""
        return await self.database.read(load_states, entries)

    async def mark_alive(self, site: str) -> None:
        """Let all workers know that a site gives sessions."""
        await self.queue.redis.set(self._alive_key(site), "1", ex=ALIVE)

    async def is_alive(self, site: str) -> bool:
        """Say whether a site gave any worker a session lately, or took mail."""
        return bool(await self.queue.redis.exists(self._alive_key(site)))

    def _alive_key(self, site: str) -> str:
        return f"{self.queue.prefix}alive:{site_id(site)}"


def current_reference(text: str, state: EntryState) -> Reference | None:
    """Return where an entry's record is: a pending row knows better than the queue, as compaction tells it."""
    for waiting in state.waiting.values():
        return waiting.reference
    try:
        return Reference.decode(text)
    except ValueError:
        return None


def domain_of(address: str) -> str:
    """Return the domain of a canonical address."""
    return address.rpartition("@")[2]
