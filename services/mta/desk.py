"""What all connections of a worker share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.mta.accept import Acceptance
from services.mta.allowance import Allowance
from services.mta.limits import Limits
from services.mta.recipients import Recipients
from shared.directory.logins import Logins
from shared.maillog import MailLog
from shared.net import ConnectionGate
from shared.operations.rejections import Rejection
from shared.sasl.mechanisms import OFFERED
from shared.tls import TlsContexts

if TYPE_CHECKING:
    from services.mta.connection import Connection
    from services.mta.scan import Screening


@dataclass(frozen=True, slots=True)
class Desk:
    """Collaborators and limits; `sessions` are those that have not ended."""

    hostname: str
    limits: Limits
    gate: ConnectionGate
    tls: TlsContexts | None
    recipients: Recipients
    acceptance: Acceptance
    logins: Logins
    allowance: Allowance
    log: MailLog
    is_trusted: Callable[[str], bool]
    plaintext_auth: bool = False
    mechanisms: tuple[bytes, ...] = OFFERED  # of SASL, best first
    screening: Screening | None = None  # scanners, if there are any
    reject: Callable[[Rejection], None] = lambda rejection: None  # puts it on record, without waiting
    sessions: set[Connection] = field(default_factory=set)
