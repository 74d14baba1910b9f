"""What SQL knows of the relay recipients of entries: which are finished, which wait until when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.db import Work, load
from shared.journal.reference import Reference
from shared.message.envelope import Envelope, Lane, Recipient

DUE_SLACK = 1.0  # seconds: Redis counts milliseconds, SQL microseconds, and hosts' clocks differ

sql = load("relay")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A recipient's pending row."""

    attempts: int
    due_at: float  # Unix seconds
    warned: bool
    held: bool
    reference: Reference


@dataclass(slots=True)
class EntryState:
    """What is on record for one entry."""

    finished: set[str] = field(default_factory=set)
    waiting: dict[str, Waiting] = field(default_factory=dict)

    def due(self, envelope: Envelope, now: float) -> tuple[Recipient, ...]:
        """Return the relay recipients that are to be tried now."""
        return tuple(r for r in envelope.lane(Lane.RELAY) if self._is_due(r.address, now))

    def next_due(self, envelope: Envelope, now: float) -> float | None:
        """Return when the first of those that aren't due yet is, None if there are none."""
        later = [
            self.waiting[r.address].due_at
            for r in envelope.lane(Lane.RELAY)
            if r.address in self.waiting and r.address not in self.finished and not self.waiting[r.address].held
        ]
        return min((due for due in later if due > now + DUE_SLACK), default=None)

    def _is_due(self, address: str, now: float) -> bool:
        if address in self.finished:
            return False
        waiting = self.waiting.get(address)
        return waiting is None or (not waiting.held and waiting.due_at <= now + DUE_SLACK)


def load_states(entries: Sequence[str]) -> Work[dict[str, EntryState]]:
    """Return the state of each entry; one with nothing on record has an empty one."""
    states = {entry: EntryState() for entry in entries}
    names = sorted(states)
    for row in (yield sql.finished(entries=names)):
        states[row["entry"]].finished.add(row["recipient"])
    for row in (yield sql.waiting(entries=names)):
        states[row["entry"]].waiting[row["recipient"]] = _waiting(row)
    return states


def _waiting(row: Any) -> Waiting:
    reference = Reference(
        row["segment"], row["position"], row["length"], row["body"], row["inline_size"], row["size"], row["large"]
    )
    return Waiting(row["attempts"], row["due_at"] / 1e6, bool(row["warned"]), bool(row["held"]), reference)
