"""SEARCH keys as values, and their evaluation on one message (RFC 3501 §6.4.4).

With the keys of WITHIN (RFC 5032), CONDSTORE (RFC 7162), SAVEDATE (RFC 8514), OBJECTID (RFC 8474) and FUZZY
(RFC 6203). A parsed key still speaks of sequence numbers and keyword names; `bind` turns it into one
that speaks of UIDs and flag bits only; `evaluate` takes bound keys. `split` separates what
the index answers from what needs the message's text, so that text is read for few messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import Enum, IntEnum
from typing import Protocol

from shared.imap.flags import Keywords
from shared.imap.limits import MAX_FUZZY_WORDS
from shared.imap.sequence import Range, SequenceSet, contains, intersect, normalise
from shared.imap.view import View
from shared.message.collation import casemap


class DateTest(Enum):
    """How a message's date is compared with the key's."""

    BEFORE = "before"
    ON = "on"
    SINCE = "since"


@dataclass(frozen=True, slots=True)
class All:
    """Every message."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """No message."""


@dataclass(frozen=True, slots=True)
class Sequences:
    """Messages by sequence number (before `bind`)."""

    numbers: SequenceSet


@dataclass(frozen=True, slots=True)
class Uids:
    """Messages by UID (before `bind`)."""

    numbers: SequenceSet


@dataclass(frozen=True, slots=True)
class InUids:
    """Messages whose UID is in sorted, disjoint ranges (after `bind`)."""

    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Flags:
    """Messages that have all flag bits of `mask`, or none of them."""

    mask: int
    present: bool = True


@dataclass(frozen=True, slots=True)
class Keyword:
    """Messages with or without a keyword (before `bind`)."""

    name: bytes
    present: bool = True


@dataclass(frozen=True, slots=True)
class Recent:
    r"""Messages that are \Recent in this session."""


@dataclass(frozen=True, slots=True)
class InternalDate:
    """Compares the day of INTERNALDATE, whatever its time and zone."""

    test: DateTest
    day: date


@dataclass(frozen=True, slots=True)
class SentDate:
    """Compares the day of the Date header, whatever its time and zone."""

    test: DateTest
    day: date


@dataclass(frozen=True, slots=True)
class Larger:
    """RFC822.SIZE above `size` octets."""

    size: int


@dataclass(frozen=True, slots=True)
class Smaller:
    """RFC822.SIZE below `size` octets."""

    size: int


@dataclass(frozen=True, slots=True)
class Older:
    """INTERNALDATE at least `seconds` ago (before `bind`)."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Younger:
    """INTERNALDATE at most `seconds` ago (before `bind`)."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """INTERNALDATE not after, or not before, a moment in Unix seconds (after `bind`)."""

    moment: int
    before: bool


@dataclass(frozen=True, slots=True)
class SavedDate:
    """Compares the day when the message came into this mailbox."""

    test: DateTest
    day: date


@dataclass(frozen=True, slots=True)
class Modseq:
    """The mod-sequence is `value` or higher."""

    value: int


@dataclass(frozen=True, slots=True)
class EmailId:
    """The message's EMAILID."""

    value: bytes


@dataclass(frozen=True, slots=True)
class ThreadId:
    """The message's THREADID."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """A header field of this name (lower case) holds `text`; empty text: the field exists."""

    name: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Body:
    """The body holds `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """Header or body hold `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class Not:
    """Messages that don't match."""

    key: SearchKey


@dataclass(frozen=True, slots=True)
class Or:
    """Messages that match one or both."""

    left: SearchKey
    right: SearchKey


@dataclass(frozen=True, slots=True)
class And:
    """Messages that match all keys."""

    keys: tuple[SearchKey, ...]


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """Messages that match `loose`; those that match `exact` too are more relevant (RFC 6203)."""

    exact: SearchKey
    loose: SearchKey


SearchKey = (
    All
    | Nothing
    | Sequences
    | Uids
    | InUids
    | Flags
    | Keyword
    | Recent
    | InternalDate
    | SentDate
    | Larger
    | Smaller
    | Older
    | Younger
    | Arrived
    | SavedDate
    | Modseq
    | EmailId
    | ThreadId
    | Header
    | Body
    | Text
    | Not
    | Or
    | And
    | Fuzzy
)


class SearchableMessage(Protocol):
    """What `evaluate` reads; header and body are loaded when they are asked for."""

    @property
    def uid(self) -> int: ...
    @property
    def flags(self) -> int: ...
    @property
    def recent(self) -> bool: ...
    @property
    def internal_date(self) -> datetime: ...
    @property
    def size(self) -> int: ...
    @property
    def modseq(self) -> int: ...
    @property
    def saved_date(self) -> date: ...
    @property
    def email_id(self) -> bytes: ...
    @property
    def thread_id(self) -> bytes: ...

    def sent_date(self) -> date | None:
        """The day in the Date header, in the header's own zone; None without a usable one."""
        ...

    def header(self, name: bytes) -> Sequence[str]:
        """The decoded values of all fields of a lower-case name."""
        ...

    def text_contains(self, text: str) -> bool:
        """Say whether header or body hold text, their encodings undone."""
        ...

    def body_contains(self, text: str) -> bool:
        """Say whether the body holds text, its encodings undone."""
        ...


