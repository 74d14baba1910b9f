"""Text search: stretches of the journal are filtered as they lie; what is left is decoded (DESIGN §7).

Both happen in batches and in threads. Only verified bytes make a message match.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

from shared.mailbox.content import Content, Failure, RecordUnavailable, Row
from shared.mailbox.rows import HEADER_SIZE, LARGE, PLACE, PREFIX, SIZE
from shared.message.addresslist import parse_addresses
from shared.message.collation import casemap
from shared.message.header import decode_words, iterate_fields, unfold
from shared.message.prefilter import Prefilter, prefilter
from shared.message.text import contains_text

if TYPE_CHECKING:
    from shared.message.octets import Octets

STRETCH_BYTES = 2 * 1024 * 1024  # octets of a segment filtered at a time, unless a single record is longer
STRETCH_GAP = 64 * 1024  # octets between two records that are cheaper read than skipped
BATCH_BYTES = 4 * 1024 * 1024  # octets read and decoded at a time, unless a single message is longer
BATCH_MESSAGES = 1_000
PARALLEL_STRETCHES = 4  # in memory at once, each with its batch: filtering doesn't hold the interpreter's lock

_ADDRESSES = frozenset((b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"))  # fields that hold some

_place, _prefix, _large = itemgetter(PLACE), itemgetter(PREFIX), itemgetter(LARGE)


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
    """Searches messages; rows are those of `fetch_rows` with `Want.PLACES` or `Want.CONTENT`."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._slots = asyncio.Semaphore(PARALLEL_STRETCHES)

    async def matches(self, rows: Sequence[Row], keys: Sequence[TextKey]) -> Found:
        """Return for each key the UIDs of the messages that match; one pass for all keys.

        A message whose bytes can't be had doesn't match. Cancelling ends it after the current stretches.
        DatabaseUnavailable when a record isn't where its row says and SQL is away.
        """
        found: Found = [set() for _ in keys]
        filters = _filters(keys)
        try:
            async with asyncio.TaskGroup() as tasks:
                for stretch in _stretches(rows):
                    await self._slots.acquire()
                    tasks.create_task(self._search(stretch, keys, filters, found))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        return found

    async def text_matches(
        self, rows: Sequence[Row], text: str, scope: Scope = Scope.TEXT, header: bytes = b""
    ) -> set[int]:
        """Return the UIDs of the messages that match one key; rows of `Want.CONTENT`."""
        return (await self.matches(rows, [TextKey(scope, text, header)]))[0]

    async def _search(
        self, stretch: _Stretch, keys: Sequence[TextKey], filters: Sequence[Prefilter], found: Found
    ) -> None:
        try:
            hits, elsewhere = await asyncio.to_thread(self._look, stretch, keys, filters)
            for batch in _batches(elsewhere):
                _unite(hits, _search_batch(batch, await self._content.read_many(batch), keys))
            _unite(found, hits)
        finally:
            self._slots.release()

    def _look(
        self, stretch: _Stretch, keys: Sequence[TextKey], filters: Sequence[Prefilter]
    ) -> tuple[Found, list[Row]]:
        """Return what is found in a stretch, and the rows whose records aren't where they say."""
        found: Found = [set() for _ in keys]
        elsewhere: list[Row] = []
        start = stretch.starts[0]
        try:
            data = self._content.stretch(stretch.segment, start, stretch.end - start)
        except RecordUnavailable:
            return found, stretch.rows
        for batch in _batches(_candidates(stretch, data, filters) if filters else stretch.rows):
            messages = self._content.read_now(batch, data, start)
            _unite(found, _search_batch(batch, messages, keys))
            elsewhere += [row for row, message in zip(batch, messages, strict=True) if not isinstance(message, bytes)]
        return found, elsewhere


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Rows of records that lie close together in one segment, where each and its message start, the last one's end."""

    segment: str
    rows: list[Row]
    starts: list[int]
    bodies: list[int]
    end: int


def _filters(keys: Iterable[TextKey]) -> list[Prefilter]:
    """Return what of a message has to have one to match any key; nothing when any message may."""
    filters = [prefilter(key.text.replace("@", " ") if _asks_address(key) else key.text) for key in keys]
    return [found for found in filters if found is not None] if None not in filters else []


def _asks_address(key: TextKey) -> bool:
    """Say whether a text may be an address's, of which comments can come between the parts."""
    return key.scope is Scope.HEADER and "@" in key.text and key.header.lower() in _ADDRESSES


