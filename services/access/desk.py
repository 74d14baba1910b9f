"""What all sessions of a worker process share."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from services.access.limits import Limits
from services.access.memory import LargeBuffers
from services.access.pop3.claim import CLAIM_TIME, Claim
from services.access.training import Training
from shared.directory.logins import Logins
from shared.errors import TemporaryFailure
from shared.journal.writer import Writer
from shared.mailbox.acl import Acl
from shared.mailbox.content import Content
from shared.mailbox.mailboxes import Mailboxes
from shared.mailbox.messages import Messages
from shared.mailbox.metadata import Metadata
from shared.mailbox.search import TextSearch
from shared.mailbox.watch import Watcher
from shared.mailbox.words import WordIndex
from shared.maillog import MailLog
from shared.net import ConnectionGate
from shared.operations.scripts import Scripts
from shared.queue.lease import NamedLease
from shared.sasl.mechanisms import OFFERED
from shared.tls import TlsContexts

if TYPE_CHECKING:
    from pathlib import Path

    from redis.asyncio import Redis

    from services.access.connection import Connection


@dataclass(slots=True)
class Desk:
    """A worker's collaborators, and its open connections."""

    hostname: str
    limits: Limits
    gate: ConnectionGate
    tls: TlsContexts
    logins: Logins
    redis: Redis
    mailboxes: Mailboxes
    acl: Acl
    metadata: Metadata
    messages: Messages
    content: Content
    search: TextSearch
    words: WordIndex
    watcher: Watcher
    journal: Writer
    scripts: Scripts
    volume: Path  # the journal's folder
    log: MailLog
    training: Training | None = None  # learns from what is moved into and out of Junk
    plaintext_auth: bool = False  # passwords are taken without TLS
    mechanisms: tuple[bytes, ...] = OFFERED  # of SASL, best first
    buffers: LargeBuffers = field(default_factory=LargeBuffers)
    connections: set[Connection] = field(default_factory=set)
    leftovers: set[asyncio.Task[None]] = field(default_factory=set)

    def claim(self, account_id: int) -> Claim:
        """Return a session's claim to an account's maildrop."""
        return Claim(NamedLease(self.redis, f"pop3:{account_id}", ttl=CLAIM_TIME))

    async def is_too_soon(self, account_id: int) -> bool:
        """Whether an account has logged in by POP3 less than the delay ago; False without Redis."""
        delay = self.limits.pop3_login_delay
        try:
            return bool(delay) and not await NamedLease(self.redis, f"pop3-login:{account_id}", ttl=delay).acquire()
        except (RedisError, TemporaryFailure, OSError):
            return False

    def note_transfer(self, source_id: int, target_id: int, uids: Sequence[int]) -> None:
        """Have it learned that messages are in another mailbox now, if somebody learns."""
        if self.training is not None:
            self.training.note(source_id, target_id, uids)

    def clean_up(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done for a session that can't wait for it."""
        task = asyncio.get_running_loop().create_task(work)
        self.leftovers.add(task)
        task.add_done_callback(self.leftovers.discard)