class Need(IntEnum):
    """What has to be read to answer a key; each includes those before it."""

    INDEX = 0
    HEADER = 1
    BODY = 2


def names_saved(key: SearchKey) -> bool:
    """Say whether an unbound key names the result of an earlier search."""
    return any(isinstance(leaf, Sequences | Uids) and leaf.numbers.saved for leaf in leaves(key))


def need(key: SearchKey) -> Need:
    """Say what has to be read to answer a key."""
    match key:
        case Header() | SentDate():
            return Need.HEADER
        case Body() | Text():
            return Need.BODY
        case Not(inner):
            return need(inner)
        case Or(left, right):
            return max(need(left), need(right))
        case And(keys):
            return max(map(need, keys), default=Need.INDEX)
        case Fuzzy(_, loose):
            return need(loose)
        case _:
            return Need.INDEX


def needs_headers(key: SearchKey) -> bool:
    """Say whether the key can't be answered from the index row."""
    return need(key) >= Need.HEADER


def needs_body(key: SearchKey) -> bool:
    """Say whether the key needs the body's text."""
    return need(key) is Need.BODY


def leaves(key: SearchKey) -> Iterator[SearchKey]:
    """Yield the keys that aren't made of others."""
    match key:
        case Not(inner):
            yield from leaves(inner)
        case Or(left, right) | Fuzzy(left, right):
            yield from leaves(left)
            yield from leaves(right)
        case And(keys):
            for inner in keys:
                yield from leaves(inner)
        case _:
            yield key


def transform(key: SearchKey, change: Callable[[SearchKey], SearchKey]) -> SearchKey:
    """Return a key with each of its leaves changed; of keys that are joined, those that cost least come first."""
    match key:
        case Not(inner):
            return Not(transform(inner, change))
        case Or(left, right):
            return Or(*sorted((transform(left, change), transform(right, change)), key=need))
        case And(keys):
            return And(tuple(sorted((transform(inner, change) for inner in keys), key=need)))
        case Fuzzy(exact, loose):
            return Fuzzy(transform(exact, change), transform(loose, change))
        case _:
            return change(key)


def bind(
    key: SearchKey,
    view: View,
    keywords: Keywords,
    saved: Sequence[Range] = (),
    now: int = 0,
    recent: tuple[Range, ...] = (),
) -> SearchKey:
    r"""Resolve sequence numbers, `*`, `$` (the UIDs `saved`), keywords, ages at `now` (Unix seconds) and \Recent.

    A sequence number without a message matches nothing, and is no error as it is in FETCH: clients that search
    `1:*` of an empty mailbox, or `6:*` where there are five, are used to an answer.
    """
    return transform(
        key, lambda leaf: InUids(recent) if isinstance(leaf, Recent) else _bind(leaf, view, keywords, saved, now)
    )


def clipped(key: SearchKey, messages: int) -> SearchKey:
    """Return an unbound key for a mailbox of which the client doesn't know how many messages there are."""

    def clip(leaf: SearchKey) -> SearchKey:
        if not isinstance(leaf, Sequences):
            return leaf
        ranges = intersect(leaf.numbers.resolve(messages), ((1, messages),)) if messages else ()
        return Sequences(SequenceSet(ranges)) if ranges else Nothing()

    return transform(key, clip)


def _bind(key: SearchKey, view: View, keywords: Keywords, saved: Sequence[Range], now: int) -> SearchKey:
    match key:
        case Sequences(numbers):
            ranges = view.uids_of_known_sequences(numbers) if numbers.ranges else ()
            return InUids(normalise((*ranges, *saved)) if numbers.saved else ranges)
        case Uids(numbers):
            ranges = numbers.resolve(view.largest_uid)
            return InUids(normalise((*ranges, *saved)) if numbers.saved else ranges)
        case Keyword(name, present):
            bit = keywords.bit(name)
            if bit is None:
                return Nothing() if present else All()
            return Flags(bit, present)
        case Older(seconds):
            return Arrived(now - seconds, before=True)
        case Younger(seconds):
            return Arrived(now - seconds, before=False)
        case _:
            return key


def loosened(key: SearchKey) -> SearchKey:
    """Return the key that FUZZY makes of another: all words of a text, in any place and order (RFC 6203 §3)."""
    match key:
        case Text(text) | Body(text) | Header(_, text):
            words = text.split()[:MAX_FUZZY_WORDS]
            return And(tuple(replace(key, text=word) for word in words)) if len(words) > 1 else key
        case Or(left, right):
            return Or(loosened(left), loosened(right))
        case And(keys):
            return And(tuple(map(loosened, keys)))
        case _:
            return key


