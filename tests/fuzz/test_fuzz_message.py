"""Fuzzes everything that reads a message: seeds, cut up, joined, repeated and damaged at random."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.message.addresslist import parse_addresses
from shared.message.binary import NotTransferable, to_transferable
from shared.message.body import SectionText, fetch_section
from shared.message.compose import complete_headers
from shared.message.date import parse_date
from shared.message.decoding import decoder_for
from shared.message.header import decode_words, unfold
from shared.message.lineends import LineEndChecker, find_bare
from shared.message.media import decode_parameter, parse_disposition, parse_media
from shared.message.rendered import decode_parts, render
from shared.message.structure import parse_structure
from shared.message.text import searchable_text
from tests.unit.message.imap_forms import check_body, check_envelope, read_form
from tests.unit.message.test_body import MESSAGE
from tests.unit.message.test_dsn import REPORTS, build_dsn
from tests.unit.message.test_structure import SIMPLE
from tests.unit.message.test_text import ENCODED, PLAIN, SUBJECT

SEEDS = [MESSAGE, SIMPLE, ENCODED, PLAIN, SUBJECT, *map(build_dsn, REPORTS.values())]
FUZZ = settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))
MAX_SECONDS = 20.0

SNIPPETS = st.sampled_from(
    [
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"\r\n\r\n",
        b"\xff\xfe",
        b"--b",
        b"--",
        b"=?utf-8?b?",
        b"?=",
        b'"',
        b"(",
        b")",
        b"<",
        b">",
        b";",
        b":",
        b",",
        b"@",
        b"\\",
        b"*0*=",
        b"%",
        b"=",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: multipart/mixed; boundary=b\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b" " * 70,
        b"{5}\r\n",
        b"NIL",
    ]
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A seed with a few pieces inserted, overwritten, cut out, doubled or taken from another seed."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 60)))
        match draw(st.integers(0, 4)):
            case 0:
                data[at:at] = draw(SNIPPETS)
            case 1:
                data[at:end] = draw(st.binary(max_size=20))
            case 2:
                del data[at:end]
            case 3:
                data[at:at] = bytes(data[at:end]) * draw(st.integers(1, 20))
            case _:
                other = draw(st.sampled_from(SEEDS))
                start = draw(st.integers(0, len(other)))
                data[at:at] = other[start : start + 300]
    return bytes(data)


@FUZZ
@given(mutated())
def test_binary_messages(data):
    """What comes as a literal8 becomes something that a literal can hold, or is refused."""
    try:
        found = b"".join(to_transferable(data))
    except NotTransferable:
        assert b"\0" in data
        return
    assert b"\0" not in found
    for part in parse_structure(found).walk():
        decoder = decoder_for(part.encoding)
        if decoder is not None:
            decoder.feed(found[part.body_start : part.body_end])
            decoder.finish()


@FUZZ
@given(mutated())
def test_messages(data):
    started = time.process_time()
    found = render(data)
    check_envelope(read_form(found.envelope))
    check_body(read_form(found.bodystructure), extended=True)
    check_body(read_form(found.body), extended=False)
    assert render(memoryview(data)) == found
    root = parse_structure(data)
    for part in root.walk():
        assert 0 <= part.header_start <= part.body_start <= part.body_end <= len(data)
        assert part.filename is None or "\0" not in part.filename
    for text in searchable_text(data):
        text.encode()
    assert decode_parts(found.parts).range.body_end == len(data)
    assert time.process_time() - started < MAX_SECONDS


@FUZZ
@given(mutated(), st.lists(st.integers(0, 5), max_size=6), st.sampled_from(SectionText), st.lists(SNIPPETS))
def test_sections(data, path, text, names):
    parts = render(data).parts
    found = fetch_section(data, parts, path, text, names)
    if found is not None and text in (SectionText.WHOLE, SectionText.HEADER, SectionText.TEXT, SectionText.MIME):
        assert found in data


@FUZZ
@given(mutated())
def test_headers_are_completed_once(data):
    now = datetime(2026, 11, 23, tzinfo=UTC)
    once = complete_headers(data, message_id="<x@y>", date=now)
    assert complete_headers(once, message_id="<other@y>", date=now) == once


@FUZZ
@given(mutated(), st.integers(1, 50))
def test_line_ends_in_chunks(data, size):
    checker = LineEndChecker()
    for at in range(0, len(data), size):
        checker.feed(data[at : at + size])
    assert checker.finish() is find_bare(data)


@FUZZ
@given(st.lists(SNIPPETS | st.binary(max_size=8), max_size=30).map(b"".join))
def test_field_values(value):
    value = unfold(value)
    assert b"\n" not in value
    decode_words(value).encode()
    parse_addresses(value)
    parse_date(value)
    media = parse_media(b"text/plain;" + value)
    assert media is not None
    assert media.type == b"text"
    disposition = parse_disposition(b"attachment;" + value)
    assert disposition is not None
    for name, _ in disposition.params:
        text = decode_parameter(disposition.params, name.removesuffix(b"*"))
        assert text is None or "\0" not in text
