"""APPEND and REPLACE piece by piece: their messages are streamed, so the grammar waits at each literal.

append  = "APPEND" SP mailbox 1*append-message                                     (RFC 3501, RFC 3502)
replace = "REPLACE" SP seq-number SP mailbox append-message                        (RFC 8508)
append-message = [SP flag-list] [SP date-time] SP append-data                      (RFC 4466)
append-data = literal / literal8 / "UTF8" SP "(" literal8 ")" / "CATENATE" SP "(" cat-part *(SP cat-part) ")"
cat-part = "TEXT" SP (literal / literal8) / "URL" SP astring / "UTF8" SP "(" literal8 ")"   (RFC 4469, RFC 6855)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from shared.imap.flags import FlagSet
from shared.imap.grammar import Scanner, SyntaxFailure
from shared.imap.limits import MAX_APPEND_MESSAGES, MAX_CATENATE_PARTS, MAX_LITERAL
from shared.imap.sequence import SequenceSet


@dataclass(frozen=True, slots=True)
class AppendHead:
    """Where to; for REPLACE also what goes (its UID when `uid`)."""

    mailbox: str
    replaced: SequenceSet | None = None
    uid: bool = False


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message begins."""

    flags: FlagSet
    internal_date: datetime | None


@dataclass(frozen=True, slots=True)
class Octets:
    """The message's next octets; `data` is None when they are streamed. `utf8`: its header may be UTF-8."""

    size: int
    binary: bool = False
    utf8: bool = False
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Url:
    """The message's next octets are those of a message, or a section of one, that is stored already."""

    text: bytes


@dataclass(frozen=True, slots=True)
class EndOfMessage:
    """The message is whole."""


Step = NewMessage | Octets | Url | EndOfMessage


class _Place(Enum):
    HEAD = auto()
    MESSAGE = auto()
    LITERAL = auto()
    UTF8 = auto()
    PART = auto()
    AFTER_LITERAL = auto()
    AFTER_UTF8 = auto()
    AFTER_PART = auto()
    AFTER_UTF8_PART = auto()
    AFTER_MESSAGE = auto()


class _LiteralAwaited(Exception):
    """The text ends where the octets of a literal that isn't a message's would begin."""


# literal or literal8 whose octets are yet to come
_ANNOUNCEMENT = re.compile(rb"(~?)\{([0-9]{1,20})\+?\}")
_SEQUENCE_NUMBER = re.compile(rb"(?:\*|[1-9][0-9]*)(?= )")


