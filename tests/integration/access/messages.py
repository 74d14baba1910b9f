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


def _letter(number: int, sender: str, to: str, subject: str, *more: str) -> bytes:
    date = f"Date: {number} Feb 2026 12:00:00 +0000"
    return _message(
        f"From: {sender}",
        f"To: {to}",
        f"Subject: {subject}",
        date,
        f"Message-ID: <{number}@t>",
        *more,
        "",
        f"number {number}",
    )


# For SORT and THREAD: answers, a message that isn't there, a list's tag, names with capitals and accents.
LETTERS = {
    "letter1": _letter(1, "Zoe <b@x.test>", "c@x.test", "Plans"),
    "letter2": _letter(5, "=?utf-8?q?=C3=89mile?= <a@x.test>", "a@x.test", "Re: [list] plans", "In-Reply-To: <1@t>"),
    "letter3": _letter(3, "C@x.test", "Bob <b@x.test>", "apples", "References: <gone@t>", "Cc: z@x.test"),
    "letter4": _letter(4, "d@x.test", "d@x.test", "Fwd: Apples (fwd)", "References: <gone@t>"),
    "letter5": _letter(2, "emil <e@x.test>", "e@x.test", "[Fwd: plans]", "References: <1@t> <5@t>"),
}
MESSAGES = {"hello": HELLO, "mixed": MIXED, **LETTERS}
