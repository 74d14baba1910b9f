"""Broken mail through a whole stack: delivered and readable byte for byte, or refused with a code; never stuck."""

from __future__ import annotations

import imaplib
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.running import running
from tests.e2e.sessions import eventually, fetch, imap, pop3, quoted, search, wait_for
from tests.tools.imap_value import QUOTED_BY_GRAMMAR, Value, parse_value
from tests.tools.stack import Stack

ALICE, BOB = "alice@packetboat.test", "bob@packetboat.test"
SENDER = "hostile@elsewhere.test"
TIMEOUT = 30.0
PARTS = 10_000
MEGABYTE = 1024 * 1024
TRACE = re.compile(rb"Return-Path: [^\r\n]*\r\nDelivered-To: [^\r\n]*\r\nReceived: [^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*")


def nested(depth: int) -> bytes:
    """Multiparts in multiparts."""
    opening = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth))
    return opening + b"Content-Type: text/plain\r\n\r\ninnermost\r\n"


def siblings(count: int) -> bytes:
    """Many parts side by side."""
    head = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    return head + b"--x\r\nContent-Type: text/plain\r\n\r\nhi\r\n" * count + b"--x--\r\n"


def rfc822(depth: int) -> bytes:
    """Messages in messages."""
    return b"Content-Type: message/rfc822\r\n\r\n" * depth + b"Subject: innermost\r\n\r\ntext\r\n"


def multipart(boundary: bytes, body: bytes) -> bytes:
    """A multipart message, as wrong as its boundary and body."""
    return b"Content-Type: multipart/mixed; boundary=" + boundary + b"\r\n\r\n" + body


