"""Reading message rows: the columns that are asked for and no others, as the engine gives them.

A row is a sequence (unpack it) and a mapping by column name. Its first columns are always
`uid, flags, modseq, internal_date, size`; `COLUMNS` says what each further wish adds, in this order.
`Want.BRIEF`, alone, stops after the flags.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from enum import Flag, auto
from functools import lru_cache
from typing import TypeAlias

from shared.db import Database, Query, Rows, Statement, Work
from shared.imap.sequence import Range
from shared.mailbox.ranges import Piece, pieces

FETCH_CHUNK = 2_000  # rows in memory at a time
THREAD_FROM = 200  # rows from which on SQLite reads in another thread


class Want(Flag):
    """What to read besides uid, flags, modseq, internal_date and size."""

    BASE = 0
    ENVELOPE = auto()
    BODYSTRUCTURE = auto()
    BODY = auto()  # IMAP's BODY without extension data
    SENT = auto()
    CONTENT = auto()  # what shared.mailbox.content needs to read the bytes
    TEXT = auto()  # for lists of a webmail
    BRIEF = auto()  # uid and flags only: half the time of BASE


COLUMNS: dict[Want, tuple[str, ...]] = {
    Want.ENVELOPE: ("envelope",),
    Want.BODYSTRUCTURE: ("bodystructure",),
    Want.BODY: ("imap_body",),
    Want.SENT: ("sent_at", "sent_day"),
    Want.CONTENT: (
        "prefix",
        "blob_id",
        "header_size",
        "parts",
        "segment",
        "position",
        "length",
        "body",
        "inline_size",
        "record_size",
        "large",
    ),
    Want.TEXT: ("subject", "preview", "message_id", "refs"),
}
BASE_COLUMNS = ("uid", "flags", "modseq", "internal_date", "size")

_SOURCES = {
    "prefix": "m.prefix",
    "blob_id": "m.blob_id",
    "segment": "s.name AS segment",
    "record_size": "b.size AS record_size",
}
_OF_MESSAGE = frozenset({"prefix", "blob_id"})

Fetched: TypeAlias = AsyncGenerator[Rows, None]


async def fetch_rows(database: Database, mailbox_id: int, ranges: Iterable[Range], want: Want = Want.BASE) -> Fetched:
    """Yield the rows of UIDs in ascending order, at most FETCH_CHUNK at a time.

    Rows of expunged messages come too while they are kept (other sessions may still show them); a UID
    without a row is gone for good. Each chunk is a snapshot of its own.
    """
    for piece in pieces(ranges):
        low = piece.low
        while low <= piece.high:
            read = database.read if _is_small(piece, low) else database.scan
            rows = await read(_chunk, mailbox_id, piece, low, want)
            if rows:
                yield rows
            if len(rows) < FETCH_CHUNK:
                break
            low = rows[-1][0] + 1


def _is_small(piece: Piece, low: int) -> bool:
    return (len(piece.uids) or piece.high - low + 1) < THREAD_FROM


def _chunk(mailbox_id: int, piece: Piece, low: int, want: Want) -> Work[Rows]:
    rows = yield _select(mailbox_id, piece, low, want)
    return rows


def _select(mailbox_id: int, piece: Piece, low: int, want: Want) -> Statement:
    query = _query(want, bool(piece.uids))
    if piece.uids:
        return query(mailbox_id=mailbox_id, uids=piece.uids)
    return query(mailbox_id=mailbox_id, low=low, high=piece.high, limit=FETCH_CHUNK)


@lru_cache(maxsize=256)
def _query(want: Want, listed: bool) -> Query:
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
    return Query(f"fetch_{want.value}_{'in' if listed else 'between'}", text)
