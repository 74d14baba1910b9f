"""The base subject, sort keys and their order (RFC 5256, RFC 5957)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.imap.command import Sort
from shared.imap.command_parser import BadCharset, BadCommand, parse_command
from shared.imap.envelope import CC, FROM, TO, first_addresses
from shared.imap.sort import Sortable, SortCriterion, SortKey, base_subject, display, first_mailbox, place, sort
from shared.message.header import decode_words
from shared.message.rendered import render


@pytest.mark.parametrize(
    ("subject", "base", "is_reply"),
    [
        ("plans", "plans", False),
        ("Re: plans", "plans", True),
        ("re : plans", "plans", True),
        ("RE[2]: plans", "plans", True),
        ("Fw: Fwd: Re: plans", "plans", True),
        ("[list] plans", "plans", False),
        ("[list] Re: [list] plans", "plans", True),
        ("Re: [a] [b] plans", "plans", True),
        ("plans (fwd)", "plans", True),
        ("plans (FWD) (fwd) ", "plans", True),
        ("[Fwd: plans]", "plans", True),
        ("[fwd: Re: [fwd: [x] plans (fwd)]]", "plans", True),
        ("  a\t b\r\n  c ", "a b c", False),
        ("[a]", "[a]", False),
        ("[a] [b]", "[b]", False),
        ("Re:", "", True),
        ("", "", False),
        ("Reply: plans", "Reply: plans", False),
        ("[Fwd: plans", "[Fwd: plans", False),
        ("[un[balanced] plans", "[un[balanced] plans", False),
    ],
)
def test_base_subject(subject, base, is_reply):
    found = base_subject(subject)
    assert (found.text, found.is_reply) == (base, is_reply)


@given(st.text("Rre:[]fwd() \tx", max_size=200))
def test_a_base_subject_is_its_own(subject):
    found = base_subject(subject)
    assert base_subject(found.text).text == found.text


@pytest.mark.parametrize("piece", ["re:", "[a]", "(fwd)", " ", "[fwd:", "[", "re[", "re [a] "])
def test_long_subjects_take_no_time(piece):
    assert len(base_subject(piece * 1000).text) <= len(piece) * 1000


def test_order():
    letters = [Sortable(uid, arrival=uid % 3, size=uid % 2, subject=b"s%d" % (uid % 2)) for uid in range(1, 9)]
    random.Random(1).shuffle(letters)
    by_size = sort(letters, (SortCriterion(SortKey.SIZE), SortCriterion(SortKey.ARRIVAL, reverse=True)))
    assert [letter.uid for letter in by_size] == [2, 8, 4, 6, 5, 1, 7, 3]
    assert [letter.uid for letter in sort(letters, (SortCriterion(SortKey.CC, reverse=True),))] == list(range(1, 9))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20),
    st.lists(st.builds(SortCriterion, st.sampled_from([SortKey.SIZE, SortKey.DATE]), st.booleans()), max_size=3),
)
def test_a_message_is_put_where_sorting_would(values, criteria):
    messages = [Sortable(uid, size=size, sent=sent) for uid, (size, sent) in enumerate(values, 1)]
    for message in messages:
        others = sort([other for other in messages if other is not message], criteria)
        others.insert(place(others, message, criteria), message)
        assert others == sort(messages, criteria)


def addresses(fields: bytes):
    return first_addresses(render(fields + b'\r\nSubject: x "y" \\z\r\n\r\n').envelope)


def test_first_addresses():
    found = addresses(b'From: "A \\"q\\"" <a@x>, b@x\r\nTo: group: c@x, d@x;\r\nSender: s@x')
    assert found == {FROM: (b'A "q"', None, b"a", b"x"), TO: (None, None, b"group", None), CC: None}
    assert addresses(b"From: \xc3\xa9 <e@x>\r\nCc: <c@x>")[FROM] == (b"\xc3\xa9", None, b"e", b"x")
    assert addresses(b"Subject: \xc3\xa9\r\nDate: \xc3\xa9\r\nCc: <c@x>")[CC] == (None, None, b"c", b"x")


@given(st.binary(max_size=200))
def test_any_envelope_is_read_back(field):
    message = b"From: " + field.replace(b"\n", b"") + b"\r\nTo: " + field[::-1].replace(b"\n", b"") + b"\r\n\r\n"
    assert set(first_addresses(render(message).envelope)) == {FROM, TO, CC}


def test_display_names():
    assert display(None, decode_words) == first_mailbox(None) == b""
    assert display((b"=?utf-8?q?=C3=A9mile?=", None, b"e", b"x"), decode_words) == "E\u0301MILE".encode()
    assert display((None, None, b"e", b"x"), decode_words) == b"E@X"
    assert display((None, None, b"team", None), decode_words) == b"TEAM"
    assert first_mailbox((b"n", None, b"Bob", b"x")) == b"BOB"


def test_commands():
    command = parse_command(
        b'a UID SORT RETURN (PARTIAL -1:-9 UPDATE) (REVERSE date "x"'.replace(b' "x"', b") utf-8 ALL")
    )
    assert isinstance(command, Sort)
    assert command.uid and command.criteria == (SortCriterion(SortKey.DATE, reverse=True),)
    for wrong in (
        b"SORT DATE UTF-8 ALL",
        b"SORT (REVERSE) UTF-8 ALL",
        b"SORT (DATE) ALL",
        b"SORT (DATE) UTF-8",
        b"SORT",
    ):
        with pytest.raises(BadCommand):
            parse_command(b"a " + wrong)
    with pytest.raises(BadCharset):
        parse_command(b"a SORT (DATE) X-KLINGON ALL")
    with pytest.raises(BadCommand):
        parse_command(b"a SORT (" + b"DATE " * 60 + b"DATE) UTF-8 ALL")
