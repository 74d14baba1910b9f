"""The parser of SEARCH keys, by a table of their names (RFC 3501 §6.4.4, §9 search-key, and its extensions)."""

from __future__ import annotations

import re
from collections.abc import Callable

from shared.imap import flags
from shared.imap.flags import BadFlag, parse_flags
from shared.imap.grammar import Scanner, SyntaxFailure
from shared.imap.limits import MAX_LITERAL, MAX_MODSEQ, MAX_SEARCH_DEPTH, MAX_SEARCH_KEYS
from shared.imap.search import (
    All,
    And,
    Body,
    DateTest,
    EmailId,
    Flags,
    Fuzzy,
    Header,
    InternalDate,
    Keyword,
    Larger,
    Modseq,
    Not,
    Older,
    Or,
    Recent,
    SavedDate,
    SearchKey,
    SentDate,
    Sequences,
    Smaller,
    Text,
    ThreadId,
    Uids,
    Younger,
    exact,
    loosened,
)

CHARSETS: dict[bytes, str] = {
    b"US-ASCII": "ascii",
    b"UTF-8": "utf-8",
    **{b"ISO-8859-%d" % number: f"iso8859-{number}" for number in (*range(1, 12), *range(13, 17))},
    **{b"WINDOWS-125%d" % number: f"cp125{number}" for number in range(9)},
    b"KOI8-R": "koi8-r",
    b"KOI8-U": "koi8-u",
    b"BIG5": "big5",
    b"EUC-JP": "euc-jp",
    b"EUC-KR": "euc-kr",
    b"GB18030": "gb18030",
    b"GB2312": "gb2312",
    b"ISO-2022-JP": "iso2022-jp",
    b"SHIFT_JIS": "shift-jis",
}
"""The charsets that SEARCH understands, and Python's name of each."""


class UnknownCharset(ValueError):
    """SEARCH in a charset that isn't in CHARSETS: answer NO [BADCHARSET (…)]; `saves`: it was to be saved."""

    saves = False


def parse_search_program(scanner: Scanner, charset: bytes | None) -> SearchKey:
    """Read the search keys up to the end of the command, in a charset (None: US-ASCII or UTF-8).

    Raises SyntaxFailure and UnknownCharset.
    """
    codec = "utf-8" if charset is None else CHARSETS.get(charset.upper())
    if codec is None:
        raise UnknownCharset("unknown charset")
    parser = _Parser(scanner, codec)
    keys = [parser.key(0)]
    while scanner.accept(b" "):
        keys.append(parser.key(0))
    scanner.end()
    return keys[0] if len(keys) == 1 else And(tuple(keys))


class _Parser:
    """Reads keys from a scanner, counting them."""

    def __init__(self, scanner: Scanner, codec: str) -> None:
        self.scanner = scanner
        self.codec = codec
        self.keys = 0

    def key(self, depth: int) -> SearchKey:
        self.keys += 1
        if depth > MAX_SEARCH_DEPTH:
            raise SyntaxFailure("Search is nested too deeply")
        if self.keys > MAX_SEARCH_KEYS:
            raise SyntaxFailure("Too many search keys")
        first = self.scanner.peek()
        if first == b"(":
            return self._list(depth)
        if first.isdigit() or first in (b"*", b"$"):
            return Sequences(self.scanner.sequence_set())
        parse = _KEYS.get(self.scanner.atom_keyword())
        if parse is None:
            raise SyntaxFailure("Unknown search key")
        return parse(self, depth)

    def _list(self, depth: int) -> SearchKey:
        keys = self.scanner.parenthesised(lambda: self.key(depth + 1), MAX_SEARCH_KEYS, "search keys")
        if not keys:
            raise SyntaxFailure("Expected a search key")
        return keys[0] if len(keys) == 1 else And(tuple(keys))

    def text(self) -> str:
        self.scanner.space()
        try:
            return self.scanner.astring().decode(self.codec)
        except UnicodeDecodeError:
            raise SyntaxFailure("Text is not in the charset") from None

    def argument_key(self, depth: int) -> SearchKey:
        self.scanner.space()
        return self.key(depth + 1)


_Parse = Callable[[_Parser, int], SearchKey]


def _constant(key: SearchKey) -> _Parse:
    return lambda parser, depth: key


def _header(name: bytes) -> _Parse:
    return lambda parser, depth: Header(name, parser.text())


def _dated(kind: type[InternalDate] | type[SentDate] | type[SavedDate], test: DateTest) -> _Parse:
    def parse(parser: _Parser, depth: int) -> SearchKey:
        parser.scanner.space()
        return kind(test, parser.scanner.date())

    return parse


def _sized(kind: type[Larger] | type[Smaller]) -> _Parse:
    def parse(parser: _Parser, depth: int) -> SearchKey:
        parser.scanner.space()
        return kind(parser.scanner.number(MAX_LITERAL))

    return parse


def _aged(kind: type[Older] | type[Younger]) -> _Parse:
    def parse(parser: _Parser, depth: int) -> SearchKey:
        parser.scanner.space()
        seconds = parser.scanner.number()
        if not seconds:
            raise SyntaxFailure("Expected a number above 0")
        return kind(seconds)

    return parse


