"""The SMTP envelope of an entry, as the journal keeps it (RFC 5321 §2.3.1, DSN: RFC 3461)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from shared.message.verdict import Verdict, verdict_from

MAX_RECIPIENTS = 10_000  # in one journal record; a listener's own limit is lower


class Lane(StrEnum):
    """Which queue works on a recipient."""

    DELIVERY = "delivery"
    RELAY = "relay"


class Kind(StrEnum):
    """What made the entry."""

    MESSAGE = "message"
    BOUNCE = "bounce"  # every delivery status notification, delays and successes too
    REDIRECT = "redirect"  # an alias or a filter sent it on
    VACATION = "vacation"
    NOTICE = "notice"  # a filter's notification
    HANDOVER = "handover"  # for an account whose mail goes elsewhere: its one recipient
    APPEND = "append"  # IMAP APPEND or an import: no recipients


@dataclass(frozen=True, slots=True)
class Recipient:
    """One recipient of an entry; `address` is canonical text, the DSN fields are RFC 3461's."""

    address: str
    lane: Lane
    orcpt: str = ""
    notify: str = ""  # "" or a comma-joined list: NEVER | SUCCESS,FAILURE,DELAY


@dataclass(frozen=True, slots=True)
class DeliverBy:
    """When it has to be delivered (RFC 2852): else it is R(eturned), or its sender is N(otified)."""

    deadline: int  # Unix time, microseconds
    mode: str = "N"
    trace: bool = False  # each relaying is reported

    @property
    def returns(self) -> bool:
        """Whether it isn't to be delivered any more after the deadline."""
        return self.mode == "R"

    def seconds_left(self, now: float) -> int:
        """What is left at a Unix time, negative afterwards, in whole seconds as SMTP tells it."""
        return int(self.deadline / 1_000_000 - now)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an entry came from: what Received and `packetboat trace` tell."""

    service: str = ""  # mx, submission, mda, relay, access
    ip: str = ""
    helo: str = ""
    protocol: str = ""  # ESMTP, ESMTPSA, … (RFC 3848)
    tls: str = ""  # TLS version and cipher, "" for none
    account: str = ""  # who was logged in


@dataclass(frozen=True, slots=True)
class Envelope:
    """Everything known about an entry besides its bytes; immutable once journaled."""

    id: str
    sender: str  # reverse-path without brackets; "" is the null reverse-path
    recipients: tuple[Recipient, ...]
    received_at: int  # Unix time, microseconds
    kind: Kind = Kind.MESSAGE
    parent: str = ""  # id of the entry that this one was made from
    mailbox: str = ""  # of a handover: the one that was chosen
    hops: int = 0  # redirects and expansions that led here
    ret: str = ""  # FULL or HDRS (RFC 3461 §4.3)
    envid: str = ""
    smtputf8: bool = False
    eight_bit: bool = False
    message_id: str = ""
    origin: Origin = field(default_factory=Origin)
    deliver_by: DeliverBy | None = None
    verdicts: tuple[Verdict, ...] = ()  # what scanners said before it was accepted, as they are put on record

    def lane(self, lane: Lane) -> tuple[Recipient, ...]:
        """Return the recipients that a lane works on."""
        return tuple(r for r in self.recipients if r.lane is lane)

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """Return the lanes that have recipients, in a fixed order."""
        if len(self.recipients) == 1:
            return (self.recipients[0].lane,)
        present = {r.lane for r in self.recipients}
        return tuple(lane for lane in Lane if lane in present)

    def to_json(self) -> bytes:
        """Return the journal's form of it."""
        return orjson.dumps(self)

    @classmethod
    def from_json(cls, data: bytes) -> Envelope:
        """Read the journal's form; unknown keys are ignored so that a newer writer can be read."""
        raw: dict[str, Any] = orjson.loads(data)
        raw["recipients"] = tuple(_recipient(r) for r in raw["recipients"])
        raw["kind"] = Kind(raw["kind"])
        raw["origin"] = Origin(**_known(raw.get("origin", {}), Origin))
        by = raw.get("deliver_by")
        raw["deliver_by"] = DeliverBy(**_known(by, DeliverBy)) if by else None
        raw["verdicts"] = tuple(verdict_from(verdict) for verdict in raw.get("verdicts", ()))
        return cls(**_known(raw, cls))


def _recipient(raw: dict[str, Any]) -> Recipient:
    raw["lane"] = Lane(raw["lane"])
    return Recipient(**_known(raw, Recipient))


def _known(raw: dict[str, Any], cls: type) -> dict[str, Any]:
    names = cls.__dataclass_fields__  # type: ignore[attr-defined]
    return raw if raw.keys() <= names.keys() else {key: value for key, value in raw.items() if key in names}
