"""The words of a message answer as `contains_text` does."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.message.collation import casemap
from shared.message.text import contains_text
from shared.message.words import is_word, query_words, words_of
from tests.unit.message.test_prefilter import NEEDLES, messages

PLAIN = b"Subject: one_two 3\r\nX-Y: a.b\r\nContent-Type: multipart/mixed; boundary=edge\r\n\r\n"
PLAIN += b"--edge\r\n\r\nbody\r\n--edge--\r\n"


def test_words():
    assert words_of(PLAIN) >= {b"ONE", b"TWO", b"3", b"EDGE", b"BODY", b"A", b"B", b"Y"}
    assert words_of(b"Subject: =?utf-8?q?caf=C3=A9?=\r\n\r\n") == {b"SUBJECT", "CAFE\u0301".encode()}
    assert words_of(b"") == set()


@pytest.mark.parametrize(
    ("text", "words", "exact"),
    [
        ("harbour", [b"HARBOUR"], True),
        ("two words", [b"TWO", b"WORDS"], False),
        ("größe", ["GRO\u0308ßE".encode()], True),
        ("a.b", [b"A", b"B"], False),
        ("...", [], False),
        ("", [], False),
        ("ＦＯＯ", [b"FOO"], False),
        ("x" * 2000, [b"X" * 1000], False),
    ],
)
def test_queries(text, words, exact):
    assert query_words(text) == words
    assert is_word(text) is exact


PARTS = [*NEEDLES, "deck", "uarter", "É", "2026", "n", "ü", "ſ", "™", "two", "charset"]


@settings(deadline=None)
@given(messages(), st.sampled_from(PARTS))
def test_what_contains_a_text_has_its_words(message, text):
    contains = contains_text(message, text)
    words = words_of(message)
    may = all(any(part in word for word in words) for part in query_words(text))
    assert may or not contains
    if is_word(text):
        assert contains == any(casemap(text) in word for word in words)
    if contains_text(message, text, headers=False):
        assert may
