"""Forgetting expunged messages: their rows, then blobs that no message shows any more (DESIGN §7)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from shared.db import Conflict, Database, Work, load
from shared.mailbox.mailbox import sql as mailbox_sql

BATCH = 500  # rows removed in one transaction
MAX_PRUNED = 100_000  # messages forgotten in one pass
BLOB_WINDOW = 20_000  # blob ids looked at by one query
MAX_BLOBS = 400_000  # blob ids looked at in one pass

sql = load("compaction")


async def prune_expunged(database: Database, before: int) -> int:
    """Remove messages that were expunged before `before` (microseconds), and their unused blobs; return how many."""
    pruned = 0
    while pruned < MAX_PRUNED:
        rows = await database.read(_old_expunged, before)
        if not rows:
            break
        blobs = await database.write(_forget, rows, before)
        await drop_blobs(database, sorted(set(blobs)))
        pruned += len(blobs)
        if len(rows) < BATCH:
            break
    return pruned


async def prune_blobs(database: Database, after: int) -> tuple[int, int]:
    """Remove unused blobs with ids above `after`; return how many, and where to go on (0: from the start).

    What a deleted mailbox or account leaves behind is found here.
    """
    last = await database.read(_last_blob)
    removed, end = 0, after + MAX_BLOBS
    while after < min(last, end):
        unused = await database.scan(_unused_blobs, after, after + BLOB_WINDOW)
        removed += await drop_blobs(database, unused)
        after += BLOB_WINDOW
    return removed, after if after < last else 0


async def drop_blobs(database: Database, ids: Sequence[int]) -> int:
    """Remove those of the blobs that no message shows; return how many."""
    removed = 0
    for start in range(0, len(ids), BATCH):
        try:
            removed += await database.write(_drop, ids[start : start + BATCH])
        except Conflict:
            continue  # one of them was shown again meanwhile: the next pass finds the others
    return removed


def _old_expunged(before: int) -> Work[list[tuple[int, int]]]:
    rows = yield sql.old_expunged(before=before, limit=BATCH)
    return [(row["mailbox_id"], row["uid"]) for row in rows]


def _forget(rows: Iterable[tuple[int, int]], before: int) -> Work[list[int]]:
    """Remove rows of expunged messages and note that a QRESYNC client can't be told of them any more."""
    blobs: list[int] = []
    uids = _by_mailbox(rows)
    yield mailbox_sql.lock_mailboxes(ids=sorted(uids))
    for mailbox_id in sorted(uids):
        gone = yield sql.delete_expunged(mailbox_id=mailbox_id, uids=uids[mailbox_id], before=before)
        if gone:
            yield sql.forget_expunges(mailbox_id=mailbox_id, modseq=max(row["modseq"] for row in gone))
            blobs += [row["blob_id"] for row in gone]
    return blobs


def _by_mailbox(rows: Iterable[tuple[int, int]]) -> Mapping[int, list[int]]:
    uids: dict[int, list[int]] = defaultdict(list)
    for mailbox_id, uid in rows:
        uids[mailbox_id].append(uid)
    return uids


def _last_blob() -> Work[int]:
    rows = yield sql.last_blob()
    return rows[0]["id"] or 0


def _unused_blobs(low: int, high: int) -> Work[list[int]]:
    rows = yield sql.unused_blobs(low=low, high=high)
    return [row["id"] for row in rows]


def _drop(ids: Sequence[int]) -> Work[int]:
    # locked first, asked second: a message that refers to a blob has locked it until its commit
    yield sql.lock_blobs(ids=list(ids))
    rows = yield sql.delete_unused_blobs(ids=list(ids))
    return len(rows)
