"""Messages made to break parsers: each is rendered, searched and fetched from in well under a second."""

from __future__ import annotations

import time

import pytest

from shared.message.compose import complete_headers
from shared.message.date import parse_date
from shared.message.header import find_header_end
from shared.message.media import parse_media
from shared.message.rendered import decode_parts, render
from shared.message.text import contains_text
from tests.unit.message.imap_forms import check_body, check_envelope, read_form

MAX_SECONDS = 10.0  # of CPU: quadratic work on these would take minutes
MB = 1024 * 1024
CT = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'


def nested_multiparts(depth: int) -> bytes:
    return b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (level, level) for level in range(depth)
    )


def same_boundary_everywhere(size: int) -> bytes:
    """Levels that each look for a boundary which is the start of every line of the innermost body."""
    return b"".join(CT + b"--b\r\n" for _ in range(90)) + b"--bX\r\n" * (size // 6)


HOSTILE = {
    "no end of header": b"Subject: x\r\n" * (MB // 12),
    "10,000 nested parts": nested_multiparts(10_000),
    "10,000 nested messages": b"Content-Type: message/rfc822\r\n\r\n" * 10_000,
    "30,000 parts": CT + b"--b\r\n\r\nx\r\n" * 30_000,
    "30,000 parts with headers": CT + b"--b\r\nContent-Type: text/plain; a=b\r\n\r\nx\r\n" * 30_000,
    "1 MB header line": b"Subject: " + b"x" * MB + b"\r\n\r\nbody",
    "1 MB header line without colon": b"x" * MB + b"\r\n\r\nbody",
    "1 MB of folds": b"Subject: a" + b"\r\n a" * (MB // 4) + b"\r\n\r\nbody",
    "1 MB of white lines": b"Subject: a" + b"\r\n \r\n\t" * (MB // 6) + b"\r\n\r\nbody",
    "1 MB of spaces in a header": b"Subject:" + b" " * MB + b"x\r\n\r\nbody",
    "NULs": b"\0" * MB,
    "NULs in fields": b"Subject: a\0b\r\nFrom: \0\0 <a\0@b\0>\r\nContent-Type: text/\0; a=\0\r\n\r\n\0",
    "CRs": b"\r" * MB,
    "LFs": b"x" + b"\n" * MB,
    "many empty fields": b"a:\n" * (MB // 3),
    "bad charset": b"Subject: =?\xff\0?q?x?= =?punycode?q?" + b"a" * MB + b"?=\r\n\r\n",
    "punycode body": b"Content-Type: text/plain; charset=punycode\r\n\r\n" + b"a" * MB,
    "idna body": b"Content-Type: text/plain; charset=idna\r\n\r\n" + b"a." * (MB // 2),
    "encoded words": b"Subject: " + b"=?utf-8?q?=E9?= " * (MB // 16) + b"\r\n\r\n",
    "starts of encoded words": b"Subject: " + b"=?a?q?" * (MB // 6) + b"\r\n\r\n",
    "10,000 recipients": b"To: " + b",\r\n ".join(b'"User %d" <u%d@x>' % (n, n) for n in range(10_000)) + b"\r\n\r\n",
    "commas": b"To: " + b"a," * (MB // 2) + b"\r\n\r\n",
    "comments": b"To: " + b"(" * (MB // 2) + b")" * (MB // 2) + b"\r\n\r\n",
    "quotes": b"To: " + b'"\\' * (MB // 2) + b"\r\n\r\n",
    "groups": b"To: " + b"a:;" * (MB // 3) + b"\r\n\r\n",
    "angles": b"From: " + b"<" * MB + b"\r\n\r\n",
    "parameters": b"Content-Type: text/plain" + b"; a*0=b" * (MB // 7) + b"\r\n\r\n",
    "spaces between parameters": b"Content-Type: text/plain;" + b" " * MB + b"; x\r\n\r\n",
    "comments in a type": b"Content-Type: text/plain " + b"(" * MB + b"\r\n\r\n",
    "many long types": CT
    + (b"--b\r\nContent-Type: text/plain;" + b" " * 15_000 + b"x" + b' "(' * 1000 + b"\r\n\r\n") * 60,
    "near delimiters": CT + b"--bX\r\n" * (MB // 6),
    "near delimiters in depth": same_boundary_everywhere(MB),
    "long padding of delimiters": CT + b"--b" + b" " * MB + b"x\r\n",
    "padding of many delimiters": CT + (b"--b" + b" " * 1000 + b"x\r\n") * (MB // 1000),
    "dashes": CT + b"-" * MB,
    "references": b"References: " + b"<" * MB + b"\r\n\r\n",
    "unclosed HTML": b"Content-Type: text/html\r\n\r\n" + b"<style <!-- <script " * (MB // 20),
    "HTML entities": b"Content-Type: text/html\r\n\r\n" + b"&amp" * (MB // 4),
    "bad base64": b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=A" * (MB // 2),
    "bad quoted-printable": b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"= " * (MB // 2),
    "a date of digits": b"Date: " + b"1" * MB + b"\r\n\r\n",
    "everything at once": bytes(range(256)) * 4096,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_messages_are_rendered_quickly(data):
    started = time.process_time()
    found = render(data)
    assert time.process_time() - started < MAX_SECONDS
    assert found.size == len(data)
    assert len(found.envelope) + len(found.bodystructure) < 4 * MB
    check_envelope(read_form(found.envelope))
    decode_parts(found.parts)


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_messages_are_searched_and_completed_quickly(data):
    started = time.process_time()
    assert not contains_text(data, "zürich")
    assert time.process_time() - started < MAX_SECONDS
    from datetime import UTC, datetime

    completed = complete_headers(data, message_id="<x@y>", date=datetime(2026, 11, 23, tzinfo=UTC))
    assert completed.endswith(data[find_header_end(data) :])
    assert time.process_time() - started < 2 * MAX_SECONDS


def test_a_deep_structure_is_still_valid_imap():
    found = render(HOSTILE["10,000 nested messages"])
    check_body(read_form(found.bodystructure), extended=True)
    check_body(read_form(found.body), extended=False)


@pytest.mark.parametrize("value", [b"text/plain" + b" ;" * 8000, b"a/b" + b'; x="' * 4000, b"a/b; x=" + b"y " * 8000])
def test_hostile_types_are_parsed_quickly(value):
    started = time.process_time()
    assert parse_media(value) is not None
    assert time.process_time() - started < 10


def test_hostile_dates_are_parsed_quickly():
    started = time.process_time()
    for text in (b"1 Jan" + b" " * MB, b"1-" * MB, b"Mon, " * MB):
        assert parse_date(text) is None
    assert time.process_time() - started < 10
