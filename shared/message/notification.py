"""A delivery status notification as an entry of its own: the child of the message that it reports on (RFC 3464)."""

from __future__ import annotations

from datetime import UTC, datetime

from shared.message.dsn import DsnKind, DsnRecipient, DsnReport
from shared.message.envelope import Envelope, Kind, Lane, Origin, Recipient


def report_on(
    parent: Envelope,
    kind: DsnKind,
    recipient: DsnRecipient,
    *,
    identity: str,
    hostname: str,
    original: bytes,
    at: float,
) -> DsnReport:
    """Return what is reported of one recipient; `identity` is the child's id, `at` in Unix seconds."""
    return DsnReport(
        kind=kind,
        sender=parent.sender,
        recipients=(recipient,),
        reporting_mta=hostname,
        date=datetime.fromtimestamp(at, UTC),
        arrival=datetime.fromtimestamp(parent.received_at / 1_000_000, UTC),
        message_id=f"<{identity}@{hostname}>",
        boundary=f"=_{identity}",
        original=original,
        entry_id=parent.id,
        envid=parent.envid,
        ret=parent.ret,
        smtputf8=parent.smtputf8,
    )


def notification(
    parent: Envelope, report: DsnReport, body: bytes, *, identity: str, lane: Lane, service: str, at: float
) -> Envelope:
    """Return the envelope of a report's `body`: from the null reverse-path, so that nothing is reported of it."""
    return Envelope(
        id=identity,
        sender="",
        recipients=(Recipient(parent.sender, lane, notify="NEVER"),),
        received_at=int(at * 1_000_000),
        kind=Kind.BOUNCE,
        parent=parent.id,
        hops=parent.hops + 1,
        smtputf8=parent.smtputf8,
        eight_bit=not body.isascii(),
        message_id=report.message_id,
        origin=Origin(service=service),
    )
