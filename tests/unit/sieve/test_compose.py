"""The messages that vacation and notify send, whole."""

from __future__ import annotations

from shared.message.structure import parse_structure
from shared.sieve.actions import Notify, Vacation
from shared.sieve.addresses import address_field
from shared.sieve.compose import compose_notification, compose_vacation, text_entity
from shared.sieve.headertext import header_field
from tests.unit.sieve.harness import NOW, result


def test_a_vacation_answer() -> None:
    found = result('require "vacation"; vacation :from "Road Runner <rr@acme.example.com>" "Gone fishing.";')
    action = found.actions[0]
    assert isinstance(action, Vacation)
    assert compose_vacation(action, message_id="<v1@acme.example.com>", date=NOW) == (
        b"From: Road Runner <rr@acme.example.com>\r\n"
        b"To: coyote@desert.example.org\r\n"
        b"Subject: =?utf-8?B?QXV0bzogSSBoYXZlIGEgcHLDqXNlbnQgZm9yIHlvdQ==?=\r\n"
        b"Date: Mon, 23 Nov 2026 14:30:05 +0000\r\n"
        b"Message-ID: <v1@acme.example.com>\r\n"
        b"Auto-Submitted: auto-replied (vacation)\r\n"
        b"In-Reply-To: <4321.1234@desert.example.org>\r\n"
        b"References: <4321.1234@desert.example.org>\r\n"
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=us-ascii\r\n\r\n"
        b"Gone fishing.\r\n"
    )


def test_a_vacation_answer_in_mime() -> None:
    script = """require "vacation"; vacation :mime text:
Content-Type: text/html; charset=utf-8
Bcc: evil@x.example

<b>Gone</b> é
.
;"""
    action = result(script).actions[0]
    assert isinstance(action, Vacation)
    data = compose_vacation(action, message_id="<v1@x>", date=NOW)
    root = parse_structure(data)
    assert (root.media.type, root.media.subtype) == (b"text", b"html")
    assert b"Bcc" not in data
    assert data.endswith("\r\n\r\n<b>Gone</b> é\r\n".encode())


def test_text_that_is_not_ascii_is_encoded() -> None:
    assert text_entity("é\nx").endswith(b"base64\r\n\r\nw6kNCngNCg==\r\n")
    assert b"base64" in text_entity("a" * 999)
    assert text_entity("") == b"Content-Type: text/plain; charset=us-ascii\r\n\r\n\r\n"


def test_a_notification() -> None:
    uri = "mailto:a@b.example?cc=c@d.example&body=There%20is%20mail.&X-Foo=bar"
    action = result(f'require "enotify"; notify :importance "1" :message "From the boss" "{uri}";').actions[0]
    assert isinstance(action, Notify)
    assert compose_notification(action, owner="rr@acme.example.com", message_id="<n1@x>", date=NOW) == (
        b"From: rr@acme.example.com\r\nTo: a@b.example\r\nCc: c@d.example\r\nSubject: From the boss\r\n"
        b"Date: Mon, 23 Nov 2026 14:30:05 +0000\r\nMessage-ID: <n1@x>\r\n"
        b'Auto-Submitted: auto-notified; owner-email="rr@acme.example.com"\r\n'
        b"X-Priority: 1 (Highest)\r\nImportance: High\r\nX-Foo: bar\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=us-ascii\r\n\r\nThere is mail.\r\n"
    )


def test_fields_are_folded_and_never_split_in_two() -> None:
    field = header_field("Subject", "word " * 30)
    assert all(len(line) <= 78 for line in field.split(b"\r\n"))
    assert field.replace(b"\r\n ", b" ").rstrip() == b"Subject: " + b" ".join([b"word"] * 30)
    assert header_field("Subject", "a\r\nBcc: b") == b"Subject: a Bcc: b\r\n"
    assert header_field("Subject", "") == b"Subject: \r\n"
    long = header_field("Subject", "ä" * 300)
    assert all(len(line) <= 78 for line in long.split(b"\r\n"))


def test_a_name_that_is_not_ascii_leaves_the_address_alone() -> None:
    assert address_field("From", "Büro <a@b.example>") == b"From: =?utf-8?B?QsO8cm8=?= <a@b.example>\r\n"
    assert address_field("From", '"A, B" <a@b.example>') == b'From: "A, B" <a@b.example>\r\n'
    assert address_field("From", "ä@b.example") == "From: <ä@b.example>\r\n".encode()
