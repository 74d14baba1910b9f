"""The report to a sender whose message the operator gave up (RFC 3464)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

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

ORIGINAL_LIMIT = max(MAX_RETURNED_BYTES, MAX_RETURNED_HEADER_BYTES) + 1  # octets read of the original
STATUS = "5.7.0"
TEXT = "An operator of this system returned the message"


def bounce_id(envelope: Envelope, recipient: str) -> str:
    """Return the report's id: the same that the relay's would have, so that there is one at most."""
    return child_id(envelope.id, recipient, Kind.BOUNCE.value, f"{DsnKind.FAILED}:{envelope.sender}")


class Bounces:
    """Journals reports; `put` hands one to the queue once its parent's outcome is committed."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        hostname: str,
        is_local: Callable[[str], Awaitable[bool]],
        put: Callable[[Item], None],
    ) -> None:
        self._writer, self._reader, self._hostname = writer, reader, hostname
        self._is_local = is_local
        self.put = put

    async def journal(self, envelope: Envelope, reference: Reference, recipient: str) -> Item:
        """Make a report durable; JournalFull, JournalFailed, RecordUnavailable."""
        size = min(reference.size, ORIGINAL_LIMIT)
        original = await asyncio.to_thread(self._reader.pread, reference, 0, size)
        identity = bounce_id(envelope, recipient)
        body = build_dsn(self._report(envelope, recipient, identity, original))
        lane = await self._lane(envelope.sender)
        child = Envelope(
            id=identity,
            sender="",
            recipients=(Recipient(envelope.sender, lane, notify="NEVER"),),
            received_at=int(time.time() * 1e6),
            kind=Kind.BOUNCE,
            parent=envelope.id,
            hops=envelope.hops + 1,
            smtputf8=envelope.smtputf8,
            eight_bit=not body.isascii(),
            message_id=f"<{identity}@{self._hostname}>",
            origin=Origin(service="admin"),
        )
        return Item(identity, lane, (await self._writer.append(child, body)).encode())

    def _report(self, envelope: Envelope, recipient: str, identity: str, original: bytes) -> DsnReport:
        now = datetime.now(UTC)
        orcpt = next((r.orcpt for r in envelope.recipients if r.address == recipient), "")
        reported = DsnRecipient(recipient, STATUS, orcpt, diagnostic=TEXT, diagnostic_is_smtp=False, last_attempt=now)
        return DsnReport(
            kind=DsnKind.FAILED,
            sender=envelope.sender,
            recipients=(reported,),
            reporting_mta=self._hostname,
            date=now,
            arrival=datetime.fromtimestamp(envelope.received_at / 1e6, UTC),
            message_id=f"<{identity}@{self._hostname}>",
            boundary=f"=_{identity}",
            original=original,
            entry_id=envelope.id,
            envid=envelope.envid,
            ret=envelope.ret,
            smtputf8=envelope.smtputf8,
        )

    async def _lane(self, sender: str) -> Lane:
        try:
            domain = parse_address(sender).domain
        except AddressError:
            return Lane.RELAY
        return Lane.DELIVERY if await self._is_local(domain) else Lane.RELAY
