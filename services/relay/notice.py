"""Notifications to the sender (RFC 3461, RFC 3464): whether one is due, and the child entry that is it."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from shared.address import AddressError, parse_address
from shared.ids import child_id
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.journal.writer import Writer
from shared.message.dsn import (
    MAX_RETURNED_BYTES,
    MAX_RETURNED_HEADER_BYTES,
    DsnKind,
    DsnRecipient,
    DsnReport,
    build_dsn,
)
from shared.message.envelope import Envelope, Kind, Lane, Origin, Recipient
from shared.queue.delivery import Item
from shared.smtp.reply import Reply

ORIGINAL_LIMIT = max(MAX_RETURNED_BYTES, MAX_RETURNED_HEADER_BYTES) + 1  # octets read of the original

_WORDS = {DsnKind.FAILED: "FAILURE", DsnKind.DELAYED: "DELAY", DsnKind.RELAYED: "SUCCESS"}


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be told of one recipient; `host` is "" where the reply is our own, times in Unix seconds."""

    kind: DsnKind
    envelope: Envelope
    reference: Reference
    recipient: Recipient
    reply: Reply
    host: str
    status: str
    at: float
    retry_until: float | None = None

    @property
    def child(self) -> str:
        """The child's id: the same at each repeat."""
        address = self.recipient.address
        return child_id(self.envelope.id, address, Kind.BOUNCE.value, f"{self.kind}:{self.envelope.sender}")


def wants(kind: DsnKind, envelope: Envelope, recipient: Recipient) -> bool:
    """Say whether the sender is to be told (RFC 3461 §5.2); nothing is said to the null reverse-path."""
    if not envelope.sender:
        return False
    if not recipient.notify:
        return kind is not DsnKind.RELAYED
    return _WORDS[kind] in recipient.notify.split(",")


class Notifier:
    """Writes notifications to the journal; the queue learns of them after the parent's commit."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        hostname: str,
        is_local: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._hostname = hostname
        self._is_local = is_local

    async def journal(self, notice: Notice) -> Item:
        """Make a notification durable and return its reference; JournalFull, JournalFailed, RecordUnavailable."""
        size = min(notice.reference.size, ORIGINAL_LIMIT)
        original = await asyncio.to_thread(self._reader.pread, notice.reference, 0, size)
        body = build_dsn(self._report(notice, original))
        envelope = self._envelope(notice, await self._lane(notice.envelope.sender), eight_bit=not body.isascii())
        reference = await self._writer.append(envelope, body)
        return Item(envelope.id, envelope.recipients[0].lane, reference.encode())

    async def _lane(self, sender: str) -> Lane:
        try:
            domain = parse_address(sender).domain
        except AddressError:
            return Lane.RELAY
        return Lane.DELIVERY if await self._is_local(domain) else Lane.RELAY

    def _envelope(self, notice: Notice, lane: Lane, *, eight_bit: bool) -> Envelope:
        parent = notice.envelope
        return Envelope(
            id=notice.child,
            sender="",
            recipients=(Recipient(parent.sender, lane, notify="NEVER"),),
            received_at=int(notice.at * 1e6),
            kind=Kind.BOUNCE,
            parent=parent.id,
            hops=parent.hops + 1,
            smtputf8=parent.smtputf8,
            eight_bit=eight_bit,
            message_id=self._message_id(notice),
            origin=Origin(service="relay"),
        )

    def _report(self, notice: Notice, original: bytes) -> DsnReport:
        envelope = notice.envelope
        return DsnReport(
            kind=notice.kind,
            sender=envelope.sender,
            recipients=(_dsn_recipient(notice),),
            reporting_mta=self._hostname,
            date=_time(notice.at),
            arrival=_time(envelope.received_at / 1e6),
            message_id=self._message_id(notice),
            boundary=f"=_{notice.child}",
            original=original,
            entry_id=envelope.id,
            envid=envelope.envid,
            ret=envelope.ret,
            smtputf8=envelope.smtputf8,
        )

    def _message_id(self, notice: Notice) -> str:
        return f"<{notice.child}@{self._hostname}>"


def _dsn_recipient(notice: Notice) -> DsnRecipient:
    return DsnRecipient(
        final=notice.recipient.address,
        status=notice.status,
        orcpt=notice.recipient.orcpt,
        remote_mta=notice.host,
        diagnostic=str(notice.reply) if notice.host else notice.reply.text,
        diagnostic_is_smtp=bool(notice.host),
        last_attempt=_time(notice.at),
        will_retry_until=_time(notice.retry_until) if notice.retry_until else None,
    )


def _time(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
