"""SORT: its criteria, the base subject, and the order they make (RFC 5256 §2.1-2.2, §3, RFC 5957, RFC 6203)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from operator import attrgetter
from typing import Any

from shared.imap.grammar import Scanner, SyntaxFailure
from shared.imap.limits import MAX_SORT_KEYS
from shared.message.collation import casemap


class SortKey(Enum):
    """What messages are ordered by; the value is its name on the wire."""

    ARRIVAL = b"ARRIVAL"
    CC = b"CC"
    DATE = b"DATE"
    DISPLAYFROM = b"DISPLAYFROM"
    DISPLAYTO = b"DISPLAYTO"
    FROM = b"FROM"
    RELEVANCY = b"RELEVANCY"
    SIZE = b"SIZE"
    SUBJECT = b"SUBJECT"
    TO = b"TO"


@dataclass(frozen=True, slots=True)
class SortCriterion:
    """A key, and whether its order is turned round."""

    key: SortKey
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class Sortable:
    """A message with what the criteria need of it; texts are `casemap`ped, times Unix seconds."""

    uid: int
    arrival: int = 0
    size: int = 0
    sent: int = 0
    relevancy: int = 100
    subject: bytes = b""
    sender: bytes = b""
    to: bytes = b""
    cc: bytes = b""
    display_from: bytes = b""
    display_to: bytes = b""


@dataclass(frozen=True, slots=True)
class BaseSubject:
    """A subject without what replying and forwarding add; `is_reply` when there was something of that."""

    text: str
    is_reply: bool


def parse_criteria(scanner: Scanner) -> tuple[SortCriterion, ...]:
    """Read `(REVERSE DATE SUBJECT)`."""
    criteria = scanner.parenthesised(lambda: _criterion(scanner), MAX_SORT_KEYS, "sort criteria")
    if not criteria:
        raise SyntaxFailure("Expected sort criteria")
    return tuple(criteria)


def sort(messages: Iterable[Sortable], criteria: Sequence[SortCriterion]) -> list[Sortable]:
    """Return messages in order; those that are alike in all criteria by UID, as in the mailbox."""
    ordered = sorted(messages, key=attrgetter("uid"))
    for criterion in reversed(criteria):
        ordered.sort(key=_VALUES[criterion.key], reverse=criterion.reverse)
    return ordered


def place(ordered: Sequence[Sortable], message: Sortable, criteria: Sequence[SortCriterion]) -> int:
    """Return where in a sorted list a message belongs."""
    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        if _comes_before(ordered[middle], message, criteria):
            low = middle + 1
        else:
            high = middle
    return low


def base_subject(subject: str) -> BaseSubject:
    """Return the base of a decoded subject (RFC 5256 §2.1); its length is the caller's limit."""
    text, is_reply = _SPACES.sub(" ", subject), False
    while True:
        shorter = _without_trailers(text)
        is_reply = is_reply or len(shorter) < len(text.rstrip(" "))
        shorter, replied = _without_leaders(shorter)
        is_reply = is_reply or replied
        wrapped = _FORWARD.fullmatch(shorter)
        if wrapped is None:
            return BaseSubject(shorter, is_reply)
        text, is_reply = wrapped[1], True


_VALUES: dict[SortKey, Callable[[Sortable], Any]] = {
    SortKey.ARRIVAL: attrgetter("arrival"),
    SortKey.CC: attrgetter("cc"),
    SortKey.DATE: attrgetter("sent"),
    SortKey.DISPLAYFROM: attrgetter("display_from"),
    SortKey.DISPLAYTO: attrgetter("display_to"),
    SortKey.FROM: attrgetter("sender"),
    SortKey.RELEVANCY: lambda message: -message.relevancy,
    SortKey.SIZE: attrgetter("size"),
    SortKey.SUBJECT: attrgetter("subject"),
    SortKey.TO: attrgetter("to"),
}
_SPACES = re.compile(r"[ \t\r\n]+")
# subj-trailer = "(fwd)" / WSP
_TRAILER = re.compile(r"(?:\(fwd\)| )$", re.IGNORECASE)
# subj-blob = "[" *BLOBCHAR "]" *WSP
_BLOB = re.compile(r"\[[^\[\]]*\] *")
# subj-leader = (*subj-blob subj-refwd) / WSP; subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"
_LEADER = re.compile(r"(?:\[[^\[\]]*\] *)*(?:re|fwd?) *(?:\[[^\[\]]*\] *)?:| ", re.IGNORECASE)
_FORWARD = re.compile(r"\[fwd:(.*)\]", re.IGNORECASE | re.DOTALL)


def _criterion(scanner: Scanner) -> SortCriterion:
    name = scanner.atom_keyword()
    reverse = name == b"REVERSE"
    if reverse:
        scanner.space()
        name = scanner.atom_keyword()
    try:
        return SortCriterion(SortKey(name), reverse)
    except ValueError:
        raise SyntaxFailure("Unknown sort criterion") from None


def _comes_before(left: Sortable, right: Sortable, criteria: Sequence[SortCriterion]) -> bool:
    for criterion in criteria:
        value = _VALUES[criterion.key]
        first, second = value(left), value(right)
        if first != second:
            return bool(first < second) != criterion.reverse
    return left.uid < right.uid


def _without_trailers(text: str) -> str:
    end = len(text)
    while (found := _TRAILER.search(text, max(end - 5, 0), end)) is not None:
        end = found.start()
    return text[:end]


def _without_leaders(text: str) -> tuple[str, bool]:
    """Remove what replies and lists put before a subject, as long as something remains after a blob."""
    start, replied = 0, False
    while True:
        leader = _LEADER.match(text, start)
        if leader is not None:
            replied = replied or leader[0] != " "
            start = leader.end()
            continue
        blob = _BLOB.match(text, start)
        if blob is None or blob.end() == len(text):
            return text[start:], replied
        start = blob.end()


def first_mailbox(address: Any) -> bytes:
    """Return the mailbox of a field's first address, comparable; of (name, route, mailbox, host), None for none."""
    return b"" if address is None else casemap(_text(address[2]))


def display(address: Any, decode: Callable[[bytes], str]) -> bytes:
    """Return the display name of a field's first address, else its address, comparable (RFC 5957 §3)."""
    if address is None:
        return b""
    name, _, mailbox, host = address
    if name:
        return casemap(decode(name))
    return casemap(decode(mailbox or b"") if host is None else f"{_text(mailbox)}@{_text(host)}")


def _text(octets: bytes | None) -> str:
    return (octets or b"").decode("utf-8", "replace")
