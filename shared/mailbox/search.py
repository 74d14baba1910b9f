"""Text search: the journal's records are scanned, decoded, in batches and in threads (DESIGN §7)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from shared.mailbox.content import Content, Failure, Row
from shared.message.header import decode_words, iterate_fields, unfold
from shared.message.text import contains_text

BATCH_BYTES = 4 * 1024 * 1024  # octets read and searched at a time, unless a single message is longer
BATCH_MESSAGES = 1_000
PARALLEL_BATCHES = 2  # in memory at once: reading one while another is searched


class Scope(Enum):
    """Where a text is looked for."""

    TEXT = auto()  # header or body
    BODY = auto()
    HEADER = auto()  # fields of one name


@dataclass(frozen=True, slots=True)
class TextKey:
    """One question: `text` in any case, a substring; in HEADER, "" asks whether the field exists."""

    scope: Scope
    text: str
    header: bytes = b""  # the field's name, for HEADER


Found: TypeAlias = list[set[int]]


class TextSearch:
    """Searches messages; rows are those of `fetch_rows(…, Want.CONTENT)`."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._slots = asyncio.Semaphore(PARALLEL_BATCHES)

    async def matches(self, rows: Sequence[Row], keys: Sequence[TextKey]) -> Found:
        """Return for each key the UIDs of the messages that match; one pass for all keys.

        A message whose bytes can't be had doesn't match. Cancelling ends it after the current batch.
        """
        found: Found = [set() for _ in keys]
        async with asyncio.TaskGroup() as tasks:
            for batch in _batches(rows):
                await self._slots.acquire()
                tasks.create_task(self._search(batch, keys, found))
        return found

    async def text_matches(
        self, rows: Sequence[Row], text: str, scope: Scope = Scope.TEXT, header: bytes = b""
    ) -> set[int]:
        """Return the UIDs of the messages that match one key."""
        return (await self.matches(rows, [TextKey(scope, text, header)]))[0]

    async def _search(self, rows: Sequence[Row], keys: Sequence[TextKey], found: Found) -> None:
        try:
            messages = await self._content.read_many(rows)
            hits = await asyncio.to_thread(_search_batch, rows, messages, keys)
            for uids, more in zip(found, hits, strict=True):
                uids |= more
        finally:
            self._slots.release()


def _batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        if batch and (size + row["size"] > BATCH_BYTES or len(batch) >= BATCH_MESSAGES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += row["size"]
    if batch:
        yield batch


def _search_batch(rows: Sequence[Row], messages: Sequence[bytes | Failure], keys: Sequence[TextKey]) -> Found:
    found: Found = [set() for _ in keys]
    for row, message in zip(rows, messages, strict=True):
        if not isinstance(message, bytes):
            continue
        header_size = len(row["prefix"]) + row["header_size"]
        for uids, key in zip(found, keys, strict=True):
            if _matches(key, message, header_size):
                uids.add(row["uid"])
    return found


def _matches(key: TextKey, message: bytes, header_size: int) -> bool:
    if key.scope is Scope.HEADER:
        return _header_matches(message[:header_size], key.header.lower(), key.text.lower())
    return contains_text(message, key.text, headers=key.scope is Scope.TEXT)


def _header_matches(header: bytes, name: bytes, text: str) -> bool:
    if name not in header.lower():
        return False
    return any(
        text in decode_words(unfold(field.value)).lower()
        for field in iterate_fields(header)
        if field.name.lower() == name
    )
