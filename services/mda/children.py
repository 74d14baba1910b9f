"""Messages made from an entry: redirects and delivery status notifications.

A child's id follows from its parent, recipient, kind and target, so a repeat makes the same child. It is
journaled before the parent's outcome is committed and pushed to the queue after; if that doesn't happen,
the sweep finds it (DESIGN §5).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from services.mda.entry import Entry
from services.mda.failure import Failure
from shared.address import Address, AddressError, parse_address
from shared.directory import Directory
from shared.ids import child_id
from shared.journal.record import LARGE_THRESHOLD
from shared.journal.reference import Reference
from shared.journal.writer import Writer
from shared.message.compose import delivered_to_header
from shared.message.dsn import DsnKind, DsnRecipient, build_dsn
from shared.message.envelope import DeliverBy, Envelope, Kind, Lane, Origin, Recipient
from shared.message.notification import notification, report_on
from shared.queue.delivery import Item

UPLOAD_CHUNK = 1024 * 1024  # octets handed over at a time


@dataclass(frozen=True, slots=True)
class Child:
    """A message to be journaled: `head` and `body` are its octets."""

    envelope: Envelope
    head: bytes
    body: bytes

    @property
    def id(self) -> str:
        """The child's entry id."""
        return self.envelope.id


@dataclass(frozen=True, slots=True)
class Wish:
    """What a redirect asks of the next server (RFC 6009); "" for what the message came with."""

    notify: str = ""
    ret: str = ""
    deliver_by: DeliverBy | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to be written; `compose` is given its Message-ID and date, `name` tells several of one kind apart."""

    compose: Callable[[str, datetime], bytes]
    name: str = ""


NO_WISH = Wish()


class Children:
    """Makes and journals children; `hostname` is what reports name as their author."""

    def __init__(
        self,
        writer: Writer,
        directory: Directory,
        hostname: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._directory = directory
        self._hostname = hostname
        self._clock = clock

    async def redirect(
        self, entry: Entry, recipient: Recipient, target: Address, *, wish: Wish = NO_WISH, body: bytes | None = None
    ) -> Child:
        """Send the message on, from its sender by way of us (SRS); a field is added by which a loop is known.

        `body` is the message as a filter changed it.
        """
        parent = entry.envelope
        to = str(target)
        envelope = Envelope(
            id=child_id(parent.id, recipient.address, Kind.REDIRECT, to),
            sender=await self._return_path(parent.sender, recipient),
            recipients=(
                Recipient(
                    to,
                    await self._lane(target),
                    orcpt=recipient.orcpt or f"rfc822;{recipient.address}",
                    notify=wish.notify or without_success(recipient.notify),
                ),
            ),
            received_at=parent.received_at,
            kind=Kind.REDIRECT,
            parent=parent.id,
            hops=parent.hops + 1,
            ret=wish.ret or parent.ret,
            envid=parent.envid,
            deliver_by=wish.deliver_by or parent.deliver_by,
            smtputf8=parent.smtputf8 or not target.is_ascii,
            eight_bit=parent.eight_bit,
            message_id=parent.message_id,
            origin=Origin(service="mda"),
        )
        return Child(envelope, delivered_to_header(recipient.address), entry.message if body is None else body)

    async def automatic(
        self, entry: Entry, recipient: Recipient, kind: Kind, account: str, targets: Iterable[Address], message: Draft
    ) -> list[Child]:
        """Write to somebody in an account's name, from `<>`; a child for each lane (RFC 3834 §4, RFC 5436 §2.2)."""
        lanes: dict[Lane, list[Recipient]] = {}
        for target in targets:
            lane = await self._lane(target)
            lanes.setdefault(lane, []).append(Recipient(str(target), lane, notify="NEVER"))
        return [
            self._automatic(entry, recipient, kind, f"{account}\0{lane}", to, message) for lane, to in lanes.items()
        ]

    def _automatic(
        self, entry: Entry, recipient: Recipient, kind: Kind, what: str, to: list[Recipient], message: Draft
    ) -> Child:
        identity = child_id(entry.id, recipient.address, kind.value, what, message.name)
        message_id = f"<{identity}@{self._hostname}>"
        body = message.compose(message_id, datetime.fromtimestamp(self._clock(), UTC))
        envelope = Envelope(
            id=identity,
            sender="",
            recipients=tuple(to),
            received_at=int(self._clock() * 1_000_000),
            kind=kind,
            parent=entry.id,
            smtputf8=not all(one.address.isascii() for one in to),
            eight_bit=not body.isascii(),
            message_id=message_id,
            origin=Origin(service="mda"),
        )
        return Child(envelope, b"", body)

    async def _return_path(self, sender: str, recipient: Recipient) -> str:
        address = _parsed(sender)
        if address is None:
            return sender
        return str(await self._directory.return_path(address, recipient.address.rpartition("@")[2].lower()))

    async def _lane(self, target: Address) -> Lane:
        return Lane.DELIVERY if await self._directory.is_local_domain(target.domain) else Lane.RELAY

    async def bounce(self, entry: Entry, recipient: Recipient, target: str, failure: Failure) -> Child | None:
        """Report a failure to the sender; None where no report may be sent (RFC 5321 §6.1, RFC 3461 §4.1)."""
        if not _wants(recipient.notify, "FAILURE"):
            return None
        reported = DsnRecipient(
            target, failure.status, recipient.orcpt, diagnostic=str(failure), diagnostic_is_smtp=False
        )
        return await self._report(entry, recipient, target, DsnKind.FAILED, reported)

    async def success(self, entry: Entry, recipient: Recipient, *, expanded: bool) -> Child | None:
        """Report a delivery, or that only others were passed the message; None unless it was asked for."""
        if "SUCCESS" not in recipient.notify.split(","):
            return None
        kind = DsnKind.EXPANDED if expanded else DsnKind.DELIVERED
        reported = DsnRecipient(recipient.address, "2.0.0", recipient.orcpt)
        return await self._report(entry, recipient, recipient.address, kind, reported)

    async def journal(self, child: Child) -> Item:
        """Make a child durable and return what to push to the queue; JournalFull, JournalFailed."""
        lane = child.envelope.recipients[0].lane
        return Item(child.id, lane, (await store(self._writer, child.envelope, child.head, child.body)).encode())

    async def write(self, envelope: Envelope, body: bytes) -> Reference:
        """Make a message durable that goes nowhere but into a mailbox; JournalFull, JournalFailed."""
        return await store(self._writer, envelope, b"", body)

    async def _report(
        self, entry: Entry, recipient: Recipient, target: str, kind: DsnKind, reported: DsnRecipient
    ) -> Child | None:
        parent = entry.envelope
        sender = _parsed(parent.sender)
        if sender is None:
            return None
        identity = child_id(parent.id, recipient.address, kind.value, target)
        now, original = self._clock(), entry.message
        report = report_on(
            parent, kind, reported, identity=identity, hostname=self._hostname, original=original, at=now
        )
        body = build_dsn(report)
        lane = await self._lane(sender)
        envelope = notification(parent, report, body, identity=identity, lane=lane, service="mda", at=now)
        return Child(envelope, b"", body)


async def store(writer: Writer, envelope: Envelope, head: bytes, body: bytes) -> Reference:
    """Append a message, a long body to a file of its own; JournalFull, JournalFailed."""
    if len(body) <= LARGE_THRESHOLD:
        return await writer.append(envelope, (head, body))
    upload = writer.large(envelope.id)
    try:
        view = memoryview(body)
        for start in range(0, len(body), UPLOAD_CHUNK):
            await upload.write(bytes(view[start : start + UPLOAD_CHUNK]))
        return await writer.append(envelope, head, await upload.finish())
    except BaseException:
        await upload.abort()
        raise


def _wants(notify: str, what: str) -> bool:
    return not notify or what in notify.split(",")


def without_success(notify: str) -> str:
    """What is left to the next hop: we report the success of handing over ourselves (RFC 3461 §5.2.7)."""
    kept = [word for word in notify.split(",") if word != "SUCCESS"]
    return ",".join(kept) or ("NEVER" if notify else "")


def _parsed(sender: str) -> Address | None:
    try:
        return parse_address(sender) if sender else None
    except AddressError:
        return None