class AppendParser:
    """Follows one command, of which it is given what comes after the name.

    `announced` takes the text up to a literal's announcement and gives the steps up to its octets, or None when
    the literal is an argument that is to be buffered. `ended` takes the rest. Both raise SyntaxFailure.
    """

    __slots__ = ("_messages", "_parts", "_place", "head", "is_replace", "uid")

    def __init__(self, *, is_replace: bool = False, uid: bool = False) -> None:
        self.is_replace = is_replace
        self.uid = uid
        self.head: AppendHead | None = None
        self._place = _Place.HEAD
        self._messages = 0
        self._parts = 0

    @property
    def in_catenate(self) -> bool:
        """Whether the current message is put together from parts."""
        return self._parts > 0

    def announced(self, scanner: Scanner) -> list[Step] | None:
        """Take a text that ends with the announcement of a literal."""
        before = (scanner.position, self.head, self._place, self._messages, self._parts)
        try:
            steps = self._follow(scanner)
        except _LiteralAwaited:
            scanner.position, self.head, self._place, self._messages, self._parts = before
            return None
        if not steps or not isinstance(steps[-1], Octets) or steps[-1].data is not None:
            raise SyntaxFailure("Unexpected literal")
        return steps

    def ended(self, scanner: Scanner) -> list[Step]:
        """Take the command's end."""
        try:
            steps = self._follow(scanner)
        except _LiteralAwaited:
            raise SyntaxFailure("Expected a string") from None
        if self._place is not _Place.AFTER_MESSAGE:
            raise SyntaxFailure("Expected a message")
        return steps

    def _follow(self, scanner: Scanner) -> list[Step]:
        steps: list[Step] = []
        while True:
            if self._place is _Place.AFTER_MESSAGE and scanner.at_end():
                return steps
            step = _TRANSITIONS[self._place](self, scanner)
            if step is not None:
                steps.append(step)
            if isinstance(step, Octets) and step.data is None:
                return steps

    # What is read at each place

    def _read_head(self, scanner: Scanner) -> Step | None:
        scanner.space()
        replaced = None
        if self.is_replace:
            replaced = _message_number(scanner)
            scanner.space()
        _refuse_awaited(scanner)
        self.head = AppendHead(scanner.mailbox(), replaced, self.uid)
        self._place = _Place.MESSAGE
        return None

    def _read_message(self, scanner: Scanner) -> Step | None:
        self._messages += 1
        if self._messages > MAX_APPEND_MESSAGES:
            raise SyntaxFailure("Too many messages")
        scanner.space()
        if self._messages > 1 and scanner.peek() == b" ":
            scanner.space()  # IMAPClient writes two
        self._parts = 0
        flags, moment = FlagSet(), None
        if scanner.peek() == b"(":
            flags = scanner.flag_list()
            scanner.space()
        if scanner.peek() == b'"':
            moment = scanner.date_time()
            scanner.space()
        self._place = self._open_data(scanner)
        return NewMessage(flags, moment)

    def _open_data(self, scanner: Scanner) -> _Place:
        """Look at which kind of data comes; return where to read it."""
        if scanner.peek() in (b"{", b"~"):
            return _Place.LITERAL
        match scanner.keyword():
            case b"CATENATE":
                scanner.space()
                scanner.expect(b"(")
                return _Place.PART
            case b"UTF8":
                _open_utf8(scanner)
                return _Place.UTF8
        raise SyntaxFailure("Expected a message as a literal")

    def _read_literal(self, scanner: Scanner) -> Step | None:
        self._place = _Place.AFTER_LITERAL
        return _octets(scanner)

    def _read_utf8(self, scanner: Scanner) -> Step | None:
        self._place = _Place.AFTER_UTF8
        return _octets(scanner, utf8=True)

    def _after_literal(self, scanner: Scanner) -> Step | None:
        return self._end_message()

    def _after_utf8(self, scanner: Scanner) -> Step | None:
        scanner.expect(b")")
        return self._end_message()

    def _read_part(self, scanner: Scanner) -> Step | None:
        self._parts += 1
        if self._parts > MAX_CATENATE_PARTS:
            raise SyntaxFailure("Too many parts")
        match scanner.keyword():
            case b"TEXT":
                scanner.space()
                self._place = _Place.AFTER_PART
                return _octets(scanner)
            case b"UTF8":
                _open_utf8(scanner)
                self._place = _Place.AFTER_UTF8_PART
                return _octets(scanner, utf8=True)
            case b"URL":
                scanner.space()
                _refuse_awaited(scanner)
                self._place = _Place.AFTER_PART
                return Url(scanner.astring())
        raise SyntaxFailure("Expected TEXT or URL")

    def _after_utf8_part(self, scanner: Scanner) -> Step | None:
        scanner.expect(b")")
        self._place = _Place.AFTER_PART
        return None

    def _after_part(self, scanner: Scanner) -> Step | None:
        if scanner.accept(b")"):
            return self._end_message()
        scanner.space()
        self._place = _Place.PART
        return None

    def _after_message(self, scanner: Scanner) -> Step | None:
        if self.is_replace:
            raise SyntaxFailure("Only one message can take another's place")
        self._place = _Place.MESSAGE
        return None

    def _end_message(self) -> Step:
        self._place = _Place.AFTER_MESSAGE
        return EndOfMessage()


_TRANSITIONS: dict[_Place, Callable[[AppendParser, Scanner], Step | None]] = {
    _Place.HEAD: AppendParser._read_head,
    _Place.MESSAGE: AppendParser._read_message,
    _Place.PART: AppendParser._read_part,
    _Place.LITERAL: AppendParser._read_literal,
    _Place.UTF8: AppendParser._read_utf8,
    _Place.AFTER_LITERAL: AppendParser._after_literal,
    _Place.AFTER_UTF8: AppendParser._after_utf8,
    _Place.AFTER_PART: AppendParser._after_part,
    _Place.AFTER_UTF8_PART: AppendParser._after_utf8_part,
    _Place.AFTER_MESSAGE: AppendParser._after_message,
}


def _message_number(scanner: Scanner) -> SequenceSet:
    start = scanner.position
    scanner.match(_SEQUENCE_NUMBER, "a message number")
    scanner.position = start
    return scanner.sequence_set()


def _open_utf8(scanner: Scanner) -> None:
    scanner.space()
    scanner.expect(b"(")
    if scanner.peek() != b"~":
        raise SyntaxFailure("Expected a literal8")


def _refuse_awaited(scanner: Scanner) -> None:
    if _ANNOUNCEMENT.fullmatch(scanner.text, scanner.position):
        raise _LiteralAwaited


def _octets(scanner: Scanner, *, utf8: bool = False) -> Octets:
    mark = _ANNOUNCEMENT.fullmatch(scanner.text, scanner.position)
    binary = scanner.peek() == b"~"
    if mark is None:
        data = scanner.literal(binary)
        return Octets(len(data), binary, utf8, data)
    if int(mark[2]) > MAX_LITERAL:
        raise SyntaxFailure("Literal too large")
    scanner.position = mark.end()
    return Octets(int(mark[2]), binary, utf8)
