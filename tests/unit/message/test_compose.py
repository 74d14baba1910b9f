"""Trace fields, and what submission adds and removes."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.message.compose import (
    complete_headers,
    delivered_to_header,
    protocol_name,
    received_header,
    return_path_header,
)
from shared.message.header import parse_headers

NOW = datetime(2026, 11, 23, 3, 52, tzinfo=UTC)
DATE = b"Date: Mon, 23 Nov 2026 03:52:00 +0000\r\n"
ID = b"Message-ID: <new@x>\r\n"


def complete(data: bytes) -> bytes:
    return complete_headers(data, message_id="<new@x>", date=NOW)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"From: a\r\n\r\nx", DATE + ID + b"From: a\r\n\r\nx"),
        (b"date: d\r\nFrom: a\r\n\r\nx", ID + b"date: d\r\nFrom: a\r\n\r\nx"),
        (b"DATE: d\r\nmessage-id: m\r\n\r\nx", b"DATE: d\r\nmessage-id: m\r\n\r\nx"),
        (
            b"Date: d\r\nBcc: x@y,\r\n z@w\r\nBCC: q\r\nResent-Bcc: r\r\nMessage-ID: m\r\n\r\nBcc: body\r\n",
            b"Date: d\r\nMessage-ID: m\r\n\r\nBcc: body\r\n",
        ),
        (b"\r\nbody", DATE + ID + b"\r\nbody"),
        (b"body only\r\n", DATE + ID + b"\r\nbody only\r\n"),
        (b"", DATE + ID + b"\r\n"),
        (b"Date: d\r\nMessage-ID: m\r\nBcc: x", b"Date: d\r\nMessage-ID: m\r\n"),
        (b"Date: d\r\nMessage-ID: m\r\nX-Bcc: x\r\n\r\n", b"Date: d\r\nMessage-ID: m\r\nX-Bcc: x\r\n\r\n"),
    ],
)
def test_headers_are_completed(data, expected):
    assert complete(data) == expected
    assert complete(expected) == expected


@given(st.lists(st.sampled_from([b"From: a\r\n", b"Bcc: x\r\n y\r\n", b"Date: d\r\n", b"X:y\r\n", b"junk\r\n"])))
def test_nothing_else_changes(fields):
    data = b"".join(fields) + b"\r\nBcc: body\r\n"
    kept = b"".join(field for field in fields if not field.startswith(b"Bcc"))
    assert complete(data).endswith(kept + b"\r\nBcc: body\r\n")


def test_received_as_the_rfc_has_it():
    field = received_header(
        helo="client.example.org",
        ip="192.0.2.7",
        name="host.example.org",
        by="mx.packetboat.test",
        protocol=protocol_name(tls=True),
        tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
        entry_id="01JDABCDEFGHJKMNPQRSTVWXYZ",
        recipients=("bob@packetboat.test",),
        date=NOW,
    )
    assert field == (
        b"Received: from client.example.org (host.example.org [192.0.2.7])\r\n"
        b"\tby mx.packetboat.test with ESMTPS (TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n"
        b"\tid 01JDABCDEFGHJKMNPQRSTVWXYZ for <bob@packetboat.test>;\r\n"
        b"\tMon, 23 Nov 2026 03:52:00 +0000\r\n"
    )


def test_received_names_no_recipient_among_several_and_marks_ipv6():
    field = received_header(
        helo="[IPv6:2001:db8::1]",
        ip="2001:db8::1",
        by="mx",
        protocol="SMTP",
        entry_id="1",
        recipients=("a@b", "c@d"),
        date=NOW,
    )
    assert b"for <" not in field
    assert b"from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])" in field


@given(st.text(), st.text(), st.text(), st.text(), st.sampled_from(["ESMTP", "UTF8SMTP"]))
def test_a_peer_cannot_write_fields(helo, name, recipient, tls, protocol):
    field = received_header(
        helo=helo,
        ip="192.0.2.7",
        name=name,
        by="mx",
        protocol=protocol,
        entry_id="1",
        recipients=(recipient,),
        tls=tls,
        date=NOW,
    )
    assert field.endswith(b"\r\n")
    assert not re.search(rb"\r\n[^\t]", field[:-2])
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n|\0", field)
    assert list(parse_headers(field)) == [b"received"]
    assert max(map(len, field.split(b"\r\n"))) < 998
    assert protocol == "UTF8SMTP" or field.isascii()
    for line in (return_path_header(recipient), delivered_to_header(recipient)):
        assert line.count(b"\n") == line.count(b"\r\n") == 1
        assert b"\0" not in line


def test_other_trace_fields():
    assert return_path_header("") == b"Return-Path: <>\r\n"
    assert return_path_header("a@b") == b"Return-Path: <a@b>\r\n"
    assert delivered_to_header("ü@b") == "Delivered-To: ü@b\r\n".encode()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"extended": False}, "SMTP"),
        ({}, "ESMTP"),
        ({"tls": True}, "ESMTPS"),
        ({"authenticated": True}, "ESMTPA"),
        ({"tls": True, "authenticated": True}, "ESMTPSA"),
        ({"utf8": True}, "UTF8SMTP"),
        ({"utf8": True, "tls": True, "authenticated": True}, "UTF8SMTPSA"),
        ({"lmtp": True}, "LMTP"),
        ({"lmtp": True, "utf8": True, "tls": True}, "UTF8LMTPS"),
    ],
)
def test_protocol_names_are_registered_ones(options, name):
    assert protocol_name(**options) == name
