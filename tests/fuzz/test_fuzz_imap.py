"""IMAP's parsers on mutated commands: a value or BadCommand, whatever comes, and never out of step."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.imap import fetch, mailbox_name, search
from shared.imap.command import Search
from shared.imap.command_parser import BadCommand, begin_append, go_on_with_append, parse_command
from shared.imap.deflate import BadDeflate, Inflater
from shared.imap.flags import Keywords
from shared.imap.limits import ReceiveLimits
from shared.imap.receive import (
    CommandReceived,
    CommandRejected,
    CommandTail,
    GiveUp,
    LineReceived,
    LiteralChunk,
    LiteralRequest,
    ReceiveBuffer,
)
from shared.imap.sequence import BadSequence, SequenceSet
from shared.imap.url import BadUrl, parse_url
from shared.imap.view import View
from tests.fuzz.mutation import mutate

ROUNDS = 4000
LIMITS = ReceiveLimits(line=300, command=600, discard=2000)

SEEDS = [
    b"a1 LOGIN smith sesame\r\n",
    b"a1 LOGIN {5}\r\nsmith {6+}\r\nsesame\r\n",
    b'a2 SELECT "INBOX"\r\n',
    b"a3 CREATE &ZeVnLIqe-/&U,BTFw-\r\n",
    b'a4 LIST () "" ("INBOX" %/* "b\\"c") RETURN ()\r\n',
    b"a5 STATUS x (MESSAGES UIDNEXT UIDVALIDITY UNSEEN RECENT)\r\n",
    b'a6 APPEND x (\\Seen $Junk) "17-Jul-1996 02:44:25 -0700" {12+}\r\nDate: x\r\n\r\ny\r\n',
    b'a7 UID FETCH 1:3,5,*:7 (FLAGS BODY.PEEK[1.2.HEADER.FIELDS.NOT (To "Cc")]<0.512> RFC822.SIZE)\r\n',
    b"a8 FETCH 1 FULL\r\n",
    b"a9 STORE 1:* +FLAGS.SILENT (\\Deleted $Junk)\r\n",
    b"b1 UID COPY 1,2:4 x\r\n",
    b'b2 SEARCH CHARSET UTF-8 OR (SEEN NOT FROM "x") SUBJECT {3+}\r\n\xe2\x82\xac SINCE 1-Feb-1994 UID 1:*\r\n',
    b'b3 ID ("name" "x" "y" NIL)\r\n',
    b"b4 AUTHENTICATE PLAIN AHRpbQB4\r\nb5 IDLE\r\nDONE\r\n",
    b"b6 UID EXPUNGE 1:5\r\nb7 NOOP\r\nb8 LOGOUT\r\n",
    b"b8 SELECT x (QRESYNC (7 90060115194045000 41:211,214:541 (1:3 41,43,44)) CONDSTORE)\r\n",
    b"b8 UID FETCH 1:* (FLAGS MODSEQ) (CHANGEDSINCE 620162338 VANISHED)\r\n",
    b"b8 UID STORE 1:3 (UNCHANGEDSINCE 96) +FLAGS.SILENT (\\Deleted)\r\n",
    b"b8 NOTIFY SET STATUS (selected-delayed (MessageNew (uid body.peek[text]<0.9>) MessageExpunge FlagChange))"
    b" (subtree (a b) (MailboxName)) (subscribed NONE) (personal (AnnotationChange))\r\n",
    b"b8 ENABLE CONDSTORE QRESYNC UIDONLY IMAP4rev2\r\n",
    b'c2 APPEND x (\\Draft) CATENATE (URL "/x;UIDVALIDITY=3/;UID=20/;section=1.MIME" TEXT {3+}\r\nabc URL x)\r\n',
    b"c3 UID REPLACE 7 x UTF8 (~{3+}\r\n\0\xc3\xa4)\r\n",
    b"c4 APPEND x {3+}\r\nabc (\\Seen) ~{2+}\r\n\0\n {1+}\r\nz\r\n",
    b"c5 FETCH 1 (BINARY.PEEK[1.2]<0.5> BINARY.SIZE[3] PREVIEW (LAZY) SAVEDATE EMAILID THREADID)\r\n",
    b"c6 COMPRESS DEFLATE\r\nc7 UNAUTHENTICATE\r\n",
    b"b9 X {400+}\r\n" + b"z" * 400 + b"\r\nc1 NOOP\r\n",
]

TOKENS = [
    b"(", b")", b'"', b"\\", b"{", b"}", b"{5}\r\n", b"{5+}\r\n", b"~{3}\r\n", b"*", b"%", b"&", b"&-", b"\r\n", b"\n",
    b"\0", b"[", b"]", b"<", b">", b",", b":", b" ", b"NIL", b"4294967296", b"99999999999999999999", b"\xff", b"NOT ",
    b"OR ", b"0", b"{2147483647+}\r\n", b"((((((((",
]  # fmt: skip


def parse(parser: Callable[[bytes], Any], text: bytes) -> None:
    try:
        command = parser(text)
    except BadCommand as bad:
        assert bad.text.isascii()
        return
    assert text.startswith(command.tag)
    if isinstance(command, Search):
        try:
            search.bind(command.key, View([(1, 5)]), Keywords((b"$Junk",)))
        except BadSequence:
            return


def begin(text: bytes) -> None:
    """Read what comes before an APPEND's message, and the same again as if it came after it."""
    try:
        parser, _ = begin_append(text)
        go_on_with_append(parser, b"a", b" " + text)
    except BadCommand as bad:
        assert bad.text.isascii()


