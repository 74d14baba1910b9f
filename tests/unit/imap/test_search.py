"""The evaluation of SEARCH keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from shared.imap import flags, search
from shared.imap.command import Search
from shared.imap.command_parser import parse_command
from shared.imap.flags import Keywords
from shared.imap.search import All, And, InUids, Need, Nothing, SearchKey
from shared.imap.view import View
from shared.message.collation import casemap

VIEW = View([(10, 12), (20, 20)])
KEYWORDS = Keywords((b"$Junk", b"work"))


@dataclass
class Message:
    """A message that notes what was read of it."""

    uid: int = 10
    flags: int = flags.SEEN | 1 << 9
    recent: bool = False
    internal_date: datetime = datetime(1994, 2, 1, 23, 30, tzinfo=timezone(timedelta(hours=-8)))
    size: int = 4096
    modseq: int = 100
    saved_date: date = date(1994, 2, 3)
    email_id: bytes = b"M1"
    thread_id: bytes = b"T1"
    sent: date | None = date(1994, 1, 31)
    headers: dict[bytes, list[str]] = field(
        default_factory=lambda: {b"from": ["Smith <smith@Example.org>"], b"x-empty": [""]}
    )
    body: str = "Grüsse an alle"
    read: list[str] = field(default_factory=list)

    def sent_date(self) -> date | None:
        self.read.append("date")
        return self.sent

    def header(self, name: bytes) -> Sequence[str]:
        self.read.append("header")
        return self.headers.get(name, [])

    def text_contains(self, text: str) -> bool:
        self.read.append("header text")
        return any(casemap(text) in casemap(value) for value in self.headers[b"from"]) or self.body_contains(text)

    def body_contains(self, text: str) -> bool:
        self.read.append("body")
        return casemap(text) in casemap(self.body)


def parse(text: str) -> SearchKey:
    command = parse_command(b"a SEARCH CHARSET UTF-8 " + text.encode())
    assert isinstance(command, Search)
    return command.key


def bound(text: str) -> SearchKey:
    return search.bind(parse(text), VIEW, KEYWORDS)


TRUE = [
    "ALL", "SEEN", "UNDELETED", "KEYWORD WORK", "UNKEYWORD $junk", "UNKEYWORD unheard", "OLD", "NOT RECENT",
    "1", "1:2", "UID 10", "UID 5:10", "NOT *", "ON 1-Feb-1994", "SINCE 1-Feb-1994", "SINCE 31-Jan-1994",
    "BEFORE 2-Feb-1994", "SENTON 31-Jan-1994", "SENTBEFORE 1-Feb-1994", "SENTSINCE 31-Jan-1994", "LARGER 4095",
    "SMALLER 4097", "FROM SMITH", "FROM @Example", 'HEADER X-Empty ""',
    "TEXT alle", "TEXT smith@", "OR SEEN DELETED", "OR DELETED SEEN", "(SEEN OLD)", "NOT (SEEN RECENT)",
]  # fmt: skip
FALSE = [
    "UNSEEN", "DELETED", "NEW", "RECENT", "KEYWORD $Junk", "KEYWORD unheard", "UNKEYWORD work", "2:*", "*", "UID 11",
    "ON 2-Feb-1994", "BEFORE 1-Feb-1994", "SINCE 2-Feb-1994", "SENTON 1-Feb-1994", "LARGER 4096", "SMALLER 4096",
    "SUBJECT x", 'SUBJECT ""', "FROM jones", "BODY smith", "TEXT nowhere", "OR DELETED UNSEEN", "SEEN UNSEEN",
]  # fmt: skip


@pytest.mark.parametrize("text", TRUE)
def test_matches(text: str) -> None:
    assert search.evaluate(bound(text), Message())


@pytest.mark.parametrize("text", FALSE)
def test_does_not_match(text: str) -> None:
    assert not search.evaluate(bound(text), Message())


def test_text_is_compared_without_case() -> None:
    assert search.evaluate(bound('BODY "GRÜSSE"'), Message())
    assert search.evaluate(bound('BODY "grüsse"'), Message())


def test_the_day_of_internaldate_is_that_of_its_own_zone() -> None:
    late = Message(internal_date=datetime(1994, 2, 2, 7, 30, tzinfo=UTC))
    assert search.evaluate(bound("ON 2-Feb-1994"), late)


def test_a_message_without_a_date_was_never_sent() -> None:
    assert not search.evaluate(bound("SENTSINCE 1-Jan-1990"), Message(sent=None))
    assert not search.evaluate(bound("SENTBEFORE 1-Jan-2990"), Message(sent=None))


@pytest.mark.parametrize(
    ("text", "need"),
    [
        ("ALL", Need.INDEX),
        ("(SEEN 1 LARGER 5)", Need.INDEX),
        ("FROM x", Need.HEADER),
        ("NOT SENTON 1-Feb-1994", Need.HEADER),
        ("OR SEEN (FROM x BODY y)", Need.BODY),
        ("TEXT x", Need.BODY),
    ],
)
def test_need(text: str, need: Need) -> None:
    assert search.need(parse(text)) is need
    assert search.needs_headers(parse(text)) == (need >= Need.HEADER)
    assert search.needs_body(parse(text)) == (need is Need.BODY)


def test_what_costs_least_is_asked_first() -> None:
    message = Message()
    assert not search.evaluate(bound("BODY x FROM y DELETED"), message)
    assert not search.evaluate(bound("BODY x FROM y"), message)
    assert message.read == ["header"]
    assert search.evaluate(bound("OR TEXT x SEEN"), message)
    assert message.read == ["header"]


def test_split() -> None:
    index, text = search.split(bound("BODY x SEEN FROM y 1"))
    assert search.need(index) is Need.INDEX
    assert text == And((parse("FROM y"), parse("BODY x")))
    assert search.split(bound("SEEN")) == (parse("SEEN"), None)
    assert search.split(bound("BODY x")) == (All(), parse("BODY x"))


def test_uid_bounds() -> None:
    assert search.uid_bounds(bound("SEEN")) is None
    assert search.uid_bounds(bound("2:3 SEEN UID 12:50")) == ((12, 12),)
    assert search.uid_bounds(bound("OR 1 *")) == ((10, 10), (20, 20))
    assert search.uid_bounds(bound("OR 1 SEEN")) is None
    assert search.uid_bounds(bound("NOT 1")) is None
    assert search.uid_bounds(bound("SEEN UID 1,3 UID 4")) == ()
    assert search.uid_bounds(Nothing()) == ()


def test_a_number_without_a_message_matches_nothing() -> None:
    assert bound("5") == bound("7:9") == InUids(())
    assert bound("5:*") == bound("*:9") == bound("4")
    assert bound("3,9") == bound("3")
    assert search.bind(parse("1:*"), View(), KEYWORDS) == InUids(())


def test_an_unbound_key_is_the_callers_mistake() -> None:
    with pytest.raises(TypeError):
        search.evaluate(parse("KEYWORD x"), Message())