def _identified(kind: type[EmailId] | type[ThreadId]) -> _Parse:
    def parse(parser: _Parser, depth: int) -> SearchKey:
        parser.scanner.space()
        return kind(parser.scanner.match(_OBJECT_ID, "an object id"))

    return parse


# objectid = 1*255(ALPHA / DIGIT / "_" / "-")
_OBJECT_ID = re.compile(rb"[A-Za-z0-9_-]{1,255}")


def _keyword(present: bool) -> _Parse:
    def parse(parser: _Parser, depth: int) -> SearchKey:
        parser.scanner.space()
        try:
            parsed = parse_flags((parser.scanner.atom(),))
        except BadFlag as error:
            raise SyntaxFailure(f"Bad flag: {error}") from None
        return Keyword(parsed.keywords[0], present)

    return parse


def _any_header(parser: _Parser, depth: int) -> SearchKey:
    parser.scanner.space()
    name = parser.scanner.astring().lower()
    return Header(name, parser.text())


def _body(parser: _Parser, depth: int) -> SearchKey:
    return Body(parser.text())


def _text(parser: _Parser, depth: int) -> SearchKey:
    return Text(parser.text())


def _uid(parser: _Parser, depth: int) -> SearchKey:
    parser.scanner.space()
    return Uids(parser.scanner.sequence_set())


def _modseq(parser: _Parser, depth: int) -> SearchKey:
    """The metadata item that may be named has no mod-sequence of its own here: the message's is used."""
    scanner = parser.scanner
    scanner.space()
    if scanner.peek() == b'"':
        scanner.quoted()
        scanner.space()
        if scanner.atom_keyword() not in (b"PRIV", b"SHARED", b"ALL"):
            raise SyntaxFailure("Expected priv, shared or all")
        scanner.space()
    return Modseq(scanner.number(MAX_MODSEQ))


def _fuzzy(parser: _Parser, depth: int) -> SearchKey:
    key = exact(parser.argument_key(depth))
    return Fuzzy(key, loosened(key))


def _not(parser: _Parser, depth: int) -> SearchKey:
    return Not(parser.argument_key(depth))


def _or(parser: _Parser, depth: int) -> SearchKey:
    left = parser.argument_key(depth)
    return Or(left, parser.argument_key(depth))


_KEYS: dict[bytes, _Parse] = {
    b"ALL": _constant(All()),
    b"ANSWERED": _constant(Flags(flags.ANSWERED)),
    b"BCC": _header(b"bcc"),
    b"BEFORE": _dated(InternalDate, DateTest.BEFORE),
    b"BODY": _body,
    b"CC": _header(b"cc"),
    b"DELETED": _constant(Flags(flags.DELETED)),
    b"DRAFT": _constant(Flags(flags.DRAFT)),
    b"EMAILID": _identified(EmailId),
    b"FLAGGED": _constant(Flags(flags.FLAGGED)),
    b"FROM": _header(b"from"),
    b"FUZZY": _fuzzy,
    b"HEADER": _any_header,
    b"KEYWORD": _keyword(True),
    b"LARGER": _sized(Larger),
    b"MODSEQ": _modseq,
    b"NEW": _constant(And((Recent(), Flags(flags.SEEN, present=False)))),
    b"NOT": _not,
    b"OLD": _constant(Not(Recent())),
    b"OLDER": _aged(Older),
    b"ON": _dated(InternalDate, DateTest.ON),
    b"OR": _or,
    b"RECENT": _constant(Recent()),
    b"SAVEDATESUPPORTED": _constant(All()),
    b"SAVEDBEFORE": _dated(SavedDate, DateTest.BEFORE),
    b"SAVEDON": _dated(SavedDate, DateTest.ON),
    b"SAVEDSINCE": _dated(SavedDate, DateTest.SINCE),
    b"SEEN": _constant(Flags(flags.SEEN)),
    b"SENTBEFORE": _dated(SentDate, DateTest.BEFORE),
    b"SENTON": _dated(SentDate, DateTest.ON),
    b"SENTSINCE": _dated(SentDate, DateTest.SINCE),
    b"SINCE": _dated(InternalDate, DateTest.SINCE),
    b"SMALLER": _sized(Smaller),
    b"SUBJECT": _header(b"subject"),
    b"TEXT": _text,
    b"THREADID": _identified(ThreadId),
    b"TO": _header(b"to"),
    b"UID": _uid,
    b"UNANSWERED": _constant(Flags(flags.ANSWERED, present=False)),
    b"UNDELETED": _constant(Flags(flags.DELETED, present=False)),
    b"UNDRAFT": _constant(Flags(flags.DRAFT, present=False)),
    b"UNFLAGGED": _constant(Flags(flags.FLAGGED, present=False)),
    b"UNKEYWORD": _keyword(False),
    b"UNSEEN": _constant(Flags(flags.SEEN, present=False)),
    b"YOUNGER": _aged(Younger),
}