def take(pieces: list[bytes]) -> list[object]:
    """Drive a buffer as a session does; the events, with streamed chunks joined."""
    buffer = ReceiveBuffer(LIMITS)
    events: list[object] = []
    streamed = b""
    for piece in pieces:
        buffer.feed(piece)
        while (event := buffer.next_event()) is not None:
            match event:
                case LiteralChunk(data):
                    streamed += data
                    continue
                case LiteralRequest():
                    decide(buffer, event)
                case CommandReceived(text):
                    parse(parse_command, text)
                case CommandRejected(tag):
                    assert tag is None or 0 < len(tag) <= 128
                    # how much of the line was there when it was refused is a matter of pieces
                    event = CommandRejected(None, event.text)
                case GiveUp() | CommandTail() | LineReceived():
                    pass
            events.append((streamed, event))
            streamed = b""
        assert buffer.pending <= LIMITS.line + len(piece)
    return events


def decide(buffer: ReceiveBuffer, request: LiteralRequest) -> None:
    if request.name == b"APPEND" and not request.first_argument:
        begin(request.text)
        buffer.stream_literal()
    elif request.fits:
        buffer.accept_literal()
    else:
        buffer.refuse_literal()


def split(data: bytes, dice: random.Random) -> list[bytes]:
    pieces, position = [], 0
    while position < len(data):
        size = dice.choice((1, 2, 7, 50, 1000))
        pieces.append(data[position : position + size])
        position += size
    return pieces


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds_are_good(seed: bytes) -> None:
    assert not any(isinstance(event, GiveUp) for _, event in take([seed]))  # type: ignore[misc]


@pytest.mark.parametrize("turn", range(4))
def test_mutated_commands(turn: int) -> None:
    dice = random.Random(f"imap {turn}")
    for _ in range(ROUNDS // 4):
        data = mutate(dice.choice(SEEDS), dice, TOKENS, SEEDS) + dice.choice(SEEDS)
        assert take([data]) == take(split(data, dice))


@pytest.mark.parametrize("turn", range(2))
def test_mutated_command_texts(turn: int) -> None:
    dice = random.Random(f"commands {turn}")
    for _ in range(ROUNDS):
        parse(parse_command, mutate(dice.choice(SEEDS), dice, TOKENS, SEEDS).removesuffix(b"\r\n"))


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_any_octets(data: bytes) -> None:
    take([data])
    parse(parse_command, data)
    begin(data)


grammar_text = st.lists(st.sampled_from([*TOKENS, b"1", b"a", b"SEEN", b"BODY", b"HEADER"]), max_size=20).map(b"".join)


@settings(max_examples=500)
@given(
    st.sampled_from(
        [b"SEARCH", b"FETCH 1", b"STORE 1 FLAGS", b'LIST ""', b"APPEND x", b"ID", b"STATUS x", b"SELECT", b"NOTIFY SET"]
    ),
    grammar_text,
)
def test_any_tokens(name: bytes, arguments: bytes) -> None:
    parse(parse_command, b"a " + name + b" " + arguments)


@settings(max_examples=300)
@given(st.binary(max_size=40), st.text(max_size=20), st.text("*%/aI", max_size=20))
def test_names_and_sets(wire: bytes, name: str, pattern: str) -> None:
    with suppress(mailbox_name.BadMailboxName):
        assert mailbox_name.encode(mailbox_name.decode_utf7(wire)) == wire
    with suppress(BadSequence):
        assert SequenceSet.parse(wire).ranges
    assert isinstance(mailbox_name.ListPattern(pattern).matches(name), bool)


@given(
    st.binary(max_size=60) | st.from_regex(r"/?[a-z%;]{0,9}(/?;UID=[0-9]{0,11})?(/;SECTION=[^ ]{0,9})?").map(str.encode)
)
def test_urls(text: bytes) -> None:
    with suppress(BadUrl):
        assert parse_url(text).uid > 0


@given(st.lists(st.binary(max_size=80), max_size=10), st.integers(1, 100))
def test_deflate(chunks: list[bytes], limit: int) -> None:
    """Whatever is fed, no more comes out at a time than is asked for, and it ends."""
    inflater = Inflater()
    with suppress(BadDeflate):
        for chunk in chunks:
            inflater.feed(chunk)
            while inflater.has_more:
                before = inflater.pending
                assert len(inflater.read(limit)) <= limit
                assert inflater.pending <= before
            inflater.rest()


def test_labels_of_fetch_items_are_items() -> None:
    """What a response calls a section can be asked for again, less the length of a partial."""
    dice = random.Random("labels")
    found = 0
    for _ in range(ROUNDS):
        seed = SEEDS[7].replace(b"<0.512>", dice.choice((b"", b"<0.512>")))
        text = mutate(seed, dice, TOKENS, SEEDS).removesuffix(b"\r\n")
        try:
            command: Any = parse_command(text)
        except BadCommand:
            continue
        for item in getattr(command, "items", ()):
            if isinstance(item, fetch.BodySection) and item.partial is None and item.label.startswith(b"BODY["):
                again: Any = parse_command(b"a FETCH 1 " + item.label)
                assert again.items[0].label == item.label
                assert again.items[0].fields == item.fields
                found += 1
    assert found
