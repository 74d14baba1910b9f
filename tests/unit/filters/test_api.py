"""What filter authors are given."""

from __future__ import annotations

import pytest

from shared.filters.api import MAX_ACTIONS, Actions, Message

TEXT = (
    b"From: =?utf-8?q?J=C3=B6rg?= <joerg@example.test>\r\nTo: a@b.test, Bob <b@b.test>\r\nCc: c@b.test\r\n"
    b"Subject: =?utf-8?b?R3LDvMOfZQ==?=\r\nReceived: one\r\nReceived: two\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
    b"--x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Hall=C3=B6\r\n"
    b"--x\r\nContent-Type: text/html\r\n\r\n<p>no</p>\r\n"
    b"--x\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n"
    b"--x--\r\n"
)


def test_a_message() -> None:
    message = Message(TEXT)
    assert (message.subject, message.sender, message.size) == ("Grüße", "joerg@example.test", len(TEXT))
    assert message.addresses("To") == ["a@b.test", "b@b.test"]
    assert message.headers("received") == ["one", "two"] and message.header("x-none") == ""
    assert message.text.strip() == "Hallö"
    ((name, media, data),) = [(one.name, one.media, one.data) for one in message.attachments]
    assert (name, media, data) == ("a.pdf", "application/pdf", b"%PDF")


@pytest.mark.parametrize(
    "data", [b"", b"\r\n", b"no header", b"\xff\xfe\0", b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"]
)
def test_any_octets_are_a_message(data: bytes) -> None:
    message = Message(data)
    assert isinstance(message.text, str) and isinstance(message.subject, str)
    assert message.sender == "" and isinstance(message.attachments, list)


def test_actions_chain_and_are_bounded() -> None:
    actions = Actions().add_header("X", "y").file_into("A", r"\Seen", create=True)
    assert [one["do"] for one in actions.done] == ["addheader", "fileinto"]
    with pytest.raises(ValueError):
        for _ in range(MAX_ACTIONS + 1):
            actions = actions.junk()
