"""SEARCH: what the rows answer first, then one pass over the text of what is left (RFC 3501 §6.4.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from services.access.imap.fetch import ahead
from services.access.imap.outcome import Outcome, done
from services.access.imap.render import Row
from shared.imap import command as commands
from shared.imap import response
from shared.imap.search import (
    All,
    And,
    Body,
    Flags,
    Header,
    InUids,
    Not,
    Nothing,
    Or,
    Recent,
    SearchKey,
    Text,
    bind,
    evaluate,
    need,
    split,
    uid_bounds,
)
from shared.imap.search import Need as Needed
from shared.imap.sequence import Range, compact, intersect
from shared.mailbox.messages import Want
from shared.mailbox.search import Scope, TextKey

if TYPE_CHECKING:
    from services.access.imap.selected import Selected
    from services.access.imap.session import ImapSession

_EPOCH = date(1970, 1, 1)
_TextKeys = Mapping[SearchKey, TextKey]


async def search(session: ImapSession, command: commands.Search) -> Outcome:
    """Tell which messages match."""
    selected = session.the_selected()
    key = bind(command.key, selected.view, selected.flags.keywords)
    known = tuple(selected.view.ranges())
    bounds = uid_bounds(key)
    ranges = known if bounds is None else intersect(bounds, known)
    if isinstance(key, All | InUids):
        uids = [uid for low, high in ranges for uid in range(low, high + 1)]
    else:
        uids = await _matching(session, key, ranges)
    session.write(response.search(uids if command.uid else _numbers(selected, uids)))
    return done(b"SEARCH completed")


class _Message:
    """A row as `evaluate` reads it; keys of text have been replaced by UIDs before."""

    __slots__ = ("_row", "flags", "uid")

    recent = False

    def __init__(self, row: Row) -> None:
        self._row = row
        self.uid: int = row[0]
        self.flags: int = row[1]

    @property
    def size(self) -> int:
        return int(self._row[4])

    @property
    def internal_date(self) -> datetime:
        return datetime.fromtimestamp(self._row[3], UTC)

    def sent_date(self) -> date | None:
        day = self._row["sent_day"]
        return None if day is None else _EPOCH + timedelta(days=day)

    def header(self, name: bytes) -> Sequence[str]:
        raise TypeError("header keys are answered before")

    def text_contains(self, text: str) -> bool:
        raise TypeError("text keys are answered before")

    def body_contains(self, text: str) -> bool:
        raise TypeError("body keys are answered before")


async def _matching(session: ImapSession, key: SearchKey, ranges: Sequence[Range]) -> list[int]:
    """Return the UIDs within ranges that match a bound key."""
    index, text = split(key)
    text_keys = dict(_text_keys(text)) if text is not None else {}
    want = Want.SENT if need(key) >= Needed.HEADER else Want.BASE
    if text_keys:
        want |= Want.CONTENT
    elif _asks_flags_only(key):
        want = Want.BRIEF
    uids: list[int] = []
    mailbox_id = session.the_selected().mailbox_id
    async for rows in ahead(session.desk.messages.fetch_rows(mailbox_id, ranges, want)):
        if not isinstance(index, All):
            rows = [row for row in rows if evaluate(index, _Message(row))]
        if text is None:
            uids += [row[0] for row in rows]
        else:
            uids += await _matching_text(session, rows, text, text_keys)
        await asyncio.sleep(0)
    return uids


async def _matching_text(session: ImapSession, rows: Sequence[Row], key: SearchKey, text_keys: _TextKeys) -> list[int]:
    """Search the text of rows for all keys at once, then combine what was found."""
    if text_keys:
        found = await session.desk.search.matches(rows, list(text_keys.values()))
        answers = {asked: InUids(compact(uids)) for asked, uids in zip(text_keys, found, strict=True)}
        key = _answered(key, answers)
    return [row[0] for row in rows if evaluate(key, _Message(row))]


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
    match key:
        case Text(text):
            yield key, TextKey(Scope.TEXT, text)
        case Body(text):
            yield key, TextKey(Scope.BODY, text)
        case Header(name, text):
            yield key, TextKey(Scope.HEADER, text, name)
        case Not(inner):
            yield from _text_keys(inner)
        case Or(left, right):
            yield from _text_keys(left)
            yield from _text_keys(right)
        case And(keys):
            for inner in keys:
                yield from _text_keys(inner)
        case _:
            return


def _answered(key: SearchKey, answers: Mapping[SearchKey, InUids]) -> SearchKey:
    match key:
        case Text() | Body() | Header():
            return answers[key]
        case Not(inner):
            return Not(_answered(inner, answers))
        case Or(left, right):
            return Or(_answered(left, answers), _answered(right, answers))
        case And(keys):
            return And(tuple(_answered(inner, answers) for inner in keys))
        case _:
            return key


def _numbers(selected: Selected, uids: Sequence[int]) -> Iterable[int]:
    """Return the sequence numbers of ascending UIDs."""
    view = selected.view
    return [number for uid in uids if (number := view.sequence(uid)) is not None]