READABLE: dict[str, bytes] = {
    "ordinary": b"From: a@b.test\r\nSubject: ordinary\r\n\r\ntext\r\n",
    "empty": b"",
    "an empty line": b"\r\n",
    "only a header": b"Subject: only a header\r\n",
    "only a header, and the empty line": b"Subject: x\r\n\r\n",
    "no end of headers": b"".join(b"X-Field-%d: value\r\n" % n for n in range(20_000)),
    "a body without headers": b"just some text\r\nwithout a field: really\r\n\r\nmore\r\n",
    "header lines that are none": b"Subject: x\r\nthis is no field\r\n: nor this\r\n\r\nbody\r\n",
    "a continuation first": b" continued from nowhere\r\nSubject: x\r\n\r\nbody\r\n",
    "10,000 nested multiparts": nested(PARTS),
    "10,000 parts": siblings(PARTS),
    "1,000 messages in messages": rfc822(1000),
    "10,000 messages in messages": rfc822(PARTS),
    "a header line of 1 MB": b"Subject: " + b"x" * MEGABYTE + b"\r\n\r\nbody\r\n",
    "a folded header of 1 MB": b"Subject: x" + b"\r\n y" * (MEGABYTE // 4) + b"\r\n\r\nbody\r\n",
    "a body line of 1 MB": b"Subject: x\r\n\r\n" + b"y" * MEGABYTE + b"\r\n",
    "10,000 recipients in To": b"To: " + b",\r\n ".join(b"u%d@a.test" % n for n in range(PARTS)) + b"\r\n\r\nx\r\n",
    "10,000 Received-like fields": b"X-Received: from a by b\r\n" * PARTS + b"\r\nx\r\n",
    "nested comments in an address": b"From: " + b"(" * 50_000 + b"a@b.test\r\n\r\nx\r\n",
    "nested groups": b"To: " + b"g:" * 50_000 + b"a@b.test;\r\n\r\nx\r\n",
    "quotes without end": b'From: "a\\\r\nTo: <<<>>>,,,;;;\r\nCc: a@@b@c, "\r\n\r\nx\r\n',
    "unknown charsets": b"Subject: =?no?B?w6Q=?= =?utf-8?Q?=ZZ?=\r\nContent-Type: text/plain; charset=\xff\r\n\r\n",
    "endless encoded words": b"Subject: " + b"=?utf-8?B?" * 50_000 + b"\r\n\r\nx\r\n",
    "broken base64": b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!====AAA\r\n",
    "broken quoted-printable": b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=ZZ==\r\n",
    "an unknown encoding": b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-\xe4\r\n\r\nx\r\n",
    "8 bit headers": b"From: J\xf6rg <j\xf6rg@b.test>\r\nSubject: caf\xc3\xa9 \xe9\r\n\r\nb\xf6dy\r\n",
    "lone surrogates in UTF-8": b"Subject: \xed\xa0\x80 \xed\xbf\xbf\r\n\r\n\xed\xa0\x80\r\n",
    "overlong and truncated UTF-8": b"Subject: \xc0\xaf \xf8\x88\x80\x80\x80 \xe2\x82\r\n\r\n\xf0\x9f\r\n",
    "a boundary of 100,000 letters": multipart(b"b" * 100_000, b"--b\r\nx\r\n"),
    "an empty boundary": multipart(b'""', b"--\r\n\r\nx\r\n----\r\n"),
    "a boundary like its prefix": multipart(b"a", b"--ab\r\n\r\nx\r\n--a\r\n\r\ny\r\n--a--"),
    "endless parameters": b"Content-Type: text/plain" + b"; a*0*=x''y" * 20_000 + b"\r\n\r\nx\r\n",
    "100,000 nested divs": b"Content-Type: text/html\r\n\r\n" + b"<div>\r\n" * 100_000 + b"x\r\n",
    "an impossible date": b"Date: Tue, 99 Foo 99999 99:99:99 +9999\r\n\r\nx\r\n",
    "two of everything": b"From: a@b.test\r\nSubject: 1\r\nContent-Type: text/html\r\n" * 2 + b"\r\nx\r\n",
    "an endless Message-ID": b"Message-ID: <" + b"m" * 100_000 + b"@b.test>\r\n\r\nx\r\n",
    "lines of dots": b"Subject: dots\r\n\r\n.\r\n..\r\n...\r\n. \r\n.x\r\n",
    "control characters": b"Subject: \x01\x07\x1b[31m\x7f\r\n\r\n\x0c\x1a\r\n",
    "a body of 20 MB": b"Subject: big\r\n\r\n" + (b"0123456789" * 7 + b"\r\n") * (20 * MEGABYTE // 72),
}  # fmt: skip

REFUSED: dict[str, bytes] = {
    "a bare LF": b"Subject: x\r\n\r\none\ntwo\r\n",
    "a bare CR": b"Subject: x\r\n\r\none\rtwo\r\n",
    "a bare LF in the header": b"Subject: x\nTo: y\r\n\r\nz\r\n",
    "CR CR LF": b"Subject: x\r\n\r\none\r\r\ntwo\r\n",
    "NUL in the body": b"Subject: x\r\n\r\n\0\r\n",
    "NUL in the header": b"Subject: \0\r\n\r\nx\r\n",
    "a loop": b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * 200 + b"Subject: x\r\n\r\nx\r\n",
}

SMUGGLED = b"MAIL FROM:<evil@elsewhere.test>\r\nRCPT TO:<%s>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n" % BOB.encode()
SMUGGLING = {
    "LF . CRLF": b"\n.\r\n",
    "CRLF . LF": b"\r\n.\n",
    "LF . LF": b"\n.\n",
    "CR . CRLF": b"\r.\r\n",
    "CRLF . CR": b"\r\n.\r",
    "CR LF NUL .": b"\r\n\0.\r\n",
    "CR . CR": b"\r.\r",
}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose queue must be empty at the end."""
    with running(tmp_path_factory.mktemp("hostile") / "data") as started:
        yield started
        eventually(lambda: "the queue is empty" in started.cli("queue", "list"), "an empty queue")


class Wire:
    """An SMTP connection that sends what it is told, octet by octet."""

    def __init__(self, stack: Stack) -> None:
        self._socket = socket.create_connection((stack.host, stack.ports.mx), TIMEOUT)
        self._lines = self._socket.makefile("rb")
        assert self.reply().startswith(b"220")
        assert self.ask(b"EHLO hostile.test\r\n").startswith(b"250")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._lines.close()
        self._socket.close()

    def send(self, octets: bytes) -> None:
        self._socket.sendall(octets)

    def reply(self) -> bytes:
        """The last line of the next reply."""
        while (line := self._lines.readline())[3:4] == b"-":
            pass
        return line

    def ask(self, octets: bytes) -> bytes:
        self.send(octets)
        return self.reply()

    def envelope(self, *recipients: str) -> None:
        assert self.ask(b"MAIL FROM:<%s>\r\n" % SENDER.encode()).startswith(b"250")
        for recipient in recipients:
            assert self.ask(b"RCPT TO:<%s>\r\n" % recipient.encode()).startswith(b"250")

    def data(self, text: bytes) -> bytes:
        """The reply to a message that is sent by DATA, its dots stuffed."""
        self.envelope(ALICE)
        assert self.ask(b"DATA\r\n").startswith(b"354")
        stuffed = (b"\r\n" + text).replace(b"\r\n.", b"\r\n..")[2:]
        return self.ask(stuffed + (b"" if stuffed.endswith(b"\r\n") or not stuffed else b"\r\n") + b".\r\n")

    def bdat(self, text: bytes) -> bytes:
        """The reply to a message that is sent by BDAT, which needs no line end at the end."""
        self.envelope(ALICE)
        return self.ask(b"BDAT %d LAST\r\n" % len(text) + text)


def read_everywhere(stack: Stack, entry: str) -> bytes:
    """The message as IMAP and POP3 give it, once it is there; it is then deleted."""
    with imap(stack, ALICE) as client:
        [uid] = wait_for(client, "HEADER", "Received", quoted(f"id {entry}"), timeout=60)
        data = fetch(client, uid)
        status, answer = client.uid("FETCH", uid, "(ENVELOPE BODYSTRUCTURE BODY RFC822.SIZE INTERNALDATE FLAGS)")
        assert status == "OK"
        items = items_of(answer)
        assert len(items["ENVELOPE"]) == 10
        assert isinstance(items["BODYSTRUCTURE"], list)
        assert isinstance(items["BODY"], list)
        assert items["RFC822.SIZE"] == str(len(data)).encode()
        header, text = fetch(client, uid, "BODY.PEEK[HEADER]"), fetch(client, uid, "BODY.PEEK[TEXT]")
        assert header + text == data
        assert fetch(client, uid, "BODY.PEEK[]<3.100>") == data[3:103]
        assert isinstance(fetch(client, uid, "BODY.PEEK[1]"), bytes)
        search(client, "TEXT", "zebra", "SUBJECT", "zebra", "FROM", "zebra", "SENTSINCE", "1-Jan-2020")
    with pop3(stack, ALICE) as client:
        number = len(client.list()[1])
        lines = client.retr(number)[1]
        assert b"\r\n".join([*lines, b""]) == (data if data.endswith(b"\r\n") else data + b"\r\n")
        client.top(number, 2)
        client.dele(number)
    return data


def items_of(answer: list[object]) -> dict[str, Value]:
    """A FETCH response's items; AssertionError where it doesn't follow the grammar."""
    wire = b"".join(part[0] + b"\r\n" + part[1] if isinstance(part, tuple) else part for part in answer)  # type: ignore[operator]
    values, end = parse_value(wire, wire.index(b"("), QUOTED_BY_GRAMMAR)
    assert isinstance(values, list)
    assert wire[end:].strip() == b""
    return {bytes(name).decode(): value for name, value in zip(values[::2], values[1::2], strict=True)}


@pytest.mark.parametrize("name", READABLE)
def test_it_is_delivered_and_readable(stack: Stack, name: str) -> None:
    sent = READABLE[name]
    with Wire(stack) as wire:
        reply = wire.data(sent)
    assert reply.startswith(b"250 2.0.0"), reply
    data = read_everywhere(stack, reply.split()[-1].decode())
    expected = sent if sent.endswith(b"\r\n") or not sent else sent + b"\r\n"
    assert data.endswith(expected)
    assert TRACE.fullmatch(data[: len(data) - len(expected)])


@pytest.mark.parametrize("text", [b"", b"x", b"Subject: x\r\n\r\nno line end", b".", b"Subject: x", b"\r\n.\r\n"])
def test_chunks_end_anywhere(stack: Stack, text: bytes) -> None:
    with Wire(stack) as wire:
        reply = wire.bdat(text)
    assert reply.startswith(b"250 2.0.0"), reply
    assert read_everywhere(stack, reply.split()[-1].decode()).endswith(text)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_and_the_connection_goes_on(stack: Stack, name: str) -> None:
    with Wire(stack) as wire:
        assert re.match(rb"55[04] 5\.[64]\.\d ", wire.data(REFUSED[name]))
        assert wire.ask(b"NOOP\r\n").startswith(b"250")
        assert re.match(rb"55[04] 5\.[64]\.\d ", wire.bdat(REFUSED[name]))
        assert wire.ask(b"NOOP\r\n").startswith(b"250")


@pytest.mark.parametrize("name", SMUGGLING)
def test_no_second_message_is_smuggled_in(stack: Stack, name: str) -> None:
    with Wire(stack) as wire:
        wire.envelope(ALICE)
        assert wire.ask(b"DATA\r\n").startswith(b"354")
        reply = wire.ask(b"Subject: outer\r\n\r\nx" + SMUGGLING[name] + SMUGGLED + b"\r\n.\r\n")
        assert re.match(rb"550 5\.6\.0 ", reply)
        assert wire.ask(b"NOOP\r\n").startswith(b"250")
        assert wire.ask(b"QUIT\r\n").startswith(b"221")
    with imap(stack, BOB) as client:
        client.select("INBOX")
        assert search(client, "SUBJECT", "smuggled") == []


@pytest.mark.parametrize(
    "line",
    [
        b"MAIL FROM:<a@b.test>\nRCPT TO:<x@y.test>\r\n",
        b"\0\r\n",
        b"\r\n",
        b"MAIL\r\n",
        b"DATA\r\n",
        b"RCPT TO:<alice@packetboat.test>\r\n",
        b"X" * 3000 + b"\r\n",
        b"MAIL FROM:<\xff@b.test>\r\n",
        b"MAIL FROM:<" + b"a" * 300 + b"@b.test>\r\n",
        b"MAIL FROM:<" + b"(" * 1000 + b">\r\n",
        b"MAIL FROM:<a@b.test> SIZE=99999999999999999999\r\n",
        b"MAIL FROM:<a@b.test> BODY=\r\n",
        b"AUTH PLAIN AAAA\r\n",
        b"EHLO \xff\r\n",
    ],
)
def test_commands_that_are_wrong_get_a_code(stack: Stack, line: bytes) -> None:
    with Wire(stack) as wire:
        wire.send(line)
        for _ in range(line.count(b"\n")):
            assert re.match(rb"5\d\d 5\.\d\.\d+ ", wire.reply())
        assert wire.ask(b"NOOP\r\n").startswith(b"250")


def test_chunks_of_unknown_size_end_the_session(stack: Stack) -> None:
    """Nobody knows how much of what follows would be the message."""
    with Wire(stack) as wire:
        wire.envelope(ALICE)
        assert wire.ask(b"BDAT x\r\n").startswith(b"501 5.5.4")
        assert wire.reply() == b""


def test_a_message_that_is_too_big_gets_552(stack: Stack) -> None:
    with Wire(stack) as wire:
        assert wire.ask(b"MAIL FROM:<a@b.test> SIZE=60000000\r\n").startswith(b"552 5.3.4")
        wire.envelope(ALICE)
        assert wire.ask(b"DATA\r\n").startswith(b"354")
        line = b"0123456789" * 100 + b"\r\n"
        assert wire.ask(line * 54_000 + b".\r\n").startswith(b"552 5.3.4")
        assert wire.ask(b"NOOP\r\n").startswith(b"250")


def test_clients_that_vanish_leave_nothing_behind(stack: Stack) -> None:
    with imap(stack, ALICE) as client:
        before = client.status("INBOX", "(UIDNEXT)")
    for text in (b"", b"Subject: cut", b"Subject: cut\r\n\r\n" + b"x" * 1000, b"Subject: x\r\n\r\n" + b"y" * 500_000):
        with Wire(stack) as wire:
            wire.envelope(ALICE)
            assert wire.ask(b"DATA\r\n").startswith(b"354")
            wire.send(text)
    with Wire(stack) as wire:
        wire.envelope(ALICE)
        wire.send(b"BDAT 100000 LAST\r\nonly this")
    assert stack.cli("queue", "list").strip() == "the queue is empty"
    with imap(stack, ALICE) as client:
        assert client.status("INBOX", "(UIDNEXT)") == before
    uploads = [path for path in (stack.data / "journal").rglob("*") if path.suffix in (".part", ".tmp", ".new")]
    eventually(lambda: not any(path.exists() for path in uploads), "uploads removed")


def test_append_turns_bare_line_ends_into_crlf_and_refuses_nul(stack: Stack) -> None:
    with imap(stack, ALICE) as client:
        assert _append(client, b"Subject: bare\n\nline\r\nline\n").startswith(b"OK")
        client.select("Drafts")
        assert fetch(client, "1") == b"Subject: bare\r\n\r\nline\r\nline\r\n"
        assert _append(client, b"Subject: nul\r\n\r\n\0\r\n")[:2] in (b"NO", b"BA")
        assert client.noop()[0] == "OK"


def _append(client: imaplib.IMAP4_SSL, text: bytes) -> bytes:
    """APPEND to Drafts with the octets as they are (imaplib would mend line ends); the tagged reply's text."""
    client.send(b"zz APPEND Drafts {%d}\r\n" % len(text))
    assert client.readline().startswith(b"+")
    client.send(text + b"\r\n")
    while not (line := client.readline()).startswith(b"zz "):
        assert line
    return line[3:]


def test_the_logs_hold_no_message(stack: Stack) -> None:
    logs = b"".join(path.read_bytes() for path in Path(stack.data / "log").glob("*.log"))
    assert b"innermost" not in logs
    assert stack.passwords()[ALICE].encode() not in logs
