"""When maintenance prunes, rewrites and removes."""

from __future__ import annotations

from dataclasses import dataclass

HOUR = 3600.0
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Policy:
    """Times are seconds, sizes bytes."""

    live_ratio: float = 0.5  # a settled segment with at most this much alive is rewritten
    purge_age: float = 7 * DAY  # so is one of this age with anything dead: nothing stays longer than this
    small_size: int = 4 * 1024 * 1024  # settled segments up to this size are merged …
    small_count: int = 32  # … when there are so many of them
    target_size: int = 64 * 1024 * 1024  # live bytes that are copied into one new segment
    grace: float = 2 * DAY  # before a rewritten file is removed: longer than a backup takes
    expunged_age: float = DAY  # expunged messages are remembered for other sessions at least so long
    orphan_age: float = DAY  # files that nothing names and nobody has touched for so long are orphans
    headroom: int = 16 * 1024 * 1024  # free space that compaction leaves
