"""APPEND and REPLACE: the parts of the command between streamed literals, and in one piece."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from shared.imap import command as c
from shared.imap import flags, limits
from shared.imap.append import AppendHead, EndOfMessage, NewMessage, Octets, Step, Url
from shared.imap.command_parser import (
    BadCommand,
    append_command,
    begin_append,
    end_append,
    go_on_with_append,
    parse_command,
)
from shared.imap.flags import FlagSet
from shared.imap.sequence import SequenceSet

PLAIN = NewMessage(FlagSet(), None)
END = EndOfMessage()
PACIFIC = timezone(timedelta(hours=-8))


def follow(*texts: bytes) -> tuple[c.Append | c.Replace, list[list[Step] | None]]:
    """The command, and the steps of each text: all but the last one end with the announcement of a literal."""
    parser, first = begin_append(texts[0])
    steps = [first]
    steps += [go_on_with_append(parser, b"a", text) for text in texts[1:-1]]
    steps.append(end_append(parser, b"a", texts[-1]))
    return append_command(parser, b"a"), steps


def test_one_message() -> None:
    moment = datetime(1994, 2, 7, 21, 52, 25, tzinfo=PACIFIC)
    text = b'a APPEND {5}\r\nsaved (\\Seen a) " 7-Feb-1994 21:52:25 -0800" {310}'
    command, steps = follow(text, b"")
    assert command == c.Append(b"a", "saved")
    assert steps == [[NewMessage(FlagSet(flags.SEEN, (b"a",)), moment), Octets(310)], [END]]


def test_several_messages() -> None:
    """RFC 3502 §6.3.11."""
    command, steps = follow(b"a append inbox (\\Seen) {329+}", b" (\\Flagged) {295}", b" ~{7}", b"")
    assert command == c.Append(b"a", "INBOX")
    assert steps == [
        [NewMessage(FlagSet(flags.SEEN), None), Octets(329)],
        [END, NewMessage(FlagSet(flags.FLAGGED), None), Octets(295)],
        [END, PLAIN, Octets(7, binary=True)],
        [END],
    ]


def test_catenate() -> None:
    """RFC 4469, example 1."""
    command, steps = follow(
        b'a APPEND Drafts (\\Draft) CATENATE (URL "/Drafts/;UID=20/;section=HEADER" TEXT {42}',
        b" URL {3}",
        b" URL {3}\r\nurl TEXT ~{44}",
        b" UTF8 (~{2}",
        b"))",
    )
    assert command == c.Append(b"a", "Drafts")
    assert steps == [
        [NewMessage(FlagSet(flags.DRAFT), None), Url(b"/Drafts/;UID=20/;section=HEADER"), Octets(42)],
        None,  # to be buffered, and the text given again
        [Url(b"url"), Octets(44, binary=True)],
        [Octets(2, binary=True, utf8=True)],
        [END],
    ]


def test_utf8() -> None:
    """RFC 6855 §4."""
    _, steps = follow(b"a APPEND x UTF8 (~{10}", b")")
    assert steps == [[PLAIN, Octets(10, binary=True, utf8=True)], [END]]


def test_replace() -> None:
    command, steps = follow(b"a UID REPLACE 2000 Drafts (\\Seen) {350}", b"")
    assert command == c.Replace(b"a", SequenceSet.parse(b"2000"), "Drafts", uid=True)
    assert steps == [[NewMessage(FlagSet(flags.SEEN), None), Octets(350)], [END]]
    assert follow(b"a REPLACE * x {1}", b"")[0] == c.Replace(b"a", SequenceSet.parse(b"*"), "x")


def test_arguments_are_buffered() -> None:
    for text in (b"a APPEND {5}", b"a REPLACE 4 {5+}", b"a UID REPLACE 4 {5}", b"a APPEND x CATENATE (URL {5}"):
        parser, steps = begin_append(text)
        assert steps is None
        assert parser.head in (None, AppendHead("x"))


def test_in_one_piece() -> None:
    command = parse_command(b'a APPEND x (\\Seen) CATENATE (URL /INBOX/;UID=1 URL "b")')
    assert command == c.Append(
        b"a", "x", (NewMessage(FlagSet(flags.SEEN), None), Url(b"/INBOX/;UID=1"), Url(b"b"), END)
    )
    command = parse_command(b'a APPEND x "07-Feb-1994 21:52:25 +0000" ~{2}\r\n\0\0 {1}\r\nx')
    moment = datetime(1994, 2, 7, 21, 52, 25, tzinfo=UTC)
    assert command == c.Append(
        b"a",
        "x",
        (
            NewMessage(FlagSet(), moment),
            Octets(2, binary=True, data=b"\0\0"),
            END,
            PLAIN,
            Octets(1, data=b"x"),
            END,
        ),
    )


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"a NOOP {5}",
        b"a APPEND",
        b"a APPEND x",
        b"a APPEND x (\\Recent) {5}",
        b"a APPEND x {5} y",
        b"a APPEND x {5}{5}",
        b"a APPEND x UTF8 ({5}",
        b"a APPEND x UTF8 ~{5}",
        b"a APPEND x CATENATE TEXT {5}",
        b"a APPEND x CATENATE (FILE {5}",
        b"a APPEND x CATENATE ()",
        b"a REPLACE 1:2 x {5}",
        b"a REPLACE 0 x {5}",
        b"a REPLACE x {5}",
        b"a REPLACE 1 x () {99999999999999999999}",
    ],
)
def test_what_is_bad(text: bytes) -> None:
    with pytest.raises(BadCommand):
        begin_append(text)


@pytest.mark.parametrize("tail", [b"x", b" ", b")", b" (\\Seen)", b" {3}x", b"{3}"])
def test_a_bad_end(tail: bytes) -> None:
    parser, _ = begin_append(b"a APPEND x {5}")
    with pytest.raises(BadCommand):
        end_append(parser, b"a", tail)


def test_replace_takes_one_message() -> None:
    parser, _ = begin_append(b"a REPLACE 1 x {5}")
    with pytest.raises(BadCommand, match="Only one"):
        go_on_with_append(parser, b"a", b" {5}")


def test_numbers_of_messages_and_parts_are_limited() -> None:
    parser, _ = begin_append(b"a APPEND x {1}")
    with pytest.raises(BadCommand, match="Too many messages"):
        go_on_with_append(parser, b"a", b" {1}\r\nx" * limits.MAX_APPEND_MESSAGES + b" {1}")
    with pytest.raises(BadCommand, match="Too many parts"):
        begin_append(b"a APPEND x CATENATE (" + b"URL x " * limits.MAX_CATENATE_PARTS + b"URL {1}")
