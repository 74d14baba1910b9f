"""Messages that transcripts deliver; `Delivered-To: alice@a.test` comes before each."""

from __future__ import annotations


def _message(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode()


HELLO = _message(
    "From: Bob <bob@b.test>",
    "To: alice@a.test",
    "Subject: Hello",
    "Date: Mon, 23 Nov 2026 10:00:00 +0100",
    "Message-ID: <hello@b.test>",
    "",
    "Hi Alice,",
    ".a line with a dot",
    "bye",
)
MIXED = _message(
    "From: bob@b.test",
    "To: alice@a.test",
    "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=",
    "MIME-Version: 1.0",
    'Content-Type: multipart/mixed; boundary="b"',
    "",
    "--b",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: quoted-printable",
    "",
    "Sch=C3=B6ne Gr=C3=BC=C3=9Fe",
    "--b",
    "Content-Type: message/rfc822",
    "",
    "Subject: inner",
    "",
    "inside",
    "--b--",
)
MESSAGES = {"hello": HELLO, "mixed": MIXED}
