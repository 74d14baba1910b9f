"""Configuration files with @NAME@ in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
_PLACE = re.compile(r"@([A-Z0-9_]+)@")


def fill(template: str, values: Mapping[str, object]) -> str:
    """The file `template` (relative to this folder) with its places filled in; KeyError names one unknown."""
    return _PLACE.sub(lambda place: str(values[place[1]]), (HERE / template).read_text())
