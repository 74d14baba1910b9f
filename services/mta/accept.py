"""The step after which a message is ours: trace headers, the journal, 250, the queue, in this order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

from services.mta.body import Text
from services.mta.client import Client, Role, Transaction
from services.mta.limits import MAX_RECEIVED
from shared.errors import PermanentFailure
from shared.journal.record import LARGE_THRESHOLD, LargeFile
from shared.journal.reference import Reference
from shared.journal.writer import LargeUpload
from shared.message.compose import complete_headers, received_header
from shared.message.envelope import Envelope, Recipient
from shared.message.header import parse_headers
from shared.queue.delivery import Item

MAX_MESSAGE_ID = 500  # octets that the envelope keeps


class Journal(Protocol):
    """What is asked of the journal's writer."""

    async def append(
        self, envelope: Envelope, body: bytes | Sequence[bytes], large: LargeFile | None = None
    ) -> Reference: ...

    def large(self, entry_id: str) -> LargeUpload: ...

    async def check_space(self) -> None: ...


class Acceptance:
    """Takes over whole messages; a refusal is a MailFailure with the reply."""

    def __init__(
        self, journal: Journal, put: Callable[[Item], None], hostname: str, clock: Callable[[], float]
    ) -> None:
        self._journal = journal
        self._put = put
        self._hostname = hostname
        self._clock = clock  # Unix time, seconds

    async def check_space(self) -> None:
        """JournalFull or JournalFailed when nothing can be taken now: better said before the text."""
        await self._journal.check_space()

    def begin_upload(self, entry: str) -> LargeUpload:
        """Begin the file of a large message."""
        return self._journal.large(entry)

    async def accept(self, client: Client, transaction: Transaction, text: Text) -> Envelope:
        """Make a message durable, hand it to its lanes; who gets this result may say 250."""
        _check_header(client, text)
        now = self._clock()
        envelope = self._envelope(client, transaction, text, now)
        reference = await self._journal.append(envelope, self._message(client, envelope, text, now), text.large)
        encoded = reference.encode()
        for lane in envelope.lanes:
            self._put(Item(envelope.id, lane, encoded))
        return envelope

    def _envelope(self, client: Client, transaction: Transaction, text: Text, now: float) -> Envelope:
        mail = transaction.mail
        return Envelope(
            id=transaction.entry,
            sender=str(mail.sender) if mail.sender is not None else "",
            recipients=tuple(transaction.recipients.values()),
            received_at=int(now * 1_000_000),
            ret=mail.ret,
            envid=mail.envid,
            smtputf8=mail.smtputf8,
            eight_bit=mail.eight_bit,
            message_id=_message_id(text, transaction.entry, self._hostname, client.role),
            origin=client.origin(smtputf8=mail.smtputf8),
        )

    def _message(self, client: Client, envelope: Envelope, text: Text, now: float) -> list[bytes]:
        date = datetime.fromtimestamp(now, UTC)
        received = received_header(
            helo=client.helo,
            ip=client.ip,
            by=self._hostname,
            protocol=envelope.origin.protocol,
            entry_id=envelope.id,
            date=date,
            recipients=_named(envelope.recipients),
            tls=client.tls,
        )
        if client.role is Role.MX:
            return [received, text.head]
        header, rest = text.head[: text.header_size], text.head[text.header_size :]
        completed = complete_headers(header, message_id=_own_message_id(envelope.id, self._hostname), date=date)
        return [received, completed, rest]


def _check_header(client: Client, text: Text) -> None:
    """Refuse loops, and on submission a header too long to be completed."""
    header = text.head[: text.header_size].lower()
    if header.count(b"\nreceived:") + header.startswith(b"received:") > MAX_RECEIVED:
        raise PermanentFailure("Too many hops: this message goes in circles", code=554, status="5.4.6")
    if client.role is Role.SUBMISSION and text.large is not None and len(header) >= LARGE_THRESHOLD:
        raise PermanentFailure("The header is too long", code=552, status="5.3.4")


def _message_id(text: Text, entry: str, hostname: str, role: Role) -> str:
    """Return the Message-ID for the logs, "" if there is none."""
    header = text.head[: text.header_size]
    found = header.lower().find(b"message-id")
    if found >= 0:
        value = parse_headers(header).get(b"message-id")
        if value is not None:
            return value[:MAX_MESSAGE_ID].decode("utf-8", "replace")
    return _own_message_id(entry, hostname) if role is Role.SUBMISSION else ""


def _own_message_id(entry: str, hostname: str) -> str:
    return f"<{entry}@{hostname}>"


def _named(recipients: tuple[Recipient, ...]) -> tuple[str, ...]:
    return (recipients[0].address,) if len(recipients) == 1 else ()
