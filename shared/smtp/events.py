"""What goes into a client session and what comes out of it: options, events, states."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from shared.smtp.extensions import Extensions
from shared.smtp.reply import Reply
from shared.smtp.transaction import Transaction


class Dialect(Enum):
    """Which of the two protocols is spoken."""

    SMTP = "EHLO"
    LMTP = "LHLO"


class TlsPolicy(Enum):
    """Whether STARTTLS is used (TLS from the first byte is the caller's business)."""

    NEVER = auto()
    OPPORTUNISTIC = auto()
    REQUIRED = auto()


@dataclass(frozen=True, slots=True)
class Credentials:
    """What AUTH is done with."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.user!r}, …)"


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How a session is led."""

    hostname: str  # our name, or an address literal
    dialect: Dialect = Dialect.SMTP
    tls: TlsPolicy = TlsPolicy.OPPORTUNISTIC
    credentials: Credentials | None = None
    plaintext_auth: bool = False  # AUTH without TLS: for a smarthost on the same machine
    encrypted: bool = False  # the connection is TLS from the start


@dataclass(frozen=True, slots=True)
class StartTls:
    """Do the TLS handshake, then call `tls_started`; everything is plain text until then."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Transactions may begin."""

    extensions: Extensions


@dataclass(frozen=True, slots=True)
class SendBody:
    """The server waits for the message: `encode` it piece by piece, then `end_of_data`."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class Finished:
    """A transaction is over; `replies` are the final ones of its targets, in their order."""

    transaction: Transaction
    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The session ended before the server said anything about a transaction: use another connection."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class Over:
    """The session has ended; `reply` says why."""

    reply: Reply


Event = StartTls | Ready | SendBody | Finished | Abandoned | Over


class State(Enum):
    """How far the session is."""

    GREETING = auto()
    HELLO = auto()
    HANDSHAKE = auto()
    AUTH = auto()
    READY = auto()
    OVER = auto()


class Verb(Enum):
    """What a reply is awaited for; the value completes "while waiting for …"."""

    GREETING = "the greeting"
    EHLO = "the reply to EHLO"
    HELO = "the reply to HELO"
    STARTTLS = "the reply to STARTTLS"
    AUTH = "the reply to AUTH"
    MAIL = "the reply to MAIL"
    RCPT = "the reply to RCPT"
    DATA = "the reply to DATA"
    END = "the reply to the message"
    RSET = "the reply to RSET"
    QUIT = "the reply to QUIT"
