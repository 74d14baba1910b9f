"""ENVELOPE, BODY and BODYSTRUCTURE as sent (RFC 3501 §7.4.2)."""

from __future__ import annotations

import pytest
from hypothesis import given

from shared.message import imap_envelope
from shared.message.header import parse_headers
from shared.message.imap_bodystructure import render_bodystructure
from shared.message.imap_envelope import render_envelope, render_string
from shared.message.structure import parse_structure
from tests.unit.message.imap_forms import check_body, check_envelope, read_form
from tests.unit.message.test_structure import BROKEN, SIMPLE, multipart


def test_envelope_of_the_rfc():
    """The example of RFC 3501 §8."""
    header = (
        b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\nFrom: Terry Gray <gray@cac.washington.edu>\r\n"
        b"Subject: IMAP4rev1 WG mtg summary and minutes\r\nTo: imap@cac.washington.edu\r\n"
        b"cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n"
        b"Message-Id: <B27397-0100000@cac.washington.edu>\r\n\r\n"
    )
    assert render_envelope(parse_headers(header)) == (
        b'("Wed, 17 Jul 1996 02:23:25 -0700 (PDT)" "IMAP4rev1 WG mtg summary and minutes" '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) (("Terry Gray" NIL "gray" "cac.washington.edu")) '
        b'(("Terry Gray" NIL "gray" "cac.washington.edu")) ((NIL NIL "imap" "cac.washington.edu")) '
        b'((NIL NIL "minutes" "CNRI.Reston.VA.US")("John Klensin" NIL "KLENSIN" "MIT.EDU")) '
        b'NIL NIL "<B27397-0100000@cac.washington.edu>")'
    )


def test_empty_envelope():
    assert render_envelope(parse_headers(b"\r\n")) == b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"


def test_sender_and_reply_to_are_from_when_empty_and_fields_of_one_name_are_joined():
    form = read_form(
        render_envelope(
            parse_headers(b"From: a@b\r\nSender:\r\nReply-To: r@s\r\nTo: c@d\r\nTo: e@f\r\nSubject:\r\n\r\n")
        )
    )
    assert form[1] == b""
    assert form[2] == form[3] == [[None, None, b"a", b"b"]]
    assert form[4] == [[None, None, b"r", b"s"]]
    assert form[5] == [[None, None, b"c", b"d"], [None, None, b"e", b"f"]]


def test_groups_are_shown_as_the_rfc_has_them():
    envelope = render_envelope(parse_headers(b"To: Friends: a@b;\r\n\r\n"))
    assert b'((NIL NIL "Friends" NIL)(NIL NIL "a" "b")(NIL NIL NIL NIL))' in envelope


@pytest.mark.parametrize(
    ("value", "rendered"),
    [
        (b"", b'""'),
        (b"plain", b'"plain"'),
        (b'say "hi" \\o/', b'"say \\"hi\\" \\\\o/"'),
        (b"caf\xc3\xa9", b"{5}\r\ncaf\xc3\xa9"),
        (b'caf\xe9 "x"', b'{8}\r\ncaf\xe9 "x"'),
        (b"a\0b\rc\nd", b'"a b c d"'),
        (b"a\0\xe9", b"{3}\r\na \xe9"),
    ],
)
def test_strings(value, rendered):
    assert render_string(value) == rendered


def test_long_strings_are_literals_and_limited(monkeypatch):
    assert render_string(b"x" * 2000) == b"{2000}\r\n" + b"x" * 2000
    monkeypatch.setattr(imap_envelope, "MAX_STRING_BYTES", 1500)
    assert render_string(b"x" * 2000) == b"{1500}\r\n" + b"x" * 1500


def test_bodystructure_of_a_multipart():
    body, extended = render_bodystructure(parse_structure(SIMPLE))
    assert body == (
        b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 5 0)'
        b'("text" "html" ("charset" "utf-8") "<c@x>" "what it is" "Quoted-Printable" 10 2) "mixed")'
    )
    assert extended == (
        b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 5 0 NIL NIL NIL NIL)'
        b'("text" "html" ("charset" "utf-8") "<c@x>" "what it is" "Quoted-Printable" 10 2 "Q2hlY2s=" '
        b'("attachment" ("filename" "x y.html")) ("en" "de") "http://example.org/") "mixed" ("boundary" "b") '
        b"NIL NIL NIL)"
    )


def test_bodystructure_of_a_nested_message():
    nested = b"Subject: in\r\nFrom: a@b\r\n\r\nx\r\n"
    data = b"Content-Type: message/rfc822\r\n\r\n" + nested
    body, extended = render_bodystructure(parse_structure(data))
    envelope = render_envelope(parse_headers(nested))
    text = b'"text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1'
    start = b'("message" "rfc822" NIL NIL NIL "7bit" %d ' % len(nested)
    assert body == start + envelope + b" (" + text + b") 4)"
    assert extended == start + envelope + b" (" + text + b" NIL NIL NIL NIL) 4 NIL NIL NIL NIL)"


def test_a_multipart_without_parts_is_still_valid():
    body, extended = render_bodystructure(parse_structure(multipart(b"nothing")))
    check_body(read_form(body), extended=False)
    check_body(read_form(extended), extended=True)


@given(BROKEN)
def test_any_bytes_give_valid_forms(data):
    root = parse_structure(data)
    body, extended = render_bodystructure(root)
    check_body(read_form(body), extended=False)
    check_body(read_form(extended), extended=True)
    check_envelope(read_form(render_envelope(root.headers)))


@given(BROKEN)
def test_any_header_values_give_a_valid_envelope(value):
    fields = b"".join(
        name + value.replace(b"\n", b"\n ") + b"\r\n" for name in (b"From:", b"Subject:", b"Date:", b"cc:")
    )
    check_envelope(read_form(render_envelope(parse_headers(fields))))
