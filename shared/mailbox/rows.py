"""Reading message rows: the columns that are asked for and no others, as the engine gives them.

A row is a sequence (unpack it) and a mapping by column name. Its first columns are always
`uid, flags, modseq, internal_date, size`; `COLUMNS` says what each further wish adds, in this order.
`Want.BRIEF`, alone, stops after the flags. `Want.BRIEF`, `Want.WHOLE` and `Want.PLACES`, alone, may come as
sequences only: their columns have the places that are named below.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from enum import Flag, auto
from functools import lru_cache
from typing import TypeAlias

import orjson

from shared.db import Database, Engine, Query, Rows, Statement, Work
from shared.imap.sequence import Range
from shared.mailbox.ranges import Piece, pieces

FETCH_CHUNK = 500  # rows in memory at a time, a millisecond of SQLite's
BRIEF_CHUNK = 2_000  # the same of Want.BRIEF
SLOW = 0.02  # seconds that a chunk takes if it waits for the disk


class Want(Flag):
    """What to read besides uid, flags, modseq, internal_date and size."""

    BASE = 0
    ENVELOPE = auto()
    BODYSTRUCTURE = auto()
    BODY = auto()  # IMAP's BODY without extension data
    SENT = auto()
    CONTENT = auto()  # what shared.mailbox.content needs to read the bytes
    TEXT = auto()  # for lists of a webmail
    PREVIEW = auto()
    SAVED = auto()  # when it came into the mailbox
    PLACES = auto()  # CONTENT without the parts: for searches
    WHOLE = auto()  # what shared.mailbox.content needs to read whole messages: three quarters of CONTENT's time
    IDS = auto()  # what shared.imap.objectid makes EMAILID and THREADID of
    BRIEF = auto()  # uid and flags only: a third of the time of BASE


_WHOLE = ("prefix", "blob_id", "segment", "position", "length", "body", "inline_size", "record_size", "large")
_PLACES = (*_WHOLE, "header_size")
COLUMNS: dict[Want, tuple[str, ...]] = {
    Want.CONTENT: (*_PLACES, "parts"),
    Want.PLACES: _PLACES,
    Want.WHOLE: _WHOLE,
    Want.ENVELOPE: ("envelope",),
    Want.BODYSTRUCTURE: ("bodystructure",),
    Want.BODY: ("imap_body",),
    Want.SENT: ("sent_at", "sent_day"),
    Want.TEXT: ("subject", "preview", "message_id", "refs"),
    Want.PREVIEW: ("preview",),
    Want.SAVED: ("saved_at",),
    Want.IDS: ("entry", "message_id", "refs"),
}
BASE_COLUMNS = ("uid", "flags", "modseq", "internal_date", "size")

# Where a row has what is needed for every body: names cost a look at all columns.
SIZE = BASE_COLUMNS.index("size")
PREFIX = len(BASE_COLUMNS) + COLUMNS[Want.CONTENT].index("prefix")
REFERENCE = slice(PREFIX + 2, PREFIX + 9)  # segment to large
PLACE = slice(PREFIX + 2, PREFIX + 6)  # segment, position, length, body
BLOB_ID = PREFIX + 1
LARGE = PREFIX + 8
HEADER_SIZE = PREFIX + 9

_SOURCES = {
    "prefix": "m.prefix",
    "blob_id": "m.blob_id",
    "saved_at": "m.saved_at",
    "segment": "s.name AS segment",
    "record_size": "b.size AS record_size",
}
_OF_MESSAGE = frozenset({"prefix", "blob_id", "saved_at"})

_PACKED = (Want.WHOLE, Want.PLACES)

Fetched: TypeAlias = AsyncGenerator[Rows, None]


async def fetch_rows(database: Database, mailbox_id: int, ranges: Iterable[Range], want: Want = Want.BASE) -> Fetched:
    """Yield the rows of UIDs in ascending order, at most FETCH_CHUNK at a time (BRIEF_CHUNK of Want.BRIEF).

    Rows of expunged messages come too while they are kept (other sessions may still show them); a UID
    without a row is gone for good. Each chunk is a snapshot of its own.

    SQLite reads in the event loop: a thread would give up the interpreter lock for each row, and two that pass
    it to and fro take thrice the time. After a chunk that seems to wait for the disk, though, a thread does.
    """
    limit = BRIEF_CHUNK if want is Want.BRIEF else FETCH_CHUNK
    is_slow, is_first = False, True
    for piece in _parts(ranges, limit):
        low = piece.low
        while low <= piece.high:
            if not is_first:
                await asyncio.sleep(0)  # others have their turn
            is_first = False
            begin = time.perf_counter()
            statement = _chunk(mailbox_id, piece, low, limit, want, database.engine)
            rows = await (database.scan(_only, statement) if is_slow else database.query(statement))
            rows = unpacked(rows) if _is_packed(want, database.engine) else rows
            is_slow = time.perf_counter() - begin > SLOW
            if rows:
                yield rows
            if len(rows) < limit:
                break
            low = rows[-1][0] + 1


def _parts(ranges: Iterable[Range], limit: int) -> Iterator[Piece]:
    """Cut ranges into pieces whose lists are no longer than a chunk."""
    for piece in pieces(ranges):
        if not piece.uids:
            yield piece
        for start in range(0, len(piece.uids), limit):
            uids = piece.uids[start : start + limit]
            yield Piece(uids[0], uids[-1], uids)


def _chunk(mailbox_id: int, piece: Piece, low: int, limit: int, want: Want, engine: Engine) -> Statement:
    query = _query(want, bool(piece.uids), engine)
    if piece.uids:
        return query(mailbox_id=mailbox_id, uids=piece.uids)
    return query(mailbox_id=mailbox_id, low=low, high=piece.high, limit=limit)


def _only(statement: Statement) -> Work[Rows]:
    rows = yield statement
    return rows


@lru_cache(maxsize=256)
def _query(want: Want, listed: bool, engine: Engine) -> Query:
    """Compose the one query that reads these columns; names are ours, values are bound."""
    names = [name for wish, columns in COLUMNS.items() if wish in want for name in columns]
    base = BASE_COLUMNS[:2] if want is Want.BRIEF else BASE_COLUMNS
    columns = [f"m.{name}" for name in base] + [_SOURCES.get(name, f"b.{name}") for name in names]
    tables = "message m"
    if any(name not in _OF_MESSAGE for name in names):
        tables += " JOIN blob b ON b.id = m.blob_id"
    if "segment" in names:
        tables += " JOIN segment s ON s.id = b.segment_id"
    which = "m.uid IN (:uids...) ORDER BY m.uid"
    if not listed:
        which = "m.uid BETWEEN :low AND :high ORDER BY m.uid LIMIT :limit"
    text = f"SELECT {', '.join(columns)} FROM {tables} WHERE m.mailbox_id = :mailbox_id AND {which}"
    if _is_packed(want, engine):
        text = _packed(text, [name.split(" AS ")[-1].split(".")[-1] for name in columns])
    return Query(f"fetch_{want.value}_{'in' if listed else 'between'}", text)


def _is_packed(want: Want, engine: Engine) -> bool:
    return want is Want.BRIEF or (engine is Engine.SQLITE and want in _PACKED)


def _packed(text: str, names: Sequence[str]) -> str:
    """Have a query answer in one row that has an array for each column.

    SQLite gives up the interpreter's lock for each row: so it works in one go, beside a thread that has the lock.
    """
    arrays = [f"@array@({'hex(prefix)' if name == 'prefix' else name})" for name in names]
    return f"SELECT {', '.join(arrays)} FROM ({text}) AS chunk"


def unpacked(packed: Rows) -> Rows:
    """Return tuples for the rows that came as one, an array for each column; PostgreSQL's are null of nothing.

    The arrays have the order of the subquery that they were made of.
    """
    columns = [orjson.loads(array or "[]") for array in packed[0]]
    if len(columns) > PREFIX:
        columns[PREFIX] = list(map(bytes.fromhex, columns[PREFIX]))
    return list(zip(*columns, strict=True))
