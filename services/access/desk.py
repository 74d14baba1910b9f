"""What all sessions of a worker process share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services.access.limits import Limits
from services.access.memory import LargeBuffers
from shared.directory.logins import Logins
from shared.journal.writer import Writer
from shared.mailbox.acl import Acl
from shared.mailbox.content import Content
from shared.mailbox.mailboxes import Mailboxes
from shared.mailbox.messages import Messages
from shared.mailbox.metadata import Metadata
from shared.mailbox.search import TextSearch
from shared.mailbox.watch import Watcher
from shared.maillog import MailLog
from shared.net import ConnectionGate, TlsContexts
from shared.operations.scripts import Scripts
from shared.sasl.mechanisms import OFFERED

if TYPE_CHECKING:
    from pathlib import Path

    from services.access.connection import Connection


@dataclass(slots=True)
class Desk:
    """A worker's collaborators, and its open connections."""

    hostname: str
    limits: Limits
    gate: ConnectionGate
    tls: TlsContexts
    logins: Logins
    mailboxes: Mailboxes
    acl: Acl
    metadata: Metadata
    messages: Messages
    content: Content
    search: TextSearch
    watcher: Watcher
    journal: Writer
    scripts: Scripts
    volume: Path  # the journal's folder
    log: MailLog
    plaintext_auth: bool = False  # passwords are taken without TLS
    mechanisms: tuple[bytes, ...] = OFFERED  # of SASL, best first
    buffers: LargeBuffers = field(default_factory=LargeBuffers)
    connections: set[Connection] = field(default_factory=set)
    leftovers: set[asyncio.Task[None]] = field(default_factory=set)

    def clean_up(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done for a session that can't wait for it."""
        task = asyncio.get_running_loop().create_task(work)
        self.leftovers.add(task)
        task.add_done_callback(self.leftovers.discard)
