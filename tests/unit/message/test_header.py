"""Header blocks: where they end, their fields, unfolding and encoded words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.message import header
from shared.message.header import decode_words, find_header_end, iterate_fields, parse_headers, unfold


@pytest.mark.parametrize(
    ("data", "end"),
    [
        (b"A: b\r\n\r\nbody", 8),
        (b"A: b\n\nbody", 6),
        (b"A: b\r\n\nbody", 7),
        (b"A: b\n\r\nbody\r\n\r\n", 7),
        (b"A: b\r\nC: d\r\n", 12),
        (b"\r\nbody", 2),
        (b"\nbody", 1),
        (b"", 0),
        (b"A: b", 4),
        (b"A: b\r\n \r\nc", 10),
        (b"A: b\n\nbody\r\n\r\n", 6),
    ],
)
@pytest.mark.parametrize("wrap", [bytes, memoryview])
def test_header_ends_at_the_first_empty_line(data, end, wrap):
    assert find_header_end(wrap(data)) == end


def test_header_end_is_found_beyond_a_chunk_of_a_memoryview():
    data = b"A: " + b"x" * 262_140 + b"\r\n\r\nbody"
    assert find_header_end(memoryview(data)) == len(data) - 4


def test_fields_have_their_places_and_raw_values():
    data = b"From: a@b\r\nSubject : x\r\n y\r\njunk\r\nTo:c\r\n\r\nnot: this"
    fields = list(iterate_fields(data, 0, find_header_end(data)))
    assert [(f.name, f.value) for f in fields] == [
        (b"From", b" a@b\r"),
        (b"Subject", b" x\r\n y\r"),
        (b"To", b"c\r"),
    ]
    assert [data[f.start : f.end] for f in fields] == [b"From: a@b\r\n", b"Subject : x\r\n y\r\n", b"To:c\r\n"]


def test_leading_junk_is_no_field():
    headers = parse_headers(b"From alice@example.org Mon Nov 23\r\n continued: no\r\nSubject: yes\r\n\r\n")
    assert list(headers) == [b"subject"]


def test_get_is_the_first_and_get_all_every_one_unfolded():
    headers = parse_headers(b"X-A: one\r\n\ttwo\r\nx-a:  three \r\n\r\n")
    assert headers.get(b"x-a") == b"one two"
    assert headers.get_all(b"x-a") == [b"one two", b"three"]
    assert headers.get(b"y") is None
    assert headers.get_all(b"y") == []
    assert b"x-a" in headers


def test_number_of_fields_is_limited(monkeypatch):
    monkeypatch.setattr(header, "MAX_FIELDS", 3)
    assert len(list(parse_headers(b"".join(b"A%d: x\r\n" % n for n in range(9))))) == 3


def test_parsed_bytes_are_limited(monkeypatch):
    monkeypatch.setattr(header, "MAX_HEADER_BYTES", 10)
    assert list(parse_headers(b"A: b\r\nB: c\r\nC: d\r\n")) == [b"a", b"b"]


def test_field_length_is_limited(monkeypatch):
    monkeypatch.setattr(header, "MAX_FIELD_BYTES", 5)
    assert unfold(b"123456789") == b"12345"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?q?caf=C3=A9?=", "café"),
        (b"=?UTF-8?B?Y2Fmw6k=?= au lait", "café au lait"),
        (b"a =?iso-8859-1?q?=E9_b?= c", "a é b c"),
        (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?= =?iso-8859-1?q?=E9?=", "aé"),
        (b"=?utf-8?b?ww==?= =?utf-8?b?qQ==?=", "é"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=A9?=", "é"),
        (b"=?utf-8*en?q?x?=", "x"),
        (b"=?no-such?q?caf=C3=A9?=", "café"),
        (b"=?hex?q?41?=", "41"),
        (b"=?punycode?q?41?=", "41"),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
        (b"caf\xc3\xa9", "café"),
        (b"caf\xe9", "café"),
        (b"=?utf-8?q?=E9?=", "é"),
        (b"=?gb2312?b?xOO6ww==?=", "你好"),
        (b"=?utf-7?q?+2AA-?=", "\ufffd"),
        (b"=?utf-8?q?a=00b?=", "a b"),
        (b"=?utf-8?b?!!!?=", ""),
        (b"=?utf-8?q??=", ""),
    ],
)
def test_encoded_words(value, text):
    assert decode_words(value) == text


@given(st.binary(max_size=300))
def test_decoded_text_suits_any_database(value):
    text = decode_words(b"=?utf-7?q?" + value + b"?= " + value)
    assert "\0" not in text
    text.encode()


@given(
    st.lists(
        st.tuples(st.from_regex(rb"[!-9;-~]{1,9}", fullmatch=True), st.from_regex(rb"[ -~]{0,30}", fullmatch=True))
    )
)
def test_well_formed_fields_reconstruct_the_header(pairs):
    data = b"".join(name + b": " + value + b"\r\n" for name, value in pairs) + b"\r\n"
    fields = list(iterate_fields(data, 0, find_header_end(data)))
    assert b"".join(data[f.start : f.end] for f in fields) + b"\r\n" == data


def test_known_charsets_only_reach_the_codec_registry():
    import encodings

    before = len(encodings._cache)
    for number in range(50):
        decode_words(b"=?x-unheard-of-%d?q?a?=" % number)
    assert len(encodings._cache) == before
