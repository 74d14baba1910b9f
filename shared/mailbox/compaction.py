"""Compaction: live records of settled segments move into new ones, and the old files go (DESIGN §3).

Each step may be the last one before a crash, and may be run by two workers at once:

    row of the new segment   'open', kind compacted: recovery never reads it, `abandon_unfinished` finds it
    copy, sealed             nothing refers to it yet
    the switch               one transaction: every reference to the old segments now names the new one,
                             which is 'settled', and the old ones are 'rewritten'; it is given up if a row
                             refers to a record that wasn't copied, or if another worker was there before
    after the grace period   the old file, then its row

Whoever inserts a reference locks the segment's row and refuses a rewritten one (shared.mailbox.blobs).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

import structlog

from shared.db import Conflict, Database, Work, load
from shared.errors import TemporaryFailure
from shared.journal.active import new_segment_name
from shared.journal.reader import Reader
from shared.journal.record import HEADER_LENGTH, TRAILER_LENGTH
from shared.journal.reference import Reference
from shared.journal.rewrite import Rewritten, rewrite
from shared.journal.segments import COMPACTED_WRITER, Segment, free_bytes, unlink
from shared.mailbox.policy import Policy

PAGE = 200  # segments whose live bytes are asked for at once
MAX_EXAMINED = 1_000  # segments looked at in one pass
MAX_REMOVED = 1_000  # files removed in one pass
END_LENGTH = HEADER_LENGTH + TRAILER_LENGTH  # bytes of the record that ends a segment

sql = load("compaction")
log = structlog.get_logger(__name__)


class Retired(Enum):
    """What a rewritten segment turns out to be when its time is over."""

    UNUSED = auto()  # it may go
    REVIVED = auto()  # a row refers to it against all rules: it stays
    GONE = auto()  # another worker was here


@dataclass(frozen=True, slots=True)
class Candidate:
    """A settled segment that is to be rewritten."""

    id: int
    name: str
    live: int  # bytes of records that blob or pending rows name


@dataclass(frozen=True, slots=True)
class Compacted:
    """What one pass did; segments, except where it says otherwise."""

    rewritten: int = 0
    emptied: int = 0  # nothing was alive
    moved_bytes: int = 0
    damaged: int = 0  # left alone: a live record can't be read
    next_after: int = 0  # where the next pass goes on


async def compact(
    database: Database,
    root: Path,
    reader: Reader,
    files: Mapping[str, Segment],
    policy: Policy,
    clock: Callable[[], float],
    after: int = 0,
) -> Compacted:
    """Rewrite settled segments with ids above `after` as the policy says; `files` is what the volume holds.

    OSError or JournalFailure when the volume fails, DatabaseUnavailable: what was done by then is valid.
    """
    chosen, next_after = await _choose(database, files, policy, clock(), after)
    empty = [candidate for candidate in chosen if not candidate.live]
    emptied = await _retire_empty(database, empty, _unlink_time(clock, policy))
    rewritten = moved = damaged = 0
    for batch in _batches([candidate for candidate in chosen if candidate.live], policy.target_size):
        if await asyncio.to_thread(free_bytes, root) < sum(c.live for c in batch) + policy.headroom:
            log.error("no room for compaction", needed=sum(c.live for c in batch))
            break
        copy, switched = await _rewrite(database, root, reader, batch, clock, policy)
        damaged += len(copy.damaged)
        rewritten += len(copy.moves) if switched else 0
        moved += copy.length if switched else 0
    return Compacted(rewritten, emptied, moved, damaged, next_after)


async def remove_rewritten(database: Database, root: Path, now: int) -> int:
    """Unlink rewritten segments whose grace period is over by `now` (microseconds); return how many."""
    removed = 0
    for segment_id, name in await database.read(_retired, now):
        state = await database.write(_check_retired, segment_id)
        if state is Retired.REVIVED:
            log.error("a rewritten segment is referred to", segment=name)
        if state is not Retired.UNUSED:
            continue
        # the file first: a file without a row would be read by recovery as if it were new
        await asyncio.to_thread(unlink, root, name)
        try:
            await database.write(_forget, segment_id)
            removed += 1
        except Conflict:
            log.error("a removed segment is referred to", segment=name)
    return removed


async def abandon_unfinished(database: Database, files: Mapping[str, Segment], before: float, now: int) -> int:
    """Retire copies whose compactor died: not written to since `before` (Unix seconds); return how many."""
    abandoned = 0
    for segment_id, name in await database.read(_unfinished):
        if name not in files or files[name].modified < before:
            abandoned += await database.write(_abandon, segment_id, now)
    return abandoned


# Choosing


async def _choose(
    database: Database, files: Mapping[str, Segment], policy: Policy, now: float, after: int
) -> tuple[list[Candidate], int]:
    chosen: list[Candidate] = []
    small: list[Candidate] = []
    for _ in range(0, MAX_EXAMINED, PAGE):
        page = await database.scan(_settled_page, after)
        for candidate in page:
            file = files.get(candidate.name)
            if not candidate.live:
                chosen.append(candidate)
            elif file is None:
                log.error("a segment with live records is missing", segment=candidate.name, live=candidate.live)
            elif _is_due(candidate, file, policy, now):
                chosen.append(candidate)
            elif file.size <= policy.small_size:
                small.append(candidate)
        after = page[-1].id if len(page) == PAGE else 0
        if not after:
            break
    if len(small) >= policy.small_count:
        chosen += small
    return sorted(chosen, key=lambda candidate: candidate.live), after


def _is_due(candidate: Candidate, file: Segment, policy: Policy, now: float) -> bool:
    """Say whether little is alive, or something has been dead for as long as the file is old at most."""
    dead = file.size - candidate.live - END_LENGTH
    sparse = candidate.live <= policy.live_ratio * file.size
    return dead > 0 and (sparse or now - file.modified >= policy.purge_age)


def _batches(candidates: Sequence[Candidate], size: int) -> Iterator[list[Candidate]]:
    """Yield candidates that are copied into one segment together."""
    batch: list[Candidate] = []
    for candidate in candidates:
        if batch and sum(c.live for c in batch) + candidate.live > size:
            yield batch
            batch = []
        batch.append(candidate)
    if batch:
        yield batch


def _settled_page(after: int) -> Work[list[Candidate]]:
    rows = yield sql.settled(after=after, limit=PAGE)
    ids = [row["id"] for row in rows]
    if not ids:
        return []
    live = {row["segment_id"]: int(row["bytes"]) for row in (yield sql.live_bytes(ids=ids, waiting=ids))}
    return [Candidate(row["id"], row["name"], live.get(row["id"], 0)) for row in rows]


# Rewriting


async def _rewrite(
    database: Database,
    root: Path,
    reader: Reader,
    batch: Sequence[Candidate],
    clock: Callable[[], float],
    policy: Policy,
) -> tuple[Rewritten, bool]:
    """Copy a batch and say whether the references were switched to the copy."""
    name = new_segment_name(COMPACTED_WRITER, 1, clock())
    target = await database.write(_begin, name)
    sources = await database.scan(_live_records, [candidate.id for candidate in batch])
    try:
        copy = await asyncio.to_thread(rewrite, root, reader, name, sources, clock())
    except (OSError, TemporaryFailure):
        await _discard(database, root, target, name, clock)
        raise
    for failure in copy.damaged:
        log.error("a live record can't be read", detail=failure.detail)
    moves: Mapping[int, Mapping[int, int]] = {c.id: copy.moves[c.name] for c in batch if c.name in copy.moves}
    switched = False
    if moves:
        switched = await database.write(_switch, target, copy.length, moves, _unlink_time(clock, policy))
    if not switched:
        await _discard(database, root, target, name, clock)
    return copy, switched


async def _discard(database: Database, root: Path, target: int, name: str, clock: Callable[[], float]) -> None:
    """Remove a copy that nothing refers to."""
    if await database.write(_abandon, target, _microseconds(clock)):
        await asyncio.to_thread(unlink, root, name)


def _begin(name: str) -> Work[int]:
    rows = yield sql.begin_compacted(name=name)
    segment_id: int = rows[0]["id"]
    return segment_id


def _live_records(ids: Sequence[int]) -> Work[dict[str, list[Reference]]]:
    sources: dict[str, list[Reference]] = defaultdict(list)
    for row in (yield sql.live_records(ids=list(ids), waiting=list(ids))):
        sources[row["segment"]].append(Reference(*row))
    return dict(sources)


def _switch(target: int, length: int, moves: Mapping[int, Mapping[int, int]], unlink_after: int) -> Work[bool]:
    """Make all references to the old segments name the copy; False if that isn't right any more.

    While the segments are locked no row can begin to refer to them: a foreign key would have to lock them too.
    """
    ids = sorted(moves)
    states = {row["id"]: row["state"] for row in (yield sql.lock_segments(ids=sorted([*ids, target])))}
    if states.get(target) != "open" or any(states.get(segment) != "settled" for segment in ids):
        return False
    pending = yield sql.pending_in(ids=ids)
    blobs = yield sql.blobs_in(ids=ids)
    if any(row["position"] not in moves[row["segment_id"]] for row in (*blobs, *pending)):
        return False
    places = [moves[row["segment_id"]][row["position"]] for row in blobs]
    yield sql.move_blob.many(
        [{"segment_id": target, "position": place, "id": row["id"]} for row, place in zip(blobs, places, strict=True)]
    )
    yield sql.move_pending.many([_moved_pending(row, target, moves) for row in pending])
    yield sql.settle_compacted(id=target, length=length)
    yield sql.retire(ids=ids, unlink_after=unlink_after)
    return True


def _moved_pending(row: Mapping[str, object], target: int, moves: Mapping[int, Mapping[int, int]]) -> dict[str, object]:
    place = moves[row["segment_id"]][row["position"]]  # type: ignore[index]
    key = {name: row[name] for name in ("entry", "recipient", "target")}
    return {"segment_id": target, "position": place, **key}


# Retiring


async def _retire_empty(database: Database, empty: Iterable[Candidate], unlink_after: int) -> int:
    retired = 0
    for candidate in empty:
        retired += await database.write(_retire_if_unused, candidate.id, "settled", unlink_after)
    return retired


def _retire_if_unused(segment_id: int, state: str, unlink_after: int) -> Work[bool]:
    rows = yield sql.lock_segments(ids=[segment_id])
    if not rows or rows[0]["state"] != state or (yield from _has_references(segment_id)):
        return False
    yield sql.retire(ids=[segment_id], unlink_after=unlink_after)
    return True


def _abandon(segment_id: int, now: int) -> Work[bool]:
    return (yield from _retire_if_unused(segment_id, "open", now))


def _check_retired(segment_id: int) -> Work[Retired]:
    """Say whether a rewritten segment may go; one that is referred to after all is settled again."""
    rows = yield sql.lock_segments(ids=[segment_id])
    if not rows or rows[0]["state"] != "rewritten":
        return Retired.GONE
    if (yield from _has_references(segment_id)):
        yield sql.revive(id=segment_id)
        return Retired.REVIVED
    return Retired.UNUSED


def _has_references(segment_id: int) -> Work[bool]:
    rows = yield sql.live_bytes(ids=[segment_id], waiting=[segment_id])
    return bool(rows)


def _retired(now: int) -> Work[list[tuple[int, str]]]:
    rows = yield sql.retired(now=now, limit=MAX_REMOVED)
    return [(row["id"], row["name"]) for row in rows]


def _unfinished() -> Work[list[tuple[int, str]]]:
    rows = yield sql.unfinished()
    return [(row["id"], row["name"]) for row in rows]


def _forget(segment_id: int) -> Work[None]:
    yield sql.forget_segment(id=segment_id)


def _unlink_time(clock: Callable[[], float], policy: Policy) -> int:
    return _microseconds(clock) + int(policy.grace * 1_000_000)


def _microseconds(clock: Callable[[], float]) -> int:
    return int(clock() * 1_000_000)
