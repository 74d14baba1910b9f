"""FETCH responses by the column: a chunk of rows becomes octets with little work for each (RFC 3501 §7.4.2).

A plan cuts a response at its body sections: `* 7 FETCH (UID 9 BODY[] {4096}` CRLF, the octets, `)` CRLF.
Between two cuts is one template that is filled for all rows by `map`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from itertools import chain
from typing import Any

from shared.imap.dates import render_date
from shared.imap.fetch import BinarySection, BodySection, FetchAttribute, FetchItem
from shared.imap.flags import FlagLists
from shared.imap.objectid import email_id, thread_id
from shared.imap.response import FETCH_END, literal_item_head
from shared.imap.view import View
from shared.mailbox.rows import BASE_COLUMNS, COLUMNS, Want
from shared.message.body import SectionText
from shared.message.imap_envelope import render_string

Row = Any
MINUTES = 1_440  # of a day

_WANTS = {
    FetchItem.ENVELOPE: Want.ENVELOPE,
    FetchItem.BODYSTRUCTURE: Want.BODYSTRUCTURE,
    FetchItem.BODY: Want.BODY,
    FetchItem.PREVIEW: Want.PREVIEW,
    FetchItem.SAVEDATE: Want.SAVED,
    FetchItem.EMAILID: Want.IDS,
    FetchItem.THREADID: Want.IDS,
}
_TEMPLATES = {
    FetchItem.UID: b"UID %d",
    FetchItem.FLAGS: b"FLAGS %b",
    FetchItem.INTERNALDATE: b"INTERNALDATE %b",
    FetchItem.RFC822_SIZE: b"RFC822.SIZE %d",
    FetchItem.ENVELOPE: b"ENVELOPE %b",
    FetchItem.BODY: b"BODY %b",
    FetchItem.BODYSTRUCTURE: b"BODYSTRUCTURE %b",
    FetchItem.MODSEQ: b"MODSEQ (%d)",
    FetchItem.PREVIEW: b"PREVIEW %b",
    FetchItem.SAVEDATE: b"SAVEDATE %b",
    FetchItem.EMAILID: b"EMAILID (%b)",
    FetchItem.THREADID: b"THREADID (%b)",
}
_COLUMN_NAMES = {
    FetchItem.UID: "uid",
    FetchItem.RFC822_SIZE: "size",
    FetchItem.ENVELOPE: "envelope",
    FetchItem.BODY: "imap_body",
    FetchItem.BODYSTRUCTURE: "bodystructure",
    FetchItem.MODSEQ: "modseq",
    FetchItem.PREVIEW: "preview",
    FetchItem.SAVEDATE: "saved_at",
    FetchItem.EMAILID: "entry",
    FetchItem.THREADID: "entry",  # and the two columns after it
}
HEADS = {False: b"* %d FETCH (", True: b"* %d UIDFETCH ("}
_BRIEF = frozenset((FetchItem.UID, FetchItem.FLAGS))
_TIMES = [b"%02d:%02d" % divmod(minute, 60) for minute in range(MINUTES)]
_ENDS = [b':%02d +0000"' % second for second in range(60)]


@dataclass(slots=True)
class _Segment:
    """A template, and what fills it: items, the number of the section whose head it ends with, or None."""

    template: bytes
    items: list[FetchItem | int] = field(default_factory=list)
    sized: bytes = b""  # the template for sections that are all there: it wants their sizes instead of their heads


@dataclass(frozen=True, slots=True)
class Plan:
    """How to answer for a list of items; `want` is what to read."""

    items: tuple[FetchAttribute, ...]
    want: Want
    sections: tuple[BodySection, ...]
    segments: tuple[_Segment, ...]
    indexes: dict[FetchItem, int]
    uid_only: bool = False
    one_by_one: bool = False  # there are binary sections: rows are shown by `render_item`


@lru_cache(maxsize=512)
def plan_for(items: tuple[FetchAttribute, ...], uid_only: bool = False) -> Plan:
    """Return the plan of a list of items; `uid_only`: responses are UIDFETCH (RFC 9586 §3.3)."""
    sections = tuple(item for item in items if isinstance(item, BodySection))
    one_by_one = any(isinstance(item, BinarySection) for item in items)
    want = _want_of(sections, one_by_one)
    for item in items:
        if isinstance(item, FetchItem):
            want |= _WANTS.get(item, Want.BASE)
    segments = [_Segment(HEADS[uid_only])]
    number = 0
    for position, item in enumerate(items):
        segments[-1].template += b" " if position else b""
        if isinstance(item, FetchItem):
            segments[-1].template += _TEMPLATES[item]
            segments[-1].items.append(item)
        elif isinstance(item, BodySection):
            segments[-1].sized = segments[-1].template + item.label.replace(b"%", b"%%") + b" {%d}\r\n"
            segments[-1].template += b"%b"
            segments[-1].items.append(number)
            segments.append(_Segment(b""))
            number += 1
    segments[-1].template += b")\r\n"
    if not sections and not want and _BRIEF.issuperset(items):
        want = Want.BRIEF
    return Plan(items, want, sections, tuple(segments), _indexes(want), uid_only, one_by_one)


def _want_of(sections: Sequence[BodySection], one_by_one: bool) -> Want:
    if one_by_one:
        return Want.CONTENT
    are_whole = all(not section.path and section.text.value == SectionText.WHOLE.value for section in sections)
    return (Want.WHOLE if are_whole else Want.CONTENT) if sections else Want.BASE


def render(
    plan: Plan,
    rows: Sequence[Row],
    numbers: Sequence[int],
    flags: FlagLists,
    bodies: Sequence[Sequence[bytes | memoryview | None]] = (),
    told: frozenset[int] = frozenset(),
) -> list[bytes | memoryview]:
    """Return the responses for rows with these sequence numbers, in pieces.

    `bodies` has a column for each of the plan's sections, None for NIL. The flags of the UIDs in `told` are
    added where FLAGS wasn't asked for.
    """
    if not rows:
        return []
    columns = tuple(zip(*rows, strict=True)) if told or len(plan.items) > len(plan.sections) else ()
    streams: list[Any] = []
    last = len(plan.segments) - 1
    for place, segment in enumerate(plan.segments):
        template, items = segment.template, segment.items
        sizes: list[Any] = []
        if place != last and type(None) not in set(map(type, bodies[place])):
            template, items, sizes = segment.sized, segment.items[:-1], [map(len, bodies[place])]  # type: ignore[arg-type]
        values: list[Any] = [numbers] if place == 0 else []
        values += [_column(plan, item, columns, flags, bodies) for item in items] + sizes
        if place == last and told:
            template = template.removesuffix(FETCH_END) + b"%b" + FETCH_END
            values.append(_told(columns, flags, told))
        streams.append(map(template.__mod__, zip(*values, strict=True)) if values else [template] * len(rows))
        if place != last:
            streams.append(bodies[place] if sizes else [body or b"" for body in bodies[place]])
    if len(streams) == 1:
        return [b"".join(streams[0])]
    return list(chain.from_iterable(zip(*streams, strict=True)))


def render_item(plan: Plan, item: FetchItem, row: Row, flags: FlagLists) -> bytes:
    """Return one item of one row."""
    value = _column(plan, item, tuple(zip(row, strict=True)), flags, ())[0]
    return _TEMPLATES[item] % (value,)


def section_head(section: BodySection, body: bytes | memoryview | None) -> bytes:
    """Return a section's item up to its octets, or NIL."""
    return section.label + b" NIL" if body is None else literal_item_head(section.label, len(body))