def exact(key: SearchKey) -> SearchKey:
    """Return a key without its fuzziness."""
    match key:
        case Not(inner):
            return Not(exact(inner))
        case Or(left, right):
            return Or(exact(left), exact(right))
        case And(keys):
            return And(tuple(map(exact, keys)))
        case Fuzzy(inner, _):
            return exact(inner)
        case _:
            return key


def is_fuzzy(key: SearchKey) -> bool:
    """Say whether there is a FUZZY key."""
    match key:
        case Not(inner):
            return is_fuzzy(inner)
        case Or(left, right):
            return is_fuzzy(left) or is_fuzzy(right)
        case And(keys):
            return any(map(is_fuzzy, keys))
        case _:
            return isinstance(key, Fuzzy)


def asks_modseq(key: SearchKey) -> bool:
    """Say whether a mod-sequence is compared, so that the answer tells the highest one (RFC 7162 §3.1.5)."""
    return any(isinstance(leaf, Modseq) for leaf in leaves(key))


def names_sequences(key: SearchKey) -> bool:
    """Say whether an unbound key names messages by their sequence numbers."""
    return any(isinstance(leaf, Sequences) and leaf.numbers.ranges for leaf in leaves(key))


def split(key: SearchKey) -> tuple[SearchKey, SearchKey | None]:
    """Return (what the index answers, what then has to be asked of the text or None); both must match."""
    if need(key) is Need.INDEX:
        return key, None
    if not isinstance(key, And):
        return All(), key
    index = tuple(inner for inner in key.keys if need(inner) is Need.INDEX)
    text = tuple(inner for inner in key.keys if need(inner) is not Need.INDEX)
    return And(index), And(text)


def uid_bounds(key: SearchKey) -> tuple[Range, ...] | None:
    """Return UID ranges outside which no message matches a bound key, or None when there are none."""
    match key:
        case InUids(ranges):
            return ranges
        case Nothing():
            return ()
        case Or(left, right):
            bounds = uid_bounds(left), uid_bounds(right)
            return None if bounds[0] is None or bounds[1] is None else normalise(bounds[0] + bounds[1])
        case And(keys):
            return _common(filter(None, (_Bound.of(inner) for inner in keys)))
        case Fuzzy(_, loose):
            return uid_bounds(loose)
        case _:
            return None


@dataclass(frozen=True, slots=True)
class _Bound:
    ranges: tuple[Range, ...]

    @classmethod
    def of(cls, key: SearchKey) -> _Bound | None:
        ranges = uid_bounds(key)
        return None if ranges is None else cls(ranges)


def _common(bounds: Iterable[_Bound]) -> tuple[Range, ...] | None:
    common: tuple[Range, ...] | None = None
    for bound in bounds:
        common = bound.ranges if common is None else intersect(common, bound.ranges)
    return common


def evaluate(key: SearchKey, message: SearchableMessage) -> bool:
    """Say whether a message matches a bound key."""
    match key:
        case And(keys):
            return all(evaluate(inner, message) for inner in keys)
        case Flags(mask, True):
            return message.flags & mask == mask
        case Flags(mask, False):
            return not message.flags & mask
        case InUids(ranges):
            return contains(ranges, message.uid)
        case Not(inner):
            return not evaluate(inner, message)
        case Or(left, right):
            return evaluate(left, message) or evaluate(right, message)
        case Fuzzy(_, loose):
            return evaluate(loose, message)
        case All():
            return True
        case Nothing():
            return False
        case _:
            return _evaluate_row(key, message)


def _evaluate_row(key: SearchKey, message: SearchableMessage) -> bool:
    match key:
        case Recent():
            return message.recent
        case InternalDate(test, day):
            return _compare(test, message.internal_date.date(), day)
        case Larger(size):
            return message.size > size
        case Smaller(size):
            return message.size < size
        case Arrived(moment, before):
            arrived = int(message.internal_date.timestamp())
            return arrived <= moment if before else arrived >= moment
        case SavedDate(test, day):
            return _compare(test, message.saved_date, day)
        case Modseq(value):
            return message.modseq >= value
        case EmailId(name):
            return message.email_id == name
        case ThreadId(name):
            return message.thread_id == name
        case _:
            return _evaluate_text(key, message)


def _evaluate_text(key: SearchKey, message: SearchableMessage) -> bool:
    match key:
        case SentDate(test, day):
            sent = message.sent_date()
            return sent is not None and _compare(test, sent, day)
        case Header(name, text):
            wanted = casemap(text)
            return any(wanted in casemap(value) for value in message.header(name))
        case Body(text):
            return message.body_contains(text)
        case Text(text):
            return message.text_contains(text)
        case _:
            raise TypeError("the key was not bound")


def _compare(test: DateTest, day: date, wanted: date) -> bool:
    match test:
        case DateTest.BEFORE:
            return day < wanted
        case DateTest.ON:
            return day == wanted
        case DateTest.SINCE:
            return day >= wanted
