"""Text for people: search and preview."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given

from shared.message.charset import codec_for, decode_text
from shared.message.preview import MAX_PREVIEW, make_preview
from shared.message.structure import parse_structure
from shared.message.text import contains_text, decode_body, searchable_text
from tests.unit.message.test_structure import BROKEN, multipart

PLAIN = b"Subject: Lunch\r\nFrom: Alice <a@b>\r\n\r\nSee you at the Harbour, by\r\nthe old crane.\r\n"
ENCODED = multipart(
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes("Grüße vom Zürichsee".encode())
    + b"\r\n--b\r\nContent-Type: text/html; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    + b"<p>caf=E9 au lai=\r\nt</p>\r\n"
    + b"--b\r\nContent-Type: application/pdf; name=secret.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    + base64.encodebytes(b"hidden words")
    + b"\r\n--b--\r\n"
)
SUBJECT = b"Subject: =?utf-8?q?=C3=9Cbersicht?= and\r\n more\r\n" + ENCODED


@pytest.mark.parametrize(
    ("needle", "text", "body"),
    [
        ("lunch", True, False),
        ("HARBOUR", True, True),
        ("by\r\nthe", True, True),
        ("alice", True, False),
        ("submarine", False, False),
        ("a submarine", False, False),
        ("ü", False, False),
        ("", True, True),
    ],
)
def test_search_in_plain_octets(needle, text, body):
    assert contains_text(PLAIN, needle) is text
    assert contains_text(PLAIN, needle, headers=False) is body


@pytest.mark.parametrize(
    ("needle", "text", "body"),
    [
        ("zürichsee", True, True),
        ("GRÜSSE", False, False),
        ("grüße", True, True),
        ("café au lait", True, True),
        ("übersicht", True, False),
        ("übersicht and more", True, False),
        ("secret.pdf", True, True),
        ("hidden words", False, False),
        ("aGlkZGVu", False, False),
    ],
)
def test_search_in_encoded_text(needle, text, body):
    assert contains_text(SUBJECT, needle) is text
    assert contains_text(memoryview(SUBJECT), needle) is text
    assert contains_text(SUBJECT, needle, headers=False) is body


def test_headers_of_a_message_within_are_body():
    data = b"Subject: outside\r\nContent-Type: message/rfc822\r\n\r\nSubject: inside\r\n\r\nx"
    assert contains_text(data, "inside", headers=False)
    assert not contains_text(data, "outside", headers=False)


@given(BROKEN)
def test_any_bytes_can_be_searched(data):
    for text in searchable_text(data):
        text.encode()
    assert contains_text(data, "") is True
    assert isinstance(make_preview(data, parse_structure(data)), str)


@pytest.mark.parametrize(
    ("raw", "encoding", "expected"),
    [
        (b"YWJj\r\nZGVm\r\n", b"base64", b"abcdef"),
        (b"YWJjZA", b"base64", b"abcd"),
        (b"YWJj!ZGV", b"base64", b"abcde"),
        (b"Y", b"base64", b""),
        (b"a=3Db=\r\nc =\r\n", b"quoted-printable", b"a=bc "),
        (b"a=ZZ", b"quoted-printable", b"a=ZZ"),
        (b"a=3D", b"8bit", b"a=3D"),
        (b"a=3D", b"x-unknown", b"a=3D"),
    ],
)
def test_transfer_encodings(raw, encoding, expected):
    assert decode_body(raw, encoding) == expected


@pytest.mark.parametrize(
    ("data", "charset", "text"),
    [
        (b"caf\xe9", "ISO-8859-1", "café"),
        (b"\x80", "iso-8859-1", "€"),
        (b"caf\xc3\xa9", None, "café"),
        (b"caf\xe9", None, "café"),
        (b"caf\xe9", "utf-8", "café"),
        (b"caf\xc3\xa9", "x-no-such", "café"),
        ("日本".encode("iso-2022-jp"), "ISO-2022-JP", "日本"),
        ("日本".encode("shift_jis"), "Shift_JIS", "日本"),
        (b"\xff\xfea\x00", "utf-16", "a"),
        (b"a", "utf-16", "a"),
        (b"a\0b", "us-ascii", "a b"),
    ],
)
def test_charsets(data, charset, text):
    assert decode_text(data, charset) == text


@pytest.mark.parametrize(
    "charset", ["hex", "rot13", "base64", "zlib", "idna", "punycode", "unicode_escape", "undefined", "a\0b"]
)
def test_codecs_that_are_no_charsets_are_unknown(charset):
    assert codec_for(charset) is None


def preview(data: bytes) -> str:
    return make_preview(data, parse_structure(data))


def test_preview_is_the_first_plain_text_on_one_line():
    assert preview(PLAIN) == "See you at the Harbour, by the old crane."
    assert preview(ENCODED) == "Grüße vom Zürichsee"


def test_preview_of_html_has_no_markup():
    html = (
        b"Content-Type: text/html; charset=utf-8\r\n\r\n<html><head><title>T</title><style>p {x}</style></head>"
        b"<!-- no --><body onload='x'><p>Tom &amp; <b>Jerry</b></p><script>1 < 2</script> 3 < 4</body>"
    )
    assert preview(html) == "Tom & Jerry 3 < 4"


@pytest.mark.parametrize("tail", [b"<style>", b"<!--", b"<p", b"<script>alert(1)"])
def test_preview_of_unclosed_html(tail):
    assert preview(b"Content-Type: text/html\r\n\r\nseen" + tail + b" unseen") in ("seen", "seen unseen")


def test_preview_passes_over_attachments_and_prefers_plain_text():
    data = multipart(
        b"--b\r\nContent-Disposition: attachment\r\n\r\nattached\r\n"
        b"--b\r\nContent-Type: text/html\r\n\r\n<p>html\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n--b--"
    )
    assert preview(data) == "plain"
    assert preview(data.replace(b"text/plain", b"image/png")) == "html"
    assert preview(b"Content-Type: image/png\r\n\r\nx") == ""


@pytest.mark.parametrize(
    "text", ["word " * 2000, "ü" * 5000, "字" * 5000, " \r\n" * 400 + "word " * 99, "x\u200b" * 900]
)
def test_preview_is_limited_and_has_no_half_characters(text):
    short = preview(b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + text.encode())
    assert 0 < len(short) <= MAX_PREVIEW
    assert set(short) <= set("word xü字")
