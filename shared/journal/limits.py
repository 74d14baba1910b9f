"""The journal's named limits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one writer; sizes are bytes, times seconds."""

    segment_size: int = 64 * 1024 * 1024  # a segment is sealed before a group would pass it
    segment_age: float = 120.0  # a segment with records is sealed when it is older
    reserve: int = 256 * 1024 * 1024  # free space that only compaction and bounces may use
    space_interval: float = 0.5  # free space is measured at most this often
    queued_bytes: int = 64 * 1024 * 1024  # not yet durable; more appends wait
    group_bytes: int = 8 * 1024 * 1024  # written and fsynced at once, unless a single record is longer
    large_chunk: int = 1024 * 1024  # a large file is written in pieces of about this
    large_uploads: int = 64  # large files written at a time, more wait
