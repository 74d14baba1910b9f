"""What a change is based on (RFC 9110 §13.1): a version of a thing, that it is there, or that it isn't."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shared.operations.actor import Changed


@dataclass(frozen=True, slots=True)
class Condition:
    """With nothing said, whatever there is may be changed."""

    version: str | None = None
    there: bool | None = None

    def check(self, view: Mapping[str, Any] | None) -> None:
        """Changed unless it holds for what there is; None is nothing."""
        if self.there is False and view is not None:
            raise Changed("it is there already")
        if self.there is True and view is None:
            raise Changed("it isn't there (any more)")
        if self.version is not None and (view is None or view["version"] != self.version):
            raise Changed("it was changed meanwhile: read it again")


ANY = Condition()
