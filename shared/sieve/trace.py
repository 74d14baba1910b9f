"""What a run did, command by command and test by test, for people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TraceKind(StrEnum):
    """What an event tells of."""

    TEST = "test"
    COMMAND = "command"
    ACTION = "action"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One step: what the script says there, what came of it (tests only) and why."""

    kind: TraceKind
    line: int
    column: int
    text: str
    outcome: bool | None = None
    why: str = ""
    depth: int = 0
    script: str = ""

    def __str__(self) -> str:
        line = f"{self.line}:" if self.line else ""
        where = f"{self.script}:{line}" if self.script and line else line
        outcome = "" if self.outcome is None else f" -> {'true' if self.outcome else 'false'}"
        why = f"  ({self.why})" if self.why else ""
        return f"{where:>5} {'  ' * self.depth}{self.text}{outcome}{why}"
