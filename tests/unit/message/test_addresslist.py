"""Address lists as RFC 5322 has them, and as senders have them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.message import addresslist
from shared.message.addresslist import Kind, parse_addresses

END = (None, None, None, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", []),
        (
            b" , ,",
            [(None, None, b"MISSING_MAILBOX", b"MISSING_DOMAIN"), (None, None, b"MISSING_MAILBOX", b"MISSING_DOMAIN")],
        ),
        (b"a@b", [(None, None, b"a", b"b")]),
        (b"Alice <a@b>", [(b"Alice", None, b"a", b"b")]),
        (b"Alice<a@b>", [(b"Alice", None, b"a", b"b")]),
        (b'"Bob, the other" <a@b>, c@d', [(b"Bob, the other", None, b"a", b"b"), (None, None, b"c", b"d")]),
        (b"J. Q. Public <a@b>", [(b"J. Q. Public", None, b"a", b"b")]),
        (b'"" <a@b>', [(None, None, b"a", b"b")]),
        (b"c@d (Carl (the great) X)", [(b"Carl (the great) X", None, b"c", b"d")]),
        (b"(first) Al (x) ice (y) <a@b>", [(b"Al ice", None, b"a", b"b")]),
        (b'"a \\"b\\" c" <a@b>', [(b'a "b" c', None, b"a", b"b")]),
        (b'"x y"@z', [(None, None, b"x y", b"z")]),
        (b"a . b @ c . d", [(b"a.  b", None, b"MISSING_MAILBOX", b"MISSING_DOMAIN")]),
        (b"a .b @ c . d", [(None, None, b"a.b", b"c.d")]),
        (b"a@[192.0.2.1]", [(None, None, b"a", b"[192.0.2.1]")]),
        (b"<@r1,@r2:c@d>", [(None, b"@r1,@r2", b"c", b"d")]),
        (b"undisclosed-recipients:;", [(None, None, b"undisclosed-recipients", None), END]),
        (
            b"A Group:Ed <joe@a.test>,x@w;, y@z",
            [
                (None, None, b"A Group", None),
                (b"Ed", None, b"joe", b"a.test"),
                (None, None, b"x", b"w"),
                END,
                (None, None, b"y", b"z"),
            ],
        ),
        (b"G: a@b", [(None, None, b"G", None), (None, None, b"a", b"b"), END]),
        (b"foo", [(None, None, b"foo", b"MISSING_DOMAIN")]),
        (b"Foo <bar>", [(b"Foo", None, b"bar", b"MISSING_DOMAIN")]),
        (b"Foo <@bar>", [(b"Foo", b"INVALID_ROUTE", b"MISSING_MAILBOX", b"MISSING_DOMAIN")]),
        (b"<>", [(None, None, b"MISSING_MAILBOX", b"MISSING_DOMAIN")]),
        (b"Foo <a@b", [(b"Foo", None, b"a", b"SYNTAX_ERROR")]),
        (b"a@b <c@d>, e@f", [(None, None, b"a", b"b"), (None, None, b"e", b"f")]),
        (b"caf\xe9 <a@b>", [(b"caf\xe9", None, b"a", b"b")]),
        (b"=?utf-8?q?a?= <a@b>", [(b"=?utf-8?q?a?=", None, b"a", b"b")]),
        (b"(unclosed", []),
        (b'"unclosed', [(None, None, b"MISSING_MAILBOX", b"MISSING_DOMAIN")]),
        (b"a@b; c@d", [(None, None, b"a", b"b"), (None, None, b"c", b"d")]),
    ],
)
def test_addresses(value, expected):
    assert [tuple(address)[:4] for address in parse_addresses(value)] == expected


def test_for_an_envelope_nothing_counts_after_junk():
    assert [entry.mailbox for entry in parse_addresses(b"a@b; c@d, e@f", to_the_end=False)] == [b"a"]
    assert [entry.mailbox for entry in parse_addresses(b"a@b; c@d x, e@f")] == [b"a", b"c", b"e"]


@given(st.binary(max_size=200) | st.text('a@b<>,:;"\\() .[]', max_size=60).map(str.encode))
def test_any_bytes_give_entries_that_imap_can_tell_apart(value):
    depth = 0
    for entry in parse_addresses(value):
        assert (entry.host is None) == (entry.kind is not Kind.MAILBOX)
        depth += (entry.kind is Kind.GROUP_START) - (entry.kind is Kind.GROUP_END)
        assert depth in (0, 1)
    assert depth == 0


@given(st.lists(st.tuples(st.from_regex(r"[A-Za-z ,.:;<>()@]{1,20}", fullmatch=True), st.integers(0, 999)), max_size=8))
def test_quoted_names_survive(pairs):
    value = ", ".join(f'"{name}" <u{number}@example.org>' for name, number in pairs).encode()
    assert [(e.name, e.mailbox) for e in parse_addresses(value)] == [
        (name.encode(), f"u{number}".encode()) for name, number in pairs
    ]


def test_ten_thousand_recipients_are_all_found():
    value = b", ".join(b"User %d <user%d@example.org>" % (n, n) for n in range(10_000))
    assert len(parse_addresses(value)) == 10_000


def test_number_of_addresses_is_limited(monkeypatch):
    monkeypatch.setattr(addresslist, "MAX_ADDRESSES", 3)
    assert len(parse_addresses(b"a@b," * 9)) == 3
    assert len(parse_addresses(b"a," * 9)) == 3


@pytest.mark.parametrize(
    "unit",
    [b"(", b"<", b'"', b'"\\', b"@", b":", b";", b"[", b"a ", b"a@", b"\\", b"a:", b"()", b'""', b" ", b"<a@b>", b"=?"],
)
def test_no_repeated_token_blows_up(unit):
    started = time.process_time()
    parse_addresses(unit * (200_000 // len(unit)))
    parse_addresses(b"x" + unit * (200_000 // len(unit)) + b"@:")
    parse_addresses(b'""' * 50_000 + b"@" + b":" * 100_000)
    assert time.process_time() - started < 20
