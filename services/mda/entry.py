"""An entry being worked on: its lease, its envelope, its bytes, and what is rendered of them."""

from __future__ import annotations

from dataclasses import dataclass

from shared.journal.reference import Reference
from shared.message.envelope import Envelope
from shared.message.header import find_header_end, iterate_fields
from shared.message.rendered import Rendered
from shared.message.verdict import Verdict
from shared.queue.delivery import Lease


@dataclass(slots=True)
class Entry:
    """One leased entry; `message` is the record's bytes, without any recipient's prefix."""

    lease: Lease
    reference: Reference  # replaced if the bytes have to be appended again
    envelope: Envelope
    message: bytes
    rendered: Rendered
    scanned: tuple[Verdict, ...] = ()  # what the MDA's scanners and filters said
    added: bytes = b""  # header fields that they add to each recipient's copy

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What all scanners said, those at the MTA first: Sieve's spamtest and virustest ask shared.filters.verdict."""
        return (*self.envelope.verdicts, *self.scanned)

    @property
    def id(self) -> str:
        """The entry's id."""
        return self.envelope.id

    def header_values(self, name: bytes) -> list[str]:
        """Return the values of all header fields of a lower-case name."""
        end = find_header_end(self.message)
        return [
            field.value.strip().decode("utf-8", "replace")
            for field in iterate_fields(self.message, 0, end)
            if field.name.lower() == name
        ]
