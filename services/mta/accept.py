"""The step after which a message is ours: trace headers, the journal, 250, the queue, in this order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from services.mta.body import Text
from services.mta.client import Client, Role, Transaction
from services.mta.commands import Mail
from services.mta.limits import MAX_RECEIVED
from shared.errors import PermanentFailure
from shared.journal.record import LARGE_THRESHOLD, LargeFile
from shared.journal.reference import Reference
from shared.journal.writer import LargeUpload
from shared.message.compose import complete_headers, received_header
from shared.message.envelope import DeliverBy, Envelope, Recipient
from shared.message.header import unfold
from shared.queue.delivery import Item

MAX_MESSAGE_ID = 500  # octets that the envelope keeps

_MESSAGE_ID = re.compile(rb"(?im)^message-id[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*)")


class Journal(Protocol):
    """What is asked of the journal's writer."""

    async def append(
        self, envelope: Envelope, body: bytes | Sequence[bytes], large: LargeFile | None = None
    ) -> Reference: ...

    def large(self, entry_id: str) -> LargeUpload: ...

    async def check_space(self) -> None: ...

    @property
    def has_space(self) -> bool: ...


class Screen(Protocol):
    """Scanners and milters, which may change a message or refuse it."""

    async def examine(
        self, client: Client, transaction: Transaction, envelope: Envelope, content: bytes, large: LargeFile | None
    ) -> tuple[Envelope, bytes, LargeFile | None]: ...


class Acceptance:
    """Takes over whole messages; a refusal is a MailFailure with the reply."""

    def __init__(
        self,
        journal: Journal,
        put: Callable[[Item], None],
        hostname: str,
        clock: Callable[[], float],
        screen: Screen | None = None,
    ) -> None:
        self._journal = journal
        self._put = put
        self._hostname = hostname
        self._clock = clock  # Unix time, seconds
        self._screen = screen

    async def check_space(self) -> None:
        """JournalFull or JournalFailed when nothing can be taken now: better said before the text."""
        await self._journal.check_space()

    @property
    def has_space(self) -> bool:
        """Whether `check_space` would find nothing wrong, as far as that is known without waiting."""
        return self._journal.has_space

    def begin_upload(self, entry: str) -> LargeUpload:
        """Begin the file of a large message."""
        return self._journal.large(entry)

    async def accept(self, client: Client, transaction: Transaction, text: Text) -> Envelope:
        """Make a message durable, hand it to its lanes; who gets this result may say 250."""
        header = text.head[: text.header_size]
        lowered = header.lower()
        _check_header(client, lowered, text)
        message_id = _message_id(header, lowered)
        now = self._clock()
        envelope = self._envelope(client, transaction, message_id, now)
        pieces, large = self._message(client, envelope, text, now), text.large
        if self._screen is not None:
            content = b"".join(pieces[1:])
            envelope, content, large = await self._screen.examine(client, transaction, envelope, content, large)
            pieces = [pieces[0], content]
        reference = await self._journal.append(envelope, pieces, large)
        encoded = reference.encode()
        for lane in envelope.lanes:
            self._put(Item(envelope.id, lane, encoded))
        return envelope

    def _envelope(self, client: Client, transaction: Transaction, message_id: str, now: float) -> Envelope:
        mail = transaction.mail
        if not message_id and client.role is Role.SUBMISSION:
            message_id = _own_message_id(transaction.entry, self._hostname)
        return Envelope(
            id=transaction.entry,
            sender=str(mail.sender) if mail.sender is not None else "",
            recipients=tuple(transaction.recipients.values()),
            received_at=int(now * 1_000_000),
            ret=mail.ret,
            envid=mail.envid,
            deliver_by=_deliver_by(mail, now),
            smtputf8=mail.smtputf8,
            eight_bit=mail.eight_bit,
            message_id=message_id,
            origin=client.origin(smtputf8=mail.smtputf8),
        )

    def _message(self, client: Client, envelope: Envelope, text: Text, now: float) -> list[bytes]:
        date = _date(int(now))
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
        if client.role is not Role.SUBMISSION:
            return [received, text.head]
        header, rest = text.head[: text.header_size], text.head[text.header_size :]
        completed = complete_headers(header, message_id=_own_message_id(envelope.id, self._hostname), date=date)
        return [received, completed, rest]


def _deliver_by(mail: Mail, now: float) -> DeliverBy | None:
    by = mail.by
    return DeliverBy(int((now + by.seconds) * 1_000_000), by.mode, by.trace) if by is not None else None


def _check_header(client: Client, lowered: bytes, text: Text) -> None:
    """Refuse loops, and on submission a header too long to be completed."""
    if lowered.count(b"\nreceived:") + lowered.startswith(b"received:") > MAX_RECEIVED:
        raise PermanentFailure("Too many hops: this message goes in circles", code=554, status="5.4.6")
    if client.role is Role.SUBMISSION and text.large is not None and len(lowered) >= LARGE_THRESHOLD:
        raise PermanentFailure("The header is too long", code=552, status="5.3.4")


def _message_id(header: bytes, lowered: bytes) -> str:
    """Return the Message-ID for the logs, "" if there is none."""
    found = lowered.find(b"message-id")
    match = _MESSAGE_ID.search(header, found) if found >= 0 else None
    return unfold(match[1])[:MAX_MESSAGE_ID].decode("utf-8", "replace") if match else ""


@lru_cache(maxsize=2)
def _date(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def _own_message_id(entry: str, hostname: str) -> str:
    return f"<{entry}@{hostname}>"


def _named(recipients: tuple[Recipient, ...]) -> tuple[str, ...]:
    return (recipients[0].address,) if len(recipients) == 1 else ()
