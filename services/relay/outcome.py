"""From an attempt's outcomes to what is recorded: ledger and pending rows, and notices to senders."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from services.relay.schedule import Schedule, Step
from services.relay.state import EntryState
from shared.journal.reference import Reference
from shared.message.dsn import DsnKind
from shared.message.envelope import Envelope, Lane, Recipient
from shared.operations.notice import Notice, wants
from shared.operations.origin import origin_json
from shared.smtp.outcome import Deferred, Delivered, Failed, Outcome
from shared.smtp.reply import Reply

MAX_REASON = 1000  # characters
MAX_SITE = 300  # characters of a site that an attempt keeps
EXPIRED = "5.4.7"  # RFC 3463: delivery time expired


@dataclass(frozen=True, slots=True)
class Report:
    """What became of some recipients of an entry in one attempt; `held` ones wait for the operator."""

    envelope: Envelope
    reference: Reference
    state: EntryState
    outcomes: tuple[tuple[Recipient, Outcome], ...]
    site: str = ""
    held: bool = False


@dataclass(frozen=True, slots=True)
class Final:
    """A ledger row to be; `notice` is journaled before it is inserted."""

    envelope: Envelope
    recipient: str
    outcome: str
    detail: dict[str, Any]
    at: int  # Unix microseconds
    notice: Notice | None = None

    def row(self) -> tuple[Any, ...]:
        """Return the values of relay.sql's `record`."""
        envelope = self.envelope
        detail = dict(self.detail, child=self.notice.child) if self.notice else self.detail
        text = f'{orjson.dumps(detail).decode()[:-1]},"origin":{origin_json(envelope)}}}'
        return (
            envelope.id, self.recipient, self.recipient, self.outcome, self.at,
            envelope.sender, envelope.message_id, text,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wait:
    """A pending row to be; times in Unix seconds."""

    report: Report
    recipient: str
    due_at: float
    attempts: int
    reason: str
    warned: bool
    notice: Notice | None = None
    attempt: dict[str, Any] = field(default_factory=dict)
    at: float = 0.0

    def attempt_row(self) -> tuple[Any, ...]:
        """Return the values of relay.sql's `insert_attempts`."""
        return self.report.envelope.id, self.recipient, int(self.at * 1e6), orjson.dumps(self.attempt).decode()

    def row(self, segment_id: int) -> tuple[Any, ...]:
        """Return the values of relay.sql's `defer`."""
        envelope, ref = self.report.envelope, self.report.reference
        place = (segment_id, ref.offset, ref.length, ref.body, ref.inline, ref.size, ref.large)
        times = (int(self.due_at * 1e6), envelope.received_at, self.attempts, int(self.warned), int(self.report.held))
        head = (envelope.id, self.recipient, self.recipient, Lane.RELAY.value)
        return (*head, *place, *times, self.report.site, self.reason, envelope.sender, envelope.message_id)


@dataclass(slots=True)
class Verdicts:
    """All that a report leads to."""

    site: str = ""
    finals: list[Final] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)

    @property
    def due(self) -> float | None:
        """When the entry is to come back, None if nothing waits."""
        return min((wait.due_at for wait in self.waits if not wait.report.held), default=None)

    def notices(self) -> Iterable[Notice]:
        """The notices in them."""
        every: list[Final | Wait] = [*self.finals, *self.waits]
        return (one.notice for one in every if one.notice is not None)


def judge(report: Report, schedule: Schedule, now: float) -> Verdicts:
    """Decide what is recorded of a report at `now`, Unix seconds."""
    verdicts = Verdicts(report.site)
    for recipient, outcome in report.outcomes:
        match outcome:
            case Delivered():
                verdicts.finals.append(_relayed(report, recipient, outcome, now))
            case Failed():
                status = outcome.reply.status or "5.0.0"
                verdicts.finals.append(_failed(report, recipient, outcome, status, now))
            case Deferred():
                _judge_deferred(verdicts, report, recipient, outcome, schedule, now)
    return verdicts


