"""IMAP against a real worker."""

from __future__ import annotations

import imaplib

from tests.integration.access.conftest import ALICE, PASSWORDS, RunningAccess

MAIL = b"From: a@b.test\r\nTo: alice@a.test\r\nSubject: Hello\r\nDate: Mon, 23 Nov 2026 10:00:00 +0100\r\n\r\nHi there.\r\n"


def test_first_steps(access: RunningAccess) -> None:
    client = imaplib.IMAP4("127.0.0.1", access.imap)
    client.login(ALICE, PASSWORDS[ALICE])
    assert client.list()[0] == "OK"
    assert client.append("INBOX", None, None, MAIL)[0] == "OK"
    assert client.select() == ("OK", [b"1"])
    status, data = client.fetch("1:*", "(UID FLAGS ENVELOPE BODY[] RFC822.SIZE INTERNALDATE)")
    assert status == "OK"
    assert data[0][1] == MAIL
    client.logout()


def test_idle_sees_a_delivery(access: RunningAccess) -> None:
    client = access.log_in()
    client.send(b"i IDLE\r\n")
    assert client.line().startswith(b"+ ")
    access.deliver(MAIL)
    assert client.line() == b"* 1 EXISTS"
    client.send(b"DONE\r\n")
    assert client.line() == b"i OK IDLE completed"
