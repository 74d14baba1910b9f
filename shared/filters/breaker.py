"""A circuit breaker: a scanner that keeps failing isn't asked for a while, so that mail doesn't wait for it."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

FAILURES = 5  # in a row, after which it opens
PAUSE_FIRST, PAUSE_MOST = 5.0, 60.0  # seconds that it stays open


class State(IntEnum):
    """As the metric shows it."""

    CLOSED = 0
    HALF_OPEN = 1  # one question is let through, to see
    OPEN = 2


class Breaker:
    """Counts failures in a row; `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = PAUSE_FIRST
        self._until = 0.0
        self._probing = False

    @property
    def state(self) -> State:
        """Whether questions are let through."""
        if self._failures < FAILURES:
            return State.CLOSED
        return State.HALF_OPEN if self._probing or self._clock() >= self._until else State.OPEN

    def allows(self) -> bool:
        """Whether to ask now; who is told so reports success, failure or that it gave up."""
        match self.state:
            case State.CLOSED:
                return True
            case State.OPEN:
                return False
            case State.HALF_OPEN:
                if self._probing:
                    return False
                self._probing = True
                return True

    def succeeded(self) -> None:
        """An answer came."""
        self._failures, self._pause, self._probing = 0, PAUSE_FIRST, False

    def failed(self) -> None:
        """None came."""
        self._failures += 1
        self._probing = False
        if self._failures >= FAILURES:
            self._until = self._clock() + self._pause
            self._pause = min(self._pause * 2, PAUSE_MOST)

    def gave_up(self) -> None:
        """Nobody waited for the answer: it says nothing of the scanner."""
        self._probing = False