def _section_heads(section: BodySection, bodies: Sequence[bytes | memoryview | None]) -> Sequence[bytes]:
    return [section_head(section, body) for body in bodies]


def number_rows(view: View, rows: Sequence[Row], uid_only: bool = False) -> tuple[Sequence[Row], Sequence[int]]:
    """Return the rows that the client knows of, and their sequence numbers (or UIDs)."""
    if not rows:
        return rows, ()
    if uid_only:
        known = [row for row in rows if row[0] in view]
        return known, [row[0] for row in known]
    first, last = view.sequence(rows[0][0]), view.sequence(rows[-1][0])
    if first is not None and last is not None and rows[-1][0] - rows[0][0] == last - first == len(rows) - 1:
        return rows, range(first, last + 1)  # neighbours all along
    numbers = {uid: number for number, uid in view.iterate(((rows[0][0], rows[-1][0]),))}
    known = [row for row in rows if row[0] in numbers]
    return known, [numbers[row[0]] for row in known]


def _column(
    plan: Plan,
    item: FetchItem | int,
    columns: Sequence[Sequence[Any]],
    flags: FlagLists,
    bodies: Sequence[Sequence[bytes | memoryview | None]],
) -> Sequence[Any]:
    if isinstance(item, int):
        return _section_heads(plan.sections[item], bodies[item])
    if item is FetchItem.FLAGS:
        return flags.render_all(columns[0], columns[1])
    if item is FetchItem.INTERNALDATE:
        dates = {seconds: internal_date(seconds) for seconds in set(columns[3])}
        return [dates[seconds] for seconds in columns[3]]
    index = plan.indexes[item]
    match item:
        case FetchItem.PREVIEW:
            return [render_string(text.encode()) for text in columns[index]]
        case FetchItem.SAVEDATE:
            return [internal_date(seconds) for seconds in columns[index]]
        case FetchItem.EMAILID:
            return [email_id(entry) for entry in columns[index]]
        case FetchItem.THREADID:
            return list(map(thread_id, *columns[index : index + 3]))
    return columns[index]


def _told(columns: Sequence[Sequence[Any]], flags: FlagLists, told: frozenset[int]) -> Sequence[bytes]:
    lists = flags.render_all(columns[0], columns[1])
    return [b" FLAGS " + text if uid in told else b"" for uid, text in zip(columns[0], lists, strict=True)]


def _indexes(want: Want) -> dict[FetchItem, int]:
    names: Iterator[str] = chain(BASE_COLUMNS, *(names for wish, names in COLUMNS.items() if wish in want))
    places = {name: index for index, name in enumerate(names)}
    return {item: places[name] for item, name in _COLUMN_NAMES.items() if name in places}


def internal_date(seconds: int) -> bytes:
    """Return Unix seconds as INTERNALDATE has them, in UTC."""
    minutes, second = divmod(seconds, 60)
    day, minute = divmod(minutes, MINUTES)
    return _day(day) + _TIMES[minute] + _ENDS[second]


@lru_cache(maxsize=4096)
def _day(day: int) -> bytes:
    """Return days since 1970-01-01 as `" 1-Feb-1994 `; years beyond a calendar's become its first or last."""
    found = date.fromordinal(min(max(719_163 + day, 1), date.max.toordinal()))
    return b'"' + render_date(found).rjust(11) + b" "
