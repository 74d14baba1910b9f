"""What is kept of a message when it is delivered."""

from __future__ import annotations

from hypothesis import given

from shared.message.rendered import MAX_REFERENCES, decode_parts, render, render_body
from tests.unit.message.imap_forms import check_body, check_envelope, read_form
from tests.unit.message.test_structure import BROKEN

MESSAGE = (
    b"Date: Mon, 23 Nov 2026 05:52:00 +0200\r\nFrom: Alice <alice@example.org>\r\nTo: bob@example.net\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID:  <4@x>\r\nReferences: <1@x> <2@x>\r\n <3@x>\r\n"
    b"In-Reply-To: <3@x>\r\n\r\nHello,\r\nBob.\r\n"
)


def test_a_message_is_rendered_whole():
    found = render(MESSAGE)
    assert found.size == len(MESSAGE)
    assert found.header_size == MESSAGE.index(b"Hello")
    assert found.subject == "Grüße"
    assert found.message_id == "<4@x>"
    assert found.refs == "<1@x> <2@x> <3@x>"
    assert (found.sent_at, found.sent_day) == (1795405920, 20780)
    assert found.preview == "Hello, Bob."
    assert found.bodystructure == (b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 14 2 NIL NIL NIL NIL)')
    assert found.body == render_body(MESSAGE)
    assert found.envelope.startswith(b'("Mon, 23 Nov 2026 05:52:00 +0200" "=?utf-8?q?Gr=C3=BC=C3=9Fe?=" ((')


def test_a_message_of_nothing():
    found = render(b"")
    assert (found.size, found.header_size, found.message_id, found.subject, found.refs, found.preview) == (
        0,
        0,
        "",
        "",
        "",
        "",
    )
    assert found.sent_at is None
    assert found.sent_day is None


def test_a_message_id_without_brackets_is_kept_and_long_ones_are_cut():
    assert render(b"Message-ID: bare@x (note)\r\n\r\n").message_id == "bare@x"
    assert len(render(b"Message-ID: <" + b"x" * 5000 + b">\r\n\r\n").message_id) == 250


def test_references_keep_the_first_and_the_last():
    ids = [f"<{number}@x>" for number in range(500)]
    refs = render(b"References: " + " ".join(ids).encode() + b"\r\n\r\n").refs.split()
    assert refs == ids[:1] + ids[1 - MAX_REFERENCES :]


@given(BROKEN)
def test_any_bytes_are_rendered(data):
    found = render(data)
    check_envelope(read_form(found.envelope))
    check_body(read_form(found.bodystructure), extended=True)
    check_body(read_form(found.body), extended=False)
    root = decode_parts(found.parts)
    assert (root.range.header_end, root.range.body_end) == (found.header_size, found.size)
    for text in (found.subject, found.preview, found.message_id, found.refs):
        assert "\0" not in text
        text.encode()
    assert render(memoryview(data)) == found
