"""Records read for the relay: neighbours at once, large messages' envelopes alone; these run in threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.journal.errors import RecordUnavailable
from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.message.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Loaded:
    """A record; `message` is None if it wasn't read."""

    envelope: Envelope
    message: bytes | None


def load_records(reader: Reader, references: Sequence[Reference | None], most: int) -> list[Loaded | RecordUnavailable]:
    """Return each record, with its message if that has `most` octets or fewer and is all in the record."""
    small = [ref for ref in references if ref is not None and _is_small(ref, most)]
    read = iter(reader.record_many(small))
    results: list[Loaded | RecordUnavailable] = []
    for ref in references:
        if ref is None:
            results.append(RecordUnavailable("the queue's reference is malformed"))
        elif _is_small(ref, most):
            found = next(read)
            results.append(found if isinstance(found, RecordUnavailable) else Loaded(*found))
        else:
            results.append(_envelope_alone(reader, ref))
    return results


def _is_small(reference: Reference, most: int) -> bool:
    return not reference.large and reference.inline <= most


def _envelope_alone(reader: Reader, reference: Reference) -> Loaded | RecordUnavailable:
    try:
        return Loaded(reader.envelope(reference), None)
    except RecordUnavailable as error:
        return error
