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
    build_dsn,
)
from shared.message.envelope import Envelope, Kind, Lane, Recipient
from shared.message.notification import notification, report_on
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
    """Writes a service's notifications to the journal; the queue learns of them after the parent's commit."""

    def __init__(
        self,
        service: str,
        writer: Writer,
        reader: Reader,
        hostname: str,
        is_local: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._service = service
        self._writer = writer
        self._reader = reader
        self._hostname = hostname
        self._is_local = is_local

    async def journal(self, notice: Notice) -> Item:
        """Make a notification durable and return its reference; JournalFull, JournalFailed, RecordUnavailable."""
        parent, identity = notice.envelope, notice.child
        size = min(notice.reference.size, ORIGINAL_LIMIT)
        original = await asyncio.to_thread(self._reader.pread, notice.reference, 0, size)
        report = report_on(
            parent,
            notice.kind,
            _dsn_recipient(notice),
            identity=identity,
            hostname=self._hostname,
            original=original,
            at=notice.at,
        )
        body = build_dsn(report)
        lane = await self._lane(parent.sender)
        child = notification(parent, report, body, identity=identity, lane=lane, service=self._service, at=notice.at)
        return Item(identity, lane, (await self._writer.append(child, body)).encode())

    async def _lane(self, sender: str) -> Lane:
        try:
            domain = parse_address(sender).domain
        except AddressError:
            return Lane.RELAY
        return Lane.DELIVERY if await self._is_local(domain) else Lane.RELAY


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
