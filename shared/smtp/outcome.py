"""What became of one recipient in one attempt."""

from __future__ import annotations

from dataclasses import dataclass

from shared.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Via:
    """How an attempt went to a host: its address, TLS version and cipher ("" for none), seconds taken."""

    address: str
    tls: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Delivered:
    """The next hop answers for the message now; `dsn` says that it takes over the notifications (RFC 3461 §5.2)."""

    reply: Reply
    host: str
    dsn: bool = False
    via: Via | None = None


@dataclass(frozen=True, slots=True)
class Deferred:
    """It may work later; `host` is "" where the reply is our own."""

    reply: Reply
    host: str = ""
    via: Via | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """It will never work; `host` is "" where the reply is our own."""

    reply: Reply
    host: str = ""
    via: Via | None = None


Outcome = Delivered | Deferred | Failed


def outcome_of(reply: Reply, host: str, *, dsn: bool = False, via: Via | None = None) -> Outcome:
    """Return what a final reply for a recipient means; anything odd is temporary (RFC 5321 §4.2.1)."""
    if reply.is_positive:
        return Delivered(reply, host, dsn, via)
    return Failed(reply, host, via) if reply.is_permanent else Deferred(reply, host, via)
