"""Which messages match search keys: what the rows answer first, then one pass over the text of what is left.

Long searches tell their client how far they are (RFC 9585).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from services.access.imap.fetch import ahead
from services.access.imap.render import Row
from shared.imap import response
from shared.imap.limits import MAX_SEARCH_TEXTS
from shared.imap.objectid import email_id, thread_id
from shared.imap.search import (
    All,
    And,
    Body,
    EmailId,
    Flags,
    Header,
    InUids,
    Not,
    Nothing,
    Or,
    Recent,
    SavedDate,
    SearchKey,
    SentDate,
    Text,
    ThreadId,
    asks_modseq,
    evaluate,
    exact,
    is_fuzzy,
    leaves,
    split,
    transform,
    uid_bounds,
)
from shared.imap.sequence import Range, compact, count, intersect, iterate, subtract
from shared.mailbox.errors import LimitReached
from shared.mailbox.messages import Want
from shared.mailbox.search import Scope, TextKey
from shared.mailbox.words import Answer, is_exact

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

LOOK_UP_FROM = 100  # messages from which on the index is asked
CHUNKS_AT_ONCE = 6  # chunks of rows whose text is searched at a time
PROGRESS_AFTER = 5.0  # seconds between two reports of progress
EXACT, LOOSE = 100, 50  # relevancy: the text itself is there, or all of its words (RFC 6203 §4)
_EPOCH = date(1970, 1, 1)
_TextKeys = Mapping[SearchKey, TextKey]


@dataclass(slots=True)
class Matches:
    """UIDs, ascending; mod-sequences if the search asked for them, relevancy if it was fuzzy."""

    uids: list[int] = field(default_factory=list)
    modseqs: dict[int, int] | None = None
    scores: dict[int, int] | None = None

    def take(self, rows: Sequence[Row], key: SearchKey) -> None:
        """Add rows that match a key of which all text was answered."""
        self.uids += [row[0] for row in rows]
        if self.modseqs is not None:
            self.modseqs.update((row[0], row[2]) for row in rows)
        if self.scores is not None:
            strict = exact(key)
            self.scores.update((row[0], EXACT if evaluate(strict, _Message(row)) else LOOSE) for row in rows)


async def matching(
    session: ImapSession, mailbox_id: int, key: SearchKey, known: Sequence[Range], progress: Progress | None = None
) -> Matches:
    """Return the messages among UIDs that are known to the client that match a bound key; LimitReached."""
    bounds = uid_bounds(key)
    ranges = tuple(known) if bounds is None else intersect(bounds, known)
    text_keys = dict(_text_keys(key))
    if len(text_keys) > MAX_SEARCH_TEXTS:
        raise LimitReached(f"One search looks for at most {MAX_SEARCH_TEXTS} texts")
    found = Matches(modseqs={} if asks_modseq(key) else None, scores={} if is_fuzzy(key) else None)
    progress = progress or Progress(session, None)
    progress.goal += count(ranges)
    looked_up = {text_key.text for text_key in text_keys.values() if text_key.scope is not Scope.HEADER}
    if looked_up and count(ranges) >= LOOK_UP_FROM:
        answer = await session.desk.words.look_up(mailbox_id, looked_up)
        covered = intersect(ranges, answer.covered)
        if covered:
            await _search(session, mailbox_id, _indexed(key, answer), covered, found, progress)
            ranges = subtract(ranges, covered)
    await _search(session, mailbox_id, key, ranges, found, progress)
    found.uids.sort()
    return found


def _indexed(key: SearchKey, answer: Answer) -> SearchKey:
    """Return a key with what the index says of its texts; those that it only narrows down are still looked for."""

    def change(leaf: SearchKey) -> SearchKey:
        match leaf:
            case Text(text) | Body(text) if text in answer.found:
                uids = InUids(answer.found[text])
                return uids if isinstance(leaf, Text) and is_exact(text) else And((uids, leaf))
            case _:
                return leaf

    return transform(key, change)


async def _search(
    session: ImapSession,
    mailbox_id: int,
    key: SearchKey,
    known: Sequence[Range],
    found: Matches,
    progress: Progress,
) -> None:
    """Add the messages among UIDs that match."""
    bounds = uid_bounds(key)
    ranges = tuple(known) if bounds is None else intersect(bounds, known)
    if isinstance(key, All | InUids) and found.modseqs is None and found.scores is None:
        found.uids += iterate(ranges)
        return
    if not ranges:
        return
    async with aclosing(_answers(session, mailbox_id, key, dict(_text_keys(key)), ranges)) as answers:
        async for size, rows, answered in answers:
            found.take(_matched(rows, answered), answered)
            await progress.tell(size)
            await asyncio.sleep(0)


async def _answers(
    session: ImapSession, mailbox_id: int, key: SearchKey, text_keys: _TextKeys, ranges: Sequence[Range]
) -> AsyncGenerator[tuple[int, Sequence[Row], SearchKey], None]:
    """Yield rows and the key with UIDs in place of text; text is searched in several chunks of rows at a time."""
    index = split(key)[0]
    waiting: deque[tuple[int, Sequence[Row], asyncio.Task[SearchKey]]] = deque()
    try:
        rows: Sequence[Row]
        async for fetched in ahead(session.desk.messages.fetch_rows(mailbox_id, ranges, _want(key, text_keys))):
            rows, size = fetched, len(fetched)
            if not text_keys:
                yield size, rows, key
                continue
            if not isinstance(index, All):
                rows = [row for row in rows if evaluate(index, _Message(row))]
            waiting.append((size, rows, asyncio.create_task(_answered(session, rows, key, text_keys))))
            if len(waiting) >= CHUNKS_AT_ONCE:
                size, rows, task = waiting.popleft()
                yield size, rows, await task
        while waiting:
            size, rows, task = waiting.popleft()
            yield size, rows, await task
    finally:
        for _, _, task in waiting:
            task.cancel()
        await asyncio.gather(*(task for _, _, task in waiting), return_exceptions=True)


def _matched(rows: Sequence[Row], key: SearchKey) -> Sequence[Row]:
    if isinstance(key, InUids):
        if not key.ranges:
            return ()
        wanted = frozenset(iterate(key.ranges))
        return [row for row in rows if row[0] in wanted]
    return [row for row in rows if evaluate(key, _Message(row))]


class Progress:
    """How much of a command's search is done, told from time to time if there is a tag (RFC 9585).

    With `counts` off only that it goes on, for it isn't known yet how much there is.
    """

    def __init__(self, session: ImapSession, tag: bytes | None, *, counts: bool = True) -> None:
        self.goal = 0  # messages to look at
        self._session = session
        self._tag = tag
        self._counts = counts
        self._done = 0
        self._clock = asyncio.get_running_loop().time
        self._next = self._clock() + PROGRESS_AFTER

    async def tell(self, more: int) -> None:
        """Note that messages were looked at."""
        if self._tag is not None and self._clock() >= self._next:
            self._next = self._clock() + PROGRESS_AFTER
            code = response.code_inprogress(self._tag, (self._done, self.goal) if self._counts else None)
            self._session.write(response.untagged_status(response.Condition.OK, b"Still searching", code))
            await self._session.connection.drain()
        self._done += more


class _Message:
    """A row as `evaluate` reads it; keys of text have been replaced by UIDs before."""

    __slots__ = ("_row", "flags", "uid")

    recent = False

    def __init__(self, row: Row) -> None:
        self._row = row
        self.uid: int = row[0]
        self.flags: int = row[1]

    @property
    def modseq(self) -> int:
        return int(self._row[2])

    @property
    def size(self) -> int:
        return int(self._row[4])

    @property
    def internal_date(self) -> datetime:
        return datetime.fromtimestamp(self._row[3], UTC)

    @property
    def saved_date(self) -> date:
        return datetime.fromtimestamp(self._row["saved_at"], UTC).date()

    def sent_date(self) -> date | None:
        day = self._row["sent_day"]
        return None if day is None else _EPOCH + timedelta(days=day)

    @property
    def email_id(self) -> bytes:
        return email_id(self._row["entry"])

    @property
    def thread_id(self) -> bytes:
        return thread_id(self._row["entry"], self._row["message_id"], self._row["refs"])

    def header(self, name: bytes) -> Sequence[str]:
        raise TypeError("header keys are answered before")

    def text_contains(self, text: str) -> bool:
        raise TypeError("text keys are answered before")

    def body_contains(self, text: str) -> bool:
        raise TypeError("body keys are answered before")


async def _answered(session: ImapSession, rows: Sequence[Row], key: SearchKey, text_keys: _TextKeys) -> SearchKey:
    """Search the text of rows for all keys at once; return the key with UIDs in their place."""
    found = await session.desk.search.matches(rows, list(text_keys.values()))
    answers = {asked: InUids(compact(uids)) for asked, uids in zip(text_keys, found, strict=True)}
    return transform(key, lambda leaf: answers.get(leaf, leaf))


def _want(key: SearchKey, text_keys: _TextKeys) -> Want:
    if _asks_flags_only(key):
        return Want.BRIEF
    want = Want.PLACES if text_keys else Want.BASE
    for leaf in leaves(key):
        want |= _WANTS.get(type(leaf), Want.BASE)
    return want


_WANTS: dict[type[SearchKey], Want] = {
    SentDate: Want.SENT,
    SavedDate: Want.SAVED,
    EmailId: Want.IDS,
    ThreadId: Want.IDS,
}


def _asks_flags_only(key: SearchKey) -> bool:
    match key:
        case Not(inner):
            return _asks_flags_only(inner)
        case Or(left, right):
            return _asks_flags_only(left) and _asks_flags_only(right)
        case And(keys):
            return all(map(_asks_flags_only, keys))
        case _:
            return isinstance(key, Flags | InUids | All | Nothing | Recent)


def _text_keys(key: SearchKey) -> Iterable[tuple[SearchKey, TextKey]]:
    for leaf in leaves(key):
        match leaf:
            case Text(text):
                yield leaf, TextKey(Scope.TEXT, text)
            case Body(text):
                yield leaf, TextKey(Scope.BODY, text)
            case Header(name, text):
                yield leaf, TextKey(Scope.HEADER, text, name)
