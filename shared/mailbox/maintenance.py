"""What keeps the volume and the tables small: one pass of pruning, compaction and removal.

    progress = Progress()
    while ...:  # under a Redis lease; harmless without one
        report = await maintain(database, root, reader, progress=progress)

Settling isn't here: the sweep reads unsettled segments anyway (shared.queue.recovery).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared.db import Database
from shared.journal.reader import Reader
from shared.journal.segments import list_segments, remove_empty_days
from shared.mailbox.compaction import abandon_unfinished, compact, remove_rewritten
from shared.mailbox.orphans import remove_copies, remove_large
from shared.mailbox.policy import DAY, Policy
from shared.mailbox.pruning import prune_blobs, prune_expunged

__all__ = ["Policy", "Progress", "Report", "maintain"]


@dataclass(slots=True)
class Progress:
    """Where the next pass goes on, since one looks at a bounded part; losing it costs only time."""

    segment: int = 0  # id
    blob: int = 0  # id


@dataclass(frozen=True, slots=True)
class Report:
    """What one pass did."""

    pruned: int  # expunged messages forgotten
    blobs: int  # blobs of deleted mailboxes removed
    rewritten: int  # segments whose live records were moved
    emptied: int  # segments in which nothing was alive
    moved_bytes: int
    damaged: int  # segments left alone because a live record can't be read: a person has to look
    removed: int  # segment files unlinked
    large: int  # large files unlinked


async def maintain(
    database: Database,
    root: Path,
    reader: Reader,
    *,
    policy: Policy | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.time,
) -> Report:
    """Do one pass over a journal and its rows; may be cancelled or killed at any point.

    DatabaseUnavailable, JournalFailed, RecordUnavailable or OSError when SQL or the volume is away.
    """
    policy, progress = policy or Policy(), progress or Progress()
    pruned = await prune_expunged(database, _microseconds(clock() - policy.expunged_age))
    blobs, progress.blob = await prune_blobs(database, progress.blob)
    files = {segment.name: segment for segment in await asyncio.to_thread(list_segments, root)}
    now = clock()
    await abandon_unfinished(database, files, now - policy.orphan_age, _microseconds(now))
    done = await compact(database, root, reader, files, policy, clock, progress.segment)
    progress.segment = done.next_after
    removed = await remove_rewritten(database, root, _microseconds(clock()))
    removed += await remove_copies(database, root, files, now - policy.orphan_age)
    large = await remove_large(
        database, root, reader, untouched_since=now - policy.orphan_age, unnamed_since=now - policy.grace
    )
    # a day's folder is left alone for a day: a writer whose clock is behind may be about to use it
    day = time.strftime("%Y-%m-%d", time.gmtime(now - 2 * DAY))
    await asyncio.to_thread(remove_empty_days, root, day)
    reader.expire()
    return Report(pruned, blobs, done.rewritten, done.emptied, done.moved_bytes, done.damaged, removed, large)


def _microseconds(seconds: float) -> int:
    return int(seconds * 1_000_000)
