"""Sections of stored messages: IMAP's numbering, HEADER.FIELDS, prefixes, stored offsets."""

from __future__ import annotations

import pytest
from hypothesis import given

from shared.message.body import SectionText, Span, fetch_section, locate, select_fields
from shared.message.parts import PartKind, decode_parts, encode_parts, section
from shared.message.structure import Part, parse_structure
from tests.unit.message.test_structure import BROKEN

# The message of RFC 3501 §6.4.5: HEADER, TEXT, 1, 2, 3 (message), 3.1, 3.2, 4 (multipart), 4.1, 4.2 (message) …
INNER3 = (
    b"Subject: three\r\nContent-Type: multipart/mixed; boundary=i3\r\n\r\n"
    b"--i3\r\n\r\n3.1\r\n--i3\r\nContent-Type: application/octet-stream\r\n\r\n3.2\r\n--i3--\r\n"
)
INNER42 = (
    b"Subject: four two\r\nContent-Type: multipart/mixed; boundary=i42\r\n\r\n"
    b"--i42\r\n\r\n4.2.1\r\n--i42\r\nContent-Type: multipart/alternative; boundary=i422\r\n\r\n"
    b"--i422\r\n\r\n4.2.2.1\r\n--i422\r\nContent-Type: text/richtext\r\n\r\n4.2.2.2\r\n--i422--\r\n--i42--\r\n"
)
HEADER = b"From: a@b\r\nTo: c@d\r\nReceived: one\r\n two\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n"
TEXT = (
    b"--o\r\n\r\none\r\n--o\r\nContent-Type: application/octet-stream\r\n\r\ntwo\r\n"
    b"--o\r\nContent-Type: message/rfc822\r\n\r\n" + INNER3 + b"\r\n"
    b"--o\r\nContent-Type: multipart/mixed; boundary=i4\r\n\r\n"
    b"--i4\r\nContent-Type: image/gif\r\n\r\n4.1\r\n--i4\r\nContent-Type: message/rfc822\r\n\r\n"
    + INNER42
    + b"\r\n--i4--\r\n--o--\r\n"
)
MESSAGE = HEADER + TEXT
PARTS = encode_parts(parse_structure(MESSAGE))
S = SectionText


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ((), S.WHOLE, MESSAGE),
        ((), S.HEADER, HEADER),
        ((), S.TEXT, TEXT),
        ((1,), S.WHOLE, b"one"),
        ((1,), S.MIME, b"\r\n"),
        ((1,), S.HEADER, None),
        ((1,), S.TEXT, None),
        ((1, 1), S.WHOLE, None),
        ((2,), S.WHOLE, b"two"),
        ((2,), S.MIME, b"Content-Type: application/octet-stream\r\n\r\n"),
        ((3,), S.WHOLE, INNER3),
        ((3,), S.MIME, b"Content-Type: message/rfc822\r\n\r\n"),
        ((3,), S.HEADER, INNER3[: INNER3.index(b"--i3")]),
        ((3,), S.TEXT, INNER3[INNER3.index(b"--i3") :]),
        ((3, 1), S.WHOLE, b"3.1"),
        ((3, 2), S.WHOLE, b"3.2"),
        ((3, 2), S.MIME, b"Content-Type: application/octet-stream\r\n\r\n"),
        ((4, 1), S.WHOLE, b"4.1"),
        ((4, 1), S.MIME, b"Content-Type: image/gif\r\n\r\n"),
        ((4, 2), S.WHOLE, INNER42),
        ((4, 2), S.HEADER, INNER42[: INNER42.index(b"--i42")]),
        ((4, 2), S.TEXT, INNER42[INNER42.index(b"--i42") :]),
        ((4, 2, 1), S.WHOLE, b"4.2.1"),
        ((4, 2, 2, 1), S.WHOLE, b"4.2.2.1"),
        ((4, 2, 2, 2), S.WHOLE, b"4.2.2.2"),
        ((4, 2, 2, 2), S.MIME, b"Content-Type: text/richtext\r\n\r\n"),
        ((4, 2, 2, 3), S.WHOLE, None),
        ((5,), S.WHOLE, None),
        ((0,), S.WHOLE, None),
        ((4, 0), S.WHOLE, None),
        ((2**40,), S.WHOLE, None),
    ],
)
def test_sections(path, text, expected):
    assert fetch_section(MESSAGE, PARTS, path, text) == expected
    assert fetch_section(memoryview(MESSAGE), PARTS, path, text) == expected


