"""What can be wrong with a script: as a value for people, as the compiler's and as the interpreter's exception."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import PacketboatError


@dataclass(frozen=True, slots=True, order=True)
class SieveError:
    """One error with its place, counted from 1; `script` names an included script, "" the one that was given."""

    line: int
    column: int
    message: str
    script: str = ""

    def __str__(self) -> str:
        where = f"{self.script}: " if self.script else ""
        return f"{where}line {self.line}, column {self.column}: {self.message}"


class ScriptError(PacketboatError):
    """A script that can't be compiled; `errors` has at least one."""

    def __init__(self, errors: tuple[SieveError, ...]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = errors


class Fault(Exception):
    """An error within one command of a script that is being compiled."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


class RunError(Exception):
    """Execution can't go on (RFC 5228 §2.10.6); the command that runs adds its place."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.place: tuple[int, int, str] | None = None

    def at(self, line: int, column: int, script: str) -> RunError:
        """Note the place, unless a more exact one is known."""
        if self.place is None:
            self.place = (line, column, script)
        return self

    def value(self) -> SieveError:
        """It as a value."""
        line, column, script = self.place or (1, 1, "")
        return SieveError(line, column, self.message, script)
