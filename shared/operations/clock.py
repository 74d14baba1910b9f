"""The time of what an operator does."""

from __future__ import annotations

import time


def now() -> int:
    """Return Unix time, microseconds."""
    return time.time_ns() // 1000
