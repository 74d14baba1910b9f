"""Logged-in sessions with a stack, and waiting for what is to appear in a mailbox."""

from __future__ import annotations

import contextlib
import imaplib
import poplib
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from typing import TypeVar

from tests.tools.stack import Stack

TIMEOUT = 20.0  # seconds that a message may take
POLL = 0.05
imaplib._MAXLINE = 100_000_000  # type: ignore[attr-defined]  # a BODYSTRUCTURE may be one long line
poplib._MAXLINE = 10_000_000  # type: ignore[attr-defined]

V = TypeVar("V")


def trust(stack: Stack) -> ssl.SSLContext:
    """A context that trusts the stack's own certificate, and nothing else; names are checked."""
    return ssl.create_default_context(cafile=str(stack.data / "tls" / "cert.pem"))


@contextlib.contextmanager
def imap(stack: Stack, address: str, password: str = "") -> Iterator[imaplib.IMAP4_SSL]:
    """IMAP over TLS; the password is a demo account's by default."""
    client = imaplib.IMAP4_SSL(stack.host, stack.ports.imaps, ssl_context=trust(stack), timeout=TIMEOUT)
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # it writes a literal and its CRLF apart
    with client:
        client.login(address, password or stack.passwords()[address])
        yield client


@contextlib.contextmanager
def pop3(stack: Stack, address: str, password: str = "") -> Iterator[poplib.POP3_SSL]:
    """POP3 over TLS; deletions count when the block ends well."""
    client = poplib.POP3_SSL(stack.host, stack.ports.pop3s, context=trust(stack), timeout=TIMEOUT)
    try:
        client.user(address)
        client.pass_(password or stack.passwords()[address])
        yield client
        client.quit()
    finally:
        client.close()


@contextlib.contextmanager
def submission(stack: Stack, address: str, password: str = "") -> Iterator[smtplib.SMTP]:
    """Submission with STARTTLS and AUTH."""
    with smtplib.SMTP(stack.host, stack.ports.submission, timeout=TIMEOUT) as client:
        client.starttls(context=trust(stack))
        client.login(address, password or stack.passwords()[address])
        yield client


@contextlib.contextmanager
def mx(stack: Stack) -> Iterator[smtplib.SMTP]:
    """The port for the world, as another server would use it."""
    with smtplib.SMTP(stack.host, stack.ports.mx, timeout=TIMEOUT) as client:
        client.ehlo("elsewhere.test")
        yield client


def message(subject: str, sender: str, recipient: str, text: str = "some text\n") -> EmailMessage:
    """A small message without Date and Message-ID."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = sender, recipient, subject
    made.set_content(text)
    return made


def eventually(look: Callable[[], V], what: str, timeout: float = TIMEOUT) -> V:
    """Look until there is something; AssertionError says what never came."""
    deadline = time.monotonic() + timeout
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not after {timeout:.0f} s")
        time.sleep(POLL)
    return found


def wait_for(client: imaplib.IMAP4, *criteria: str, mailbox: str = "INBOX", timeout: float = TIMEOUT) -> list[str]:
    """The UIDs that a SEARCH finds, once it finds any."""
    client.select(quoted(mailbox))

    def look() -> list[str]:
        client.noop()
        return search(client, *criteria)

    return eventually(look, f"{' '.join(criteria)} in {mailbox}", timeout)


def search(client: imaplib.IMAP4, *criteria: str) -> list[str]:
    """The UIDs that a SEARCH finds."""
    status, answer = client.uid("SEARCH", *criteria)
    assert status == "OK", answer
    return [uid.decode() for uid in (answer[0] or b"").split()]


def fetch(client: imaplib.IMAP4, uid: str, section: str = "BODY.PEEK[]") -> bytes:
    """One section of one message."""
    status, answer = client.uid("FETCH", uid, f"({section})")
    assert status == "OK", answer
    parts = [part for part in answer if isinstance(part, tuple)]
    assert len(parts) == 1, answer
    return bytes(parts[0][1])


def received(stack: Stack, address: str, subject: str, *, password: str = "", mailbox: str = "INBOX") -> bytes:
    """The one message with this subject, once it is there."""
    with imap(stack, address, password) as client:
        found = wait_for(client, "SUBJECT", quoted(subject), mailbox=mailbox)
        assert len(found) == 1, found
        return fetch(client, found[0])


def quoted(text: str) -> str:
    """An IMAP quoted string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
