"""Why a target can't have a message, as a bounce tells it (RFC 3463)."""

from __future__ import annotations

from dataclasses import dataclass

from shared.mailbox.job import Refusal


@dataclass(frozen=True, slots=True)
class Failure:
    """A permanent failure: an enhanced status and words for the sender."""

    status: str
    text: str

    def __str__(self) -> str:
        return f"{self.status} {self.text}"


UNKNOWN = Failure("5.1.1", "There is no such mailbox here")
DISABLED = Failure("5.2.1", "The account is disabled")
FULL = Failure("5.2.2", "The mailbox is full")
LATE = Failure("5.4.7", "The time within which it was to be delivered is over")
LOOP = Failure("5.4.6", "The message goes round in a loop of forwards")

OF_REFUSAL = {Refusal.OVER_QUOTA: FULL, Refusal.NO_ACCOUNT: UNKNOWN}
