"""Building the index of words behind delivery: some blocks a pass, by one worker of all (shared.mailbox.words)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from shared.db import Database, Rows, Work
from shared.imap.sequence import Range, count, intersect, normalise, subtract
from shared.mailbox.content import Content, Row
from shared.mailbox.errors import NoSuchMailbox
from shared.mailbox.messages import Messages
from shared.mailbox.policy import DAY
from shared.mailbox.rows import Want, fetch_rows
from shared.mailbox.words import BLOCK_MESSAGES, MAX_INDEXED_BYTES, Block, build, sql, unpack_ranges

PASS_BLOCKS = 200  # built in one pass at most: some 15 s of work
PASS_MAILBOXES = 100  # looked at in one pass
READ_BYTES = 4 * 1024 * 1024  # octets of messages in memory at a time, unless a single one is longer
STALE_AGE = 7 * DAY  # seconds after which words of expunged messages go
MOSTLY = 0.5  # a block with less than this part of its messages left is given up at once


@dataclass(slots=True)
class IndexProgress:
    """Where the next pass goes on; losing it costs only time."""

    mailbox: int = 0  # id


@dataclass(frozen=True, slots=True)
class Indexed:
    """What one pass did."""

    blocks: int = 0
    dropped: int = 0


async def index_words(database: Database, content: Content, progress: IndexProgress) -> Indexed:
    """Index mailboxes in which a block's worth of messages isn't yet, and drop blocks that are out of date.

    DatabaseUnavailable when SQL is away; a message that can't be read is left to the scan.
    """
    now = int(time.time())
    behind = await database.read(_behind, progress.mailbox)
    stale = await database.read(_stale, int(now - STALE_AGE))
    progress.mailbox = behind[-1] if len(behind) == PASS_MAILBOXES else 0
    blocks = dropped = 0
    for mailbox_id in dict.fromkeys((*behind, *stale)):
        try:
            done = await _index_mailbox(database, content, mailbox_id, now, PASS_BLOCKS - blocks)
        except NoSuchMailbox:
            continue
        blocks, dropped = blocks + done.blocks, dropped + done.dropped
        if blocks >= PASS_BLOCKS:
            break
    return Indexed(blocks, dropped)


async def _index_mailbox(database: Database, content: Content, mailbox_id: int, now: int, limit: int) -> Indexed:
    uids = (await Messages(database).select(mailbox_id)).uids
    kept: list[Range] = []
    dropped: list[int] = []
    for row in await database.read(_blocks, mailbox_id):
        ranges = unpack_ranges(row["uids"])
        left = count(intersect(ranges, uids))
        old = row["built_at"] < now - STALE_AGE
        if left < row["messages"] * MOSTLY or (old and left < row["messages"]):
            dropped.append(row["id"])
        else:
            kept += ranges
    if dropped:
        await database.write_relaxed(_drop, dropped)
    rest = subtract(uids, normalise(kept))
    blocks = 0
    async for messages in _groups(database, content, mailbox_id, rest):
        block = await asyncio.to_thread(build, messages)
        await database.write_relaxed(_insert, mailbox_id, [uid for uid, _ in messages], now, block)
        blocks += 1
        if blocks >= limit:
            break
    return Indexed(blocks, len(dropped))


async def _groups(
    database: Database, content: Content, mailbox_id: int, ranges: Sequence[Range]
) -> AsyncIterator[list[tuple[int, bytes]]]:
    """Yield BLOCK_MESSAGES messages at a time; what is left is for another pass."""
    group: list[tuple[int, bytes]] = []
    async for rows in fetch_rows(database, mailbox_id, ranges, Want.CONTENT):
        for batch in _batches([row for row in rows if row["size"] <= MAX_INDEXED_BYTES]):
            for row, message in zip(batch, await content.read_many(batch), strict=True):
                if isinstance(message, bytes):
                    group.append((row[0], message))
                if len(group) == BLOCK_MESSAGES:
                    yield group
                    group = []


def _batches(rows: Rows) -> list[list[Row]]:
    batches: list[list[Row]] = []
    size = READ_BYTES
    for row in rows:
        if size + row["size"] > READ_BYTES:
            batches.append([])
            size = 0
        batches[-1].append(row)
        size += row["size"]
    return batches


def _behind(after: int) -> Work[list[int]]:
    rows = yield sql.behind(after=after, least=BLOCK_MESSAGES, limit=PASS_MAILBOXES)
    return [row["id"] for row in rows]


def _stale(before: int) -> Work[list[int]]:
    rows = yield sql.stale(before=before, limit=PASS_MAILBOXES)
    return [row["id"] for row in rows]


def _blocks(mailbox_id: int) -> Work[Rows]:
    rows = yield sql.blocks(mailbox_id=mailbox_id)
    return rows


def _drop(ids: list[int]) -> Work[None]:
    yield sql.delete_blocks(ids=ids)


def _insert(mailbox_id: int, uids: Sequence[int], now: int, block: Block) -> Work[None]:
    if (yield sql.lock_mailbox(mailbox_id=mailbox_id)):
        yield sql.insert_block(
            mailbox_id=mailbox_id,
            first_uid=uids[0],
            last_uid=uids[-1],
            messages=len(uids),
            now=now,
            uids=block.uids,
            words=block.words,
            postings=block.postings,
        )
