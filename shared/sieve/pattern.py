"""Regular expressions that take time linear in what they search, by RE2: no script can make a run hang."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import re2  # type: ignore[import-untyped]


class Found(Protocol):
    """Where a pattern matched."""

    def span(self, group: int) -> tuple[int, int]:
        """Where a group starts and ends."""

    def group(self, group: int) -> str:
        """What the whole pattern (0) matched."""

    def groups(self) -> Sequence[str | None]:
        """What each group matched."""


class Pattern(Protocol):
    """A compiled expression."""

    groups: int

    def match(self, text: str) -> Found | None:
        """A match at the start."""

    def search(self, text: str) -> Found | None:
        """The first match anywhere."""


class PatternError(Exception):
    """An expression that RE2 doesn't take; the text says why."""


def compile_pattern(expression: str, *, sensitive: bool = True, memory: int = 1 << 20) -> Pattern:
    """A compiled expression of at most `memory` octets; PatternError when it is wrong, too large or not linear."""
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = sensitive
    options.max_mem = memory
    try:
        return cast("Pattern", re2.compile(expression, options))
    except re2.error as error:
        text = error.args[0] if error.args else ""
        reason = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        raise PatternError(reason) from None


def quote_pattern(text: str) -> str:
    """An expression for the text itself."""
    return cast("str", re2.escape(text))
