"""From leases to entries: records read, verified and rendered, in a thread, a bounded batch at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from services.mda.entry import Entry
from services.mda.unparsed import unparsed
from shared.errors import TemporaryFailure
from shared.journal.reader import Reader, RecordUnavailable
from shared.journal.reference import Reference
from shared.message.envelope import Envelope
from shared.message.rendered import Rendered, render
from shared.queue.delivery import Lease

log = structlog.get_logger(__name__)

GROUP_BYTES = 8 * 1024 * 1024  # octets of messages in memory at a time, unless a single one is longer


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry whose record can't be had where its reference says."""

    lease: Lease
    failure: TemporaryFailure


@dataclass(frozen=True, slots=True)
class Pending:
    """A lease with its decoded reference."""

    lease: Lease
    reference: Reference

    @classmethod
    def of(cls, lease: Lease) -> Pending:
        """Decode a lease's reference; ValueError if it is none."""
        return cls(lease, Reference.decode(lease.item.reference))


def groups(leases: Iterable[Lease]) -> Iterator[list[Pending]]:
    """Cut leases into groups that are worked on together; each fits into memory."""
    group: list[Pending] = []
    size = 0
    for work in map(Pending.of, leases):
        if group and size + work.reference.size > GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(work)
        size += work.reference.size
    if group:
        yield group


def load(reader: Reader, group: Sequence[Pending], *, parse: bool = True) -> list[Entry | Unreadable]:
    """Read entries and render them, or not unless `parse`; blocks."""
    records = reader.record_many([work.reference for work in group])
    return [_loaded(work, record, parse) for work, record in zip(group, records, strict=True)]


def _loaded(work: Pending, record: tuple[Envelope, bytes] | RecordUnavailable, parse: bool) -> Entry | Unreadable:
    if isinstance(record, RecordUnavailable):
        return Unreadable(work.lease, record)
    envelope, message = record
    rendered = _rendered(envelope.id, message) if parse else unparsed(message)
    return Entry(work.lease, work.reference, envelope, message, rendered)


def _rendered(entry: str, message: bytes) -> Rendered:
    try:
        return render(message)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with the parser, the message has to arrive
        log.error("delivered unparsed", entry=entry, error=repr(error))
        return unparsed(message)
