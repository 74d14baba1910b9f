"""What goes out in one transaction, read and checked before MAIL is said."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.relay.state import EntryState
from shared.errors import TemporaryFailure
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.message.envelope import DeliverBy, Envelope, Recipient
from shared.queue.sites import SiteItem
from shared.smtp.dots import BareLineEnd, DotStuffer, stuff
from shared.smtp.outcome import Outcome
from shared.smtp.transaction import By, Target, Transaction

MAX_WHOLE = 512 * 1024  # octets up to which a message is read at once
CHECK_PIECE = 1024 * 1024  # octets of a larger one that are looked at together


@dataclass(slots=True, eq=False)
class Job:
    """A part of an entry that is being worked on, and what became of its recipients so far."""

    item: SiteItem
    envelope: Envelope
    reference: Reference
    state: EntryState
    recipients: tuple[Recipient, ...]
    outcomes: list[tuple[Recipient, Outcome]] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether every recipient has an outcome."""
        return len(self.outcomes) == len(self.recipients)


@dataclass(frozen=True, slots=True, eq=False)
class Letter:
    """Some recipients of a job and the message for them; `wire` is None for a message that is streamed."""

    job: Job
    recipients: tuple[Recipient, ...]
    transaction: Transaction
    reference: Reference
    wire: bytes | None
    reader: Reader

    def read(self, position: int, length: int) -> bytes:
        """Return a piece of a large message; RecordUnavailable, and TemporaryFailure at its end."""
        piece = self.reader.pread(self.reference, position, length)
        if not piece:
            raise TemporaryFailure("the message is shorter than it was")
        return piece


@dataclass(frozen=True, slots=True)
class _Message:
    """A message's properties on the wire."""

    wire: bytes | None
    eight_bit: bool
    utf8_header: bool


def make_letters(job: Job, reader: Reader, message: bytes | None, most: int) -> list[Letter]:
    """Return a job's letters of at most `most` recipients; BareLineEnd, RecordUnavailable. It may read files."""
    checked = _check(message) if message is not None else _check_large(reader, job.reference)
    return [
        _letter(job, reader, checked, job.recipients[start : start + most])
        for start in range(0, len(job.recipients), most)
    ]


def _letter(job: Job, reader: Reader, message: _Message, recipients: Sequence[Recipient]) -> Letter:
    envelope = job.envelope
    transaction = Transaction(
        sender=envelope.sender,
        targets=tuple(Target(r.address, r.orcpt, r.notify) for r in recipients),
        size=job.reference.size,
        eight_bit=message.eight_bit,
        smtputf8=envelope.smtputf8 and message.utf8_header,
        ret=envelope.ret,
        envid=envelope.envid,
        by=_by(envelope.deliver_by),
    )
    return Letter(job, tuple(recipients), transaction, job.reference, message.wire, reader)


def _by(by: DeliverBy | None) -> By | None:
    return By(by.seconds_left(time.time()), by.mode, by.trace) if by is not None else None


def _check(message: bytes) -> _Message:
    if message.isascii():
        return _Message(stuff(message), eight_bit=False, utf8_header=False)
    return _Message(stuff(message), eight_bit=True, utf8_header=not _header(message).isascii())


def _check_large(reader: Reader, reference: Reference) -> _Message:
    """Look through the file once: half a message with a bare LF in it must not have gone out."""
    stuffer, eight_bit, position = DotStuffer(), False, 0
    utf8_header = False
    while position < reference.size:
        piece = reader.pread(reference, position, CHECK_PIECE)
        if not piece:
            raise TemporaryFailure("the message is shorter than it was")
        utf8_header = utf8_header or (position == 0 and not _header(piece).isascii())
        eight_bit = eight_bit or not piece.isascii()
        stuffer.encode(piece)
        position += len(piece)
    stuffer.end()
    return _Message(None, eight_bit, utf8_header)


def _header(message: bytes) -> bytes:
    return message[: message.find(b"\r\n\r\n") + 1] or message


__all__ = ["BareLineEnd", "Job", "Letter", "make_letters"]