def _judge_deferred(
    verdicts: Verdicts, report: Report, recipient: Recipient, outcome: Deferred, schedule: Schedule, now: float
) -> None:
    envelope, waiting = report.envelope, report.state.waiting.get(recipient.address)
    accepted, null_sender = envelope.received_at / 1e6, not envelope.sender
    attempts = (waiting.attempts if waiting else 0) + 1
    warned = waiting.warned if waiting else False
    step = _by_deadline(
        envelope, now, warned, schedule.after_failure(accepted, now, warned=warned, null_sender=null_sender)
    )
    if step is Step.EXPIRE and not report.held:
        verdicts.finals.append(_failed(report, recipient, outcome, EXPIRED, now, expired=True))
        return
    due = schedule.next_attempt(accepted, now, attempts, null_sender=null_sender, spread=random.random())
    if envelope.deliver_by is not None and envelope.deliver_by.seconds_left(now) > 0:
        due = min(due, envelope.deliver_by.deadline / 1e6)
    notice = None
    if step is Step.WARN and not report.held and wants(DsnKind.DELAYED, envelope, recipient):
        until = schedule.expires_at(accepted, null_sender=null_sender)
        status = outcome.reply.status or "4.0.0"
        notice = Notice(
            DsnKind.DELAYED, envelope, report.reference, recipient, outcome.reply, outcome.host, status, now, until
        )
    reason = _reason(outcome.reply, outcome.host)
    attempt = {"attempt": attempts, "site": report.site[:MAX_SITE], **attempt_of(outcome)}
    verdicts.waits.append(
        Wait(report, recipient.address, due, attempts, reason, warned or step is Step.WARN, notice, attempt, now)
    )


def _by_deadline(envelope: Envelope, now: float, warned: bool, step: Step) -> Step:
    """RFC 2852 §4.1.4: once the time is over it goes back, or its sender is told of the delay."""
    by = envelope.deliver_by
    if by is None or by.seconds_left(now) > 0 or step is Step.EXPIRE:
        return step
    if by.returns:
        return Step.EXPIRE
    return step if warned or not envelope.sender else Step.WARN


def _relayed(report: Report, recipient: Recipient, outcome: Delivered, now: float) -> Final:
    notice = None
    if _traced(report.envelope, recipient) or (not outcome.dsn and wants(DsnKind.RELAYED, report.envelope, recipient)):
        status = outcome.reply.status or "2.0.0"
        notice = Notice(
            DsnKind.RELAYED, report.envelope, report.reference, recipient, outcome.reply, outcome.host, status, now
        )
    return Final(report.envelope, recipient.address, "relayed", attempt_of(outcome), int(now * 1e6), notice)


def _traced(envelope: Envelope, recipient: Recipient) -> bool:
    """RFC 2852 §4: with T each relaying is reported."""
    by = envelope.deliver_by
    return by is not None and by.trace and bool(envelope.sender) and recipient.notify != "NEVER"


def attempt_of(outcome: Outcome) -> dict[str, Any]:
    """Return what is kept of an attempt: host, address, TLS, reply, seconds."""
    via = outcome.via
    went = {"address": via.address, "tls": via.tls, "seconds": via.seconds} if via is not None else {}
    return {"host": outcome.host, **went, "reply": str(outcome.reply)}


def _failed(
    report: Report, recipient: Recipient, failure: Failed | Deferred, status: str, now: float, *, expired: bool = False
) -> Final:
    """A failure that nobody may be told of is on record as `failed`."""
    reply, host = failure.reply, failure.host
    detail = attempt_of(failure) | ({"expired": True} if expired else {})
    notice = None
    if wants(DsnKind.FAILED, report.envelope, recipient):
        notice = Notice(DsnKind.FAILED, report.envelope, report.reference, recipient, reply, host, status, now)
    outcome = "bounced" if notice else "failed"
    return Final(report.envelope, recipient.address, outcome, detail, int(now * 1e6), notice)


def _reason(reply: Reply, host: str) -> str:
    return (f"{host}: {reply}" if host else str(reply))[:MAX_REASON]
