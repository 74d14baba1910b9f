"""Mailbox names and LIST patterns."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.imap import mailbox_name
from shared.imap.mailbox_name import BadMailboxName, ListPattern, UnusableMailboxName

NAMES = {
    "~peter/mail/台北/日本語": b"~peter/mail/&U,BTFw-/&ZeVnLIqe-",  # RFC 3501 §5.1.3
    "Entwürfe": b"Entw&APw-rfe",
    "A&B": b"A&-B",
    "&": b"&-",
    "": b"",
    "ü&ü": b"&APw-&-&APw-",
    "\U0001f600": b"&2D3eAA-",
    "a\tb": b"a&AAk-b",
}


@pytest.mark.parametrize("name", NAMES)
def test_both_directions(name: str) -> None:
    assert mailbox_name.encode(name) == NAMES[name]
    assert mailbox_name.decode_utf7(NAMES[name]) == name


@pytest.mark.parametrize(
    "wire",
    [
        b"&",
        b"a&b",
        b"&AGE-",  # a printable character shifted
        b"&APw",
        b"&APx-",  # stray bits behind the last character
        b"&APw=-",
        b"&A-",
        b"&2D0-",  # half of a surrogate pair
        b"&APw-&APw-",  # two shifts without anything between them
        b"&//-",
        b"\xc3\xbc",
        b"a\0b",
        b"a\r\nb",
        b"\x7f",
    ],
)
def test_bad_names(wire: bytes) -> None:
    with pytest.raises(BadMailboxName):
        mailbox_name.decode(wire)


def test_too_long() -> None:
    with pytest.raises(BadMailboxName):
        mailbox_name.decode(b"x" * 4001)


@given(st.text(st.characters(exclude_categories=("Cs",))))
def test_round_trip(name: str) -> None:
    assert mailbox_name.decode_utf7(mailbox_name.encode(name)) == name


@given(st.binary(max_size=30) | st.text("&-AZazü,+/09", max_size=20).map(str.encode))
def test_what_decodes_has_one_encoding(wire: bytes) -> None:
    try:
        name = mailbox_name.decode_utf7(wire)
    except BadMailboxName:
        return
    assert mailbox_name.encode(name) == wire


def test_inbox_has_no_case() -> None:
    assert mailbox_name.decode(b"inBox") == "INBOX"
    assert mailbox_name.decode(b"inBox/Foo") == "INBOX/Foo"
    assert mailbox_name.decode(b"inBoxes") == "inBoxes"
    assert mailbox_name.canonical("ınbox") == "ınbox"


def test_new_names() -> None:
    assert mailbox_name.check_new_name("a/b/") == "a/b"
    assert mailbox_name.check_new_name("日本語") == "日本語"
    for name in ("", "/", "/a", "a//b", "a/b//", "a\0", "a\nb", "a*", "a%b", "x" * 256, "/".join("x" * 31), "a\x85"):
        with pytest.raises(UnusableMailboxName):
            mailbox_name.check_new_name(name)
    for name in ("/".join(["x" * 250] * 5), "/".join(["ü" * 128] * 1)):
        with pytest.raises(UnusableMailboxName):
            mailbox_name.check_new_name(name)


def test_parents() -> None:
    assert mailbox_name.parents("a/b/c") == ["a", "a/b"]
    assert mailbox_name.parents("a") == []


@pytest.mark.parametrize(
    ("pattern", "matched", "others"),
    [
        ("*", ["a", "a/b", "INBOX", ""], []),
        ("%", ["a", "INBOX"], ["a/b"]),
        ("a/%", ["a/b", "a/"], ["a", "a/b/c"]),
        ("a/*", ["a/b", "a/b/c"], ["a", "b"]),
        ("%/%", ["a/b"], ["a", "a/b/c"]),
        ("*b", ["b", "ab", "a/b"], ["ba"]),
        ("inbox", ["INBOX"], ["inboxes"]),
        ("iNb%", ["INBOX"], []),
        ("inbox/x", ["INBOX/x"], ["INBOX/X"]),
        ("iNb*", ["INBOX", "INBOX/x", "iNb"], ["INBOXES", "inbox", "X"]),
        ("in%/%x", ["INBOX/x", "in/x"], ["INBOX/X", "INBOX"]),
        ("a%c", ["ac", "abc"], ["a/c"]),
        ("", [""], ["a"]),
        ("a.b", ["a.b"], ["axb"]),
    ],
)
def test_patterns(pattern: str, matched: list[str], others: list[str]) -> None:
    compiled = ListPattern(pattern)
    assert [name for name in matched + others if compiled.matches(name)] == matched


@given(st.text("ab/*%", max_size=8), st.text("ab/", max_size=8))
def test_patterns_against_regular_expressions(pattern: str, name: str) -> None:
    expression = re.escape(pattern).replace(r"\*", ".*").replace("%", "[^/]*")
    assert ListPattern(pattern).matches(name) == bool(re.fullmatch(expression, name))


def test_a_hostile_pattern_takes_linear_time() -> None:
    compiled = ListPattern("a*" * 1500 + "b")
    started = time.process_time()
    assert not compiled.matches("a" * 1000)
    assert time.process_time() - started < 10
