"""From leases to entries: records read, verified and rendered, in a thread, a bounded batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.mda.entry import Entry
from services.mda.unparsed import unparsed
from shared.errors import TemporaryFailure
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.message.rendered import Rendered, render
from shared.queue.delivery import Lease

GROUP_BYTES = 8 * 1024 * 1024  # octets of messages in memory at a time, unless a single one is longer


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry whose record can't be had where its reference says."""

    lease: Lease
    failure: TemporaryFailure


def groups(leases: Sequence[Lease]) -> Iterator[list[Lease]]:
    """Cut leases into groups that are worked on together; each fits into memory."""
    group: list[Lease] = []
    size = 0
    for lease in leases:
        more = Reference.decode(lease.item.reference).size
        if group and size + more > GROUP_BYTES:
            yield group
            group, size = [], 0
        group.append(lease)
        size += more
    if group:
        yield group


def load(reader: Reader, leases: Sequence[Lease]) -> list[Entry | Unreadable]:
    """Read and render entries; blocks."""
    return [load_one(reader, lease, Reference.decode(lease.item.reference)) for lease in leases]


def load_one(reader: Reader, lease: Lease, reference: Reference, *, parse: bool = True) -> Entry | Unreadable:
    """Read one entry and render it, or not unless `parse`; blocks."""
    try:
        envelope, message = reader.record(reference)
    except TemporaryFailure as failure:
        return Unreadable(lease, failure)
    return Entry(lease, reference, envelope, message, _rendered(message) if parse else unparsed(message))


def _rendered(message: bytes) -> Rendered:
    try:
        return render(message)
    except Exception:  # noqa: BLE001 - whatever is wrong with the parser, the message has to arrive
        return unparsed(message)
