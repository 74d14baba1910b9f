"""When a recipient is tried again, when its sender is warned, when it is given up: no clock in here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

MAX_DOUBLINGS = 40
JITTER = 0.1  # share of the pause by which entries are spread


class Step(Enum):
    """What follows from a temporary failure."""

    WAIT = auto()
    WARN = auto()  # and wait
    EXPIRE = auto()


@dataclass(frozen=True, slots=True)
class Schedule:
    """All times in seconds."""

    first: float = 60.0
    most: float = 4 * 3600.0
    expiry: float = 5 * 86400.0
    bounce_expiry: float = 86400.0  # of what comes from the null reverse-path
    warning: float = 4 * 3600.0  # 0: never

    def pause(self, attempts: int, spread: float = 0.0) -> float:
        """Return the pause after so many attempts (1 or more); `spread` in [0, 1) lengthens it by up to JITTER."""
        doublings = min(max(attempts, 1) - 1, MAX_DOUBLINGS)
        return min(self.first * 2.0**doublings, self.most) * (1 + JITTER * spread)

    def expires_at(self, accepted: float, *, null_sender: bool) -> float:
        """Return when an entry is given up, Unix seconds."""
        return accepted + (self.bounce_expiry if null_sender else self.expiry)

    def after_failure(self, accepted: float, now: float, *, warned: bool, null_sender: bool) -> Step:
        """Decide on a recipient that failed temporarily at `now`; times in Unix seconds."""
        if now >= self.expires_at(accepted, null_sender=null_sender):
            return Step.EXPIRE
        due = self.warning > 0 and now - accepted >= self.warning
        return Step.WARN if due and not warned and not null_sender else Step.WAIT

    def next_attempt(self, accepted: float, now: float, attempts: int, *, null_sender: bool, spread: float) -> float:
        """Return when to try again; the last attempt is made when the entry expires."""
        return min(now + self.pause(attempts, spread), max(now, self.expires_at(accepted, null_sender=null_sender)))
