"""SCRAM over real TLS: with channel binding where TLS 1.2 has one, without it elsewhere, with an app password too."""

from __future__ import annotations

import imaplib
import re
import smtplib
import socket
import ssl
import time
from base64 import b64decode, b64encode
from collections.abc import Iterator

import pytest

from shared.sasl.channel import end_point
from shared.sasl.mechanism import Challenge
from tests.e2e.sessions import TIMEOUT, trust
from tests.tools.stack import Stack
from tests.unit.sasl.test_scram import Client

PASSWORD, APP_PASSWORD = "correct horse", "battery staple"


@pytest.fixture
def account(stack: Stack) -> Iterator[str]:
    address = f"s{time.monotonic_ns()}@packetboat.test"
    stack.add_account(address, PASSWORD)
    yield address
    stack.cli("account", "remove", address, "--purge")


def connect(stack: Stack, version: ssl.TLSVersion) -> imaplib.IMAP4_SSL:
    context = trust(stack)
    context.minimum_version = context.maximum_version = version
    return imaplib.IMAP4_SSL(stack.host, stack.ports.imaps, ssl_context=context, timeout=TIMEOUT)


def log_in(client: imaplib.IMAP4, mechanism: str, user: str, scram: Client) -> None:
    steps = iter((lambda _: scram.first(user.encode()), lambda said: scram.final(Challenge(said)), lambda _: b""))
    assert client.authenticate(mechanism, lambda said: next(steps)(said))[0] == "OK"


def test_a_channel_of_tls_1_2_is_bound(stack: Stack, account: str) -> None:
    for kind in ("tls-unique", "tls-server-end-point"):
        with connect(stack, ssl.TLSVersion.TLSv1_2) as client:
            assert "AUTH=SCRAM-SHA-256-PLUS" in client.capabilities
            certificate = client.sock.getpeercert(binary_form=True)
            assert certificate
            bound = client.sock.get_channel_binding("tls-unique") if kind == "tls-unique" else end_point(certificate)
            assert bound
            log_in(client, "SCRAM-SHA-256-PLUS", account, Client(PASSWORD, f"p={kind},,".encode(), bound))


def test_somebody_in_between_is_noticed(stack: Stack, account: str) -> None:
    with connect(stack, ssl.TLSVersion.TLSv1_2) as client, pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATION"):
        log_in(client, "SCRAM-SHA-256-PLUS", account, Client(PASSWORD, b"p=tls-unique,,", b"another channel"))


def test_tls_1_3_has_no_channel_to_bind(stack: Stack, account: str) -> None:
    with connect(stack, ssl.TLSVersion.TLSv1_3) as client:
        assert {word for word in client.capabilities if "SCRAM" in word} == {"AUTH=SCRAM-SHA-256"}
        log_in(client, "SCRAM-SHA-256", account, Client(PASSWORD, b"y,,"))


def test_app_passwords(stack: Stack, account: str) -> None:
    stack.cli("account", "app-password", "add", account, "phone", "--password-stdin", input=APP_PASSWORD + "\n")
    for password in (PASSWORD, APP_PASSWORD):
        with connect(stack, ssl.TLSVersion.TLSv1_3) as client:
            log_in(client, "SCRAM-SHA-256", account, Client(password))
    stack.cli("account", "app-password", "remove", account, "phone")
    with connect(stack, ssl.TLSVersion.TLSv1_3) as client, pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATION"):
        log_in(client, "SCRAM-SHA-256", account, Client(APP_PASSWORD))


def test_submission(stack: Stack, account: str) -> None:
    with smtplib.SMTP(stack.host, stack.ports.submission, timeout=TIMEOUT) as client:
        client.starttls(context=trust(stack))
        client.ehlo()
        assert re.search(r"SCRAM-SHA-256\b", client.esmtp_features["auth"])
        scram = Client(PASSWORD)
        steps = iter((scram.first(account.encode()), None, b""))

        def answer(said: bytes | None = None) -> str:
            step = next(steps)
            return (scram.final(Challenge(said or b"")) if step is None else step).decode()

        assert client.auth("SCRAM-SHA-256", answer, initial_response_ok=True)[0] == 235


def test_managesieve_tells_its_proof_with_the_success(stack: Stack, account: str) -> None:
    with socket.create_connection((stack.host, stack.ports.sieve), timeout=TIMEOUT) as plain:
        said = plain.makefile("rb")
        while not said.readline().startswith(b"OK"):
            pass
        plain.sendall(b"STARTTLS\r\n")
        assert said.readline().startswith(b"OK")
        with trust(stack).wrap_socket(plain, server_hostname=stack.host) as client:
            answer, scram = _managesieve_login(client, account)
    found = re.fullmatch(rb'OK \(SASL "([^"]+)"\) "Logged in"\r\n', answer)
    assert found is not None, answer
    assert b64decode(found[1]) == scram.expected


def _managesieve_login(client: ssl.SSLSocket, account: str) -> tuple[bytes, Client]:
    said, scram = client.makefile("rb"), Client(PASSWORD)
    while not said.readline().startswith(b"OK"):
        pass
    client.sendall(b'AUTHENTICATE "SCRAM-SHA-256" "%b"\r\n' % b64encode(scram.first(account.encode())))
    challenge = Challenge(b64decode(said.readline().strip(b'"\r\n')))
    client.sendall(b'"%b"\r\n' % b64encode(scram.final(challenge)))
    return said.readline(), scram
