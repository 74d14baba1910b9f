"""An index of words: which messages of a mailbox have which, in blocks that are written once (DESIGN §7).

A block holds the distinct words of some messages as one run of octets, so that a part of a word is found by
searching in it; a text that is a word itself is answered without reading any message.
"""

from __future__ import annotations

import asyncio
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.db import Database, Rows, Work, load
from shared.imap.sequence import Range, compact, iterate, normalise
from shared.message.words import is_word, query_words, words_of

BLOCK_MESSAGES = 256
"""Of one block: a message's place in it is an octet."""
MAX_INDEXED_BYTES = 1024 * 1024
"""Larger messages are left to the scan."""
BITMAP_BYTES = BLOCK_MESSAGES // 8
"""A word of as many messages or more has a bit for each message, one of fewer an octet for each that has it."""
READ_BLOCKS = 64
"""Blocks whose words are in memory at a time."""

sql = load("search")


@dataclass(frozen=True, slots=True)
class Block:
    """A block as it is stored."""

    uids: bytes
    words: bytes
    postings: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """Which UIDs the index knows, and for each text those that may contain it; exactly those if it is a word."""

    covered: tuple[Range, ...]
    found: Mapping[str, tuple[Range, ...]]


class WordIndex:
    """Looks texts up; one per process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look_up(self, mailbox_id: int, texts: Iterable[str]) -> Answer:
        """Return what the index says of texts that have words; the others aren't in the answer."""
        asked = {text: words for text in texts if (words := query_words(text))}
        covered: list[Range] = []
        found: dict[str, set[int]] = {text: set() for text in asked}
        if not asked:
            return Answer((), {})
        after = 0
        while True:
            rows = await self._database.read(_words, mailbox_id, after)
            hits = await asyncio.to_thread(_hits, rows, asked)
            postings = await self._database.read(_postings, [row["id"] for row, _ in hits]) if hits else {}
            for row, places in hits:
                uids = unpack_uids(row["uids"])
                for text, each in places.items():
                    found[text].update(_members(uids, each, postings[row["id"]]))
            for row in rows:
                covered += unpack_ranges(row["uids"])
            if len(rows) < READ_BLOCKS:
                return Answer(normalise(covered), {text: compact(uids) for text, uids in found.items()})
            after = rows[-1]["first_uid"]


def is_exact(text: str) -> bool:
    """Say whether the index's answer for a text is what reading the messages would find."""
    return is_word(text)


def build(messages: Iterable[tuple[int, bytes]]) -> Block:
    """Return the block of at most BLOCK_MESSAGES messages with their UIDs."""
    having: defaultdict[bytes, list[int]] = defaultdict(list)
    uids: list[int] = []
    for place, (uid, message) in enumerate(messages):
        uids.append(uid)
        for word in words_of(message):
            having[word].append(place)
    words = sorted(having)
    entries = [_entry(having[word]) for word in words]
    offsets = [0]
    for entry in entries:
        offsets.append(offsets[-1] + len(entry))
    head = struct.pack(f"<I{len(offsets)}I", len(words), *offsets)
    return Block(pack_uids(uids), b"\n" + b"".join([word + b"\n" for word in words]), head + b"".join(entries))


def pack_uids(uids: Iterable[int]) -> bytes:
    """Return ascending UIDs as ranges of 32 bits."""
    return b"".join([struct.pack("<II", low, high) for low, high in compact(uids)])


def unpack_ranges(packed: bytes) -> list[Range]:
    """Return the ranges of packed UIDs."""
    return [(low, high) for low, high in struct.iter_unpack("<II", packed)]


def unpack_uids(packed: bytes) -> list[int]:
    """Return packed UIDs one by one."""
    return list(iterate(unpack_ranges(packed)))


def find_words(words: bytes, part: bytes) -> Iterator[int]:
    """Yield the places of the words of a block that contain a part."""
    at = counted = place = 0
    while (at := words.find(part, at)) >= 0:
        place += words.count(b"\n", counted, at)
        counted = at
        yield place - 1
        at = words.index(b"\n", at)


_Places = dict[str, list[list[int]]]


def _hits(rows: Rows, asked: Mapping[str, Sequence[bytes]]) -> list[tuple[Any, _Places]]:
    """Return the rows in which there are all words of a text, and for each its places among the row's words."""
    hits: list[tuple[Any, _Places]] = []
    for row in rows:
        places: _Places = {}
        for text, words in asked.items():
            each = [list(find_words(row["words"], word)) for word in words]
            if all(each):
                places[text] = each
        if places:
            hits.append((row, places))
    return hits


def _members(uids: Sequence[int], words: Sequence[Sequence[int]], postings: bytes) -> Iterator[int]:
    """Yield the messages that have, for each word of a text, one of the words it is a part of."""
    count: int = struct.unpack_from("<I", postings)[0]
    begin = 4 * (count + 2)
    bits = (1 << len(uids)) - 1
    for places in words:
        having = 0
        for place in places:
            first, last = struct.unpack_from("<II", postings, 4 + 4 * place)
            having |= _bits(postings[begin + first : begin + last])
        bits &= having
    while bits:
        lowest = bits & -bits
        yield uids[lowest.bit_length() - 1]
        bits ^= lowest


def _entry(places: Sequence[int]) -> bytes:
    if len(places) < BITMAP_BYTES:
        return bytes(places)
    return sum(1 << place for place in places).to_bytes(BITMAP_BYTES, "little")


def _bits(entry: bytes) -> int:
    if len(entry) == BITMAP_BYTES:
        return int.from_bytes(entry, "little")
    return sum(1 << place for place in entry)


def _words(mailbox_id: int, after: int) -> Work[Rows]:
    rows = yield sql.words(mailbox_id=mailbox_id, after=after, limit=READ_BLOCKS)
    return rows


def _postings(ids: Sequence[int]) -> Work[dict[int, bytes]]:
    rows = yield sql.postings(ids=list(ids))
    return {row["id"]: row["postings"] for row in rows}