def _stretches(rows: Sequence[Row]) -> Iterator[_Stretch]:
    """Yield the rows of records that lie close together, in the journal's order."""
    places = list(map(_place, rows))
    segment, begin, end = "", 0, 0
    numbers: list[int] = []
    starts: list[int] = []
    bodies: list[int] = []
    for number in sorted(range(len(rows)), key=places.__getitem__):
        other, position, length, body = places[number]
        after = position + length
        if numbers and (other != segment or position - end > STRETCH_GAP or after - begin > STRETCH_BYTES):
            yield _Stretch(segment, [rows[at] for at in numbers], starts, bodies, end)
            numbers, starts, bodies = [], [], []
        if not numbers:
            segment, begin = other, position
        numbers.append(number)
        starts.append(position)
        bodies.append(body)
        end = after
    if numbers:
        yield _Stretch(segment, [rows[at] for at in numbers], starts, bodies, end)


def _candidates(stretch: _Stretch, data: bytes, filters: Sequence[Prefilter]) -> Sequence[Row]:
    """Return the rows of a stretch that may match, those included of which that can't be told from here."""
    rows = stretch.rows
    hits = {place for found in filters for place in _hits(found, data, stretch)}
    telling = {
        prefix for prefix in set(map(_prefix, rows)) if any(found.search(prefix) for found in filters)
    }  # what isn't in the segment may match too, as may a large file
    if telling or any(map(_large, rows)):
        hits.update(at for at, row in enumerate(rows) if row[LARGE] or row[PREFIX] in telling)
    return [rows[at] for at in sorted(hits)]


def _hits(found: Prefilter, data: Octets, stretch: _Stretch) -> Iterator[int]:
    """Yield the places of the records in whose messages something is found; copies have the same record.

    What begins in a record's header, numbers and JSON, says nothing about its message. Where one header is found, most
    are, by the digits that their times have in common: then they are all painted over.
    """
    at, starts, is_painted = 0, stretch.starts, False
    while (match := found.search(data, at)) is not None:
        following = bisect_right(starts, starts[0] + match.start())
        body = stretch.bodies[following - 1] - starts[0]
        if match.start() < body:
            at = body
            if not is_painted:
                data, is_painted = _painted(data, stretch), True
            continue
        yield from range(bisect_left(starts, starts[following - 1]), following)
        if following == len(starts):
            return
        at = starts[following] - starts[0]


def _painted(data: Octets, stretch: _Stretch) -> bytearray:
    """Return a stretch in which the records' headers say nothing."""
    painted = bytearray(data)
    for start, body in zip(stretch.starts, stretch.bodies, strict=True):
        painted[start - stretch.starts[0] : body - stretch.starts[0]] = bytes(body - start)
    return painted


def _batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        if batch and (size + row[SIZE] > BATCH_BYTES or len(batch) >= BATCH_MESSAGES):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += row[SIZE]
    if batch:
        yield batch


def _unite(found: Found, more: Found) -> None:
    for uids, others in zip(found, more, strict=True):
        uids |= others


def _search_batch(rows: Sequence[Row], messages: Sequence[bytes | Failure], keys: Sequence[TextKey]) -> Found:
    found: Found = [set() for _ in keys]
    for row, message in zip(rows, messages, strict=True):
        if not isinstance(message, bytes):
            continue
        header_size = len(row[PREFIX]) + row[HEADER_SIZE]
        for uids, key in zip(found, keys, strict=True):
            if _matches(key, message, header_size):
                uids.add(row[0])
    return found


def _matches(key: TextKey, message: bytes, header_size: int) -> bool:
    if key.scope is Scope.HEADER:
        return _header_matches(message[:header_size], key)
    return contains_text(message, key.text, headers=key.scope is Scope.TEXT)


def _header_matches(header: bytes, key: TextKey) -> bool:
    name, text = key.header.lower(), casemap(key.text)
    if name not in header.lower():
        return False
    values = [unfold(field.value) for field in iterate_fields(header) if field.name.lower() == name]
    if any(text in casemap(decode_words(value)) for value in values):
        return True
    return _asks_address(key) and any(_has_address(value, text) for value in values)


def _has_address(value: bytes, text: bytes) -> bool:
    """Say whether an address as ENVELOPE has it holds a text: without comments, quotes and folds (RFC 3501 §6.4.4)."""
    return any(
        text in casemap((mailbox + b"@" + host).decode("utf-8", "replace"))
        for _, _, mailbox, host, _ in parse_addresses(value)
        if mailbox is not None and host is not None
    )