def test_part_one_of_a_plain_message_is_its_body():
    data = b"Subject: x\r\n\r\nhello"
    parts = encode_parts(parse_structure(data))
    assert fetch_section(data, parts, (1,)) == b"hello"
    assert fetch_section(data, parts, (1,), S.MIME) == b"Subject: x\r\n\r\n"
    assert fetch_section(data, parts, (1,), S.TEXT) is None
    assert fetch_section(data, parts, (1, 1)) is None
    assert fetch_section(data, parts, (2,)) is None


def test_a_message_whose_body_is_a_message():
    inner = b"Subject: in\r\n\r\nhello"
    data = b"Content-Type: message/rfc822\r\n\r\n" + inner
    parts = encode_parts(parse_structure(data))
    assert fetch_section(data, parts, (1,)) == inner
    assert fetch_section(data, parts, (1,), S.TEXT) == b"hello"
    assert fetch_section(data, parts, (1, 1)) == b"hello"
    assert fetch_section(data, parts, (1, 1), S.MIME) == b"Subject: in\r\n\r\n"


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        (S.HEADER_FIELDS, (b"from", b"TO"), b"From: a@b\r\nTo: c@d\r\n\r\n"),
        (S.HEADER_FIELDS, (b"Received",), b"Received: one\r\n two\r\n\r\n"),
        (S.HEADER_FIELDS, (b"X-None",), b"\r\n"),
        (S.HEADER_FIELDS_NOT, (b"received", b"content-type"), b"From: a@b\r\nTo: c@d\r\n\r\n"),
    ],
)
def test_header_fields(text, names, expected):
    assert fetch_section(MESSAGE, PARTS, (), text, names) == expected
    assert fetch_section(MESSAGE, PARTS, (3,), S.HEADER_FIELDS, (b"subject",)) == b"Subject: three\r\n\r\n"
    assert fetch_section(MESSAGE, PARTS, (1,), text, names) is None


def test_last_field_gets_its_line_end():
    assert select_fields(b"A: b", (b"a",)) == b"A: b\r\n\r\n"


def test_a_prefix_belongs_to_the_message_and_its_header_only():
    prefix = b"Return-Path: <x@y>\r\n"
    assert fetch_section(MESSAGE, PARTS, prefix=prefix) == prefix + MESSAGE
    assert fetch_section(MESSAGE, PARTS, (), S.HEADER, prefix=prefix) == prefix + HEADER
    assert fetch_section(MESSAGE, PARTS, (), S.TEXT, prefix=prefix) == TEXT
    assert fetch_section(MESSAGE, PARTS, (1,), prefix=prefix) == b"one"
    assert fetch_section(MESSAGE, PARTS, (3,), S.HEADER, prefix=prefix) == INNER3[: INNER3.index(b"--i3")]
    found = fetch_section(MESSAGE, PARTS, (), S.HEADER_FIELDS, (b"return-path",), prefix)
    assert found == prefix + b"\r\n"


def test_only_the_octets_wanted_need_be_read():
    assert locate(PARTS, ()) == Span(0, len(MESSAGE), prefixed=True)
    assert locate(PARTS, (), S.HEADER) == Span(0, len(HEADER), prefixed=True)
    assert locate(PARTS, (1,)) == Span(MESSAGE.index(b"one\r\n--o"), 3)
    assert section(PARTS, (1,)) == (
        MESSAGE.index(b"\r\none"),
        *[MESSAGE.index(b"one\r\n--o")] * 2,
        MESSAGE.index(b"\r\n--o\r\nContent-Type: a"),
    )


@pytest.mark.parametrize("damaged", [b"", b"\x01", b"\x02" + PARTS[1:], PARTS[:-1], b"\x01" + bytes(29)])
def test_damaged_offsets_are_refused(damaged):
    with pytest.raises(ValueError):
        decode_parts(damaged)
    with pytest.raises(ValueError):
        fetch_section(MESSAGE, damaged, (1,))


def check_same(part: Part, node) -> None:
    assert node.range == (part.header_start, part.header_end, part.body_start, part.body_end)
    assert (node.kind is not PartKind.LEAF) == bool(part.children)
    assert len(node.children) == len(part.children)
    for child, stored in zip(part.children, node.children, strict=True):
        check_same(child, stored)


@given(BROKEN)
def test_stored_offsets_are_the_structure(data):
    root = parse_structure(data)
    parts = encode_parts(root)
    check_same(root, decode_parts(parts))
    header = fetch_section(data, parts, (), S.HEADER)
    assert header + fetch_section(data, parts, (), S.TEXT) == data
    for number in range(1, 4):
        whole = fetch_section(data, parts, (number,))
        if root.is_multipart and number <= len(root.children):
            child = root.children[number - 1]
            assert whole == data[child.body_start : child.body_end]
            assert fetch_section(data, parts, (number,), S.MIME) == data[child.header_start : child.header_end]
