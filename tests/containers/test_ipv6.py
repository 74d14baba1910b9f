"""IPv6 in and out: the published ports, the client's address, and a server that has nothing but AAAA."""

from __future__ import annotations

import imaplib
import os
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.conftest import ACCOUNTS, REMOTE6, SINK6
from tests.containers.project import PASSWORD, Project, entry_of, send
from tests.containers.test_mail import ALICE, wait_for
from tests.e2e.sessions import eventually
from tests.tools.sink import SinkProcess

pytestmark = [pytest.mark.container, pytest.mark.timeout(600)]

HOST, CLIENT = "fd25:587:998::1", "fd25:587:998::77"  # a link of their own


@pytest.fixture
def sink6(tmp_path: Path) -> Iterator[SinkProcess]:
    with SinkProcess(tmp_path, f"[{SINK6}]", 10025) as sink:
        yield sink


def test_published_ports(stack: Project) -> None:
    with smtplib.SMTP("::1", stack.port_base + 25, timeout=30) as smtp:
        smtp.ehlo("client.test")
        entry = send(smtp, "somebody@remote0.test", ACCOUNTS[2])
    wait_for(stack, entry, ACCOUNTS[2])
    client = imaplib.IMAP4_SSL("::1", stack.port_base + 993, ssl_context=stack.tls, timeout=30)
    client.login(ACCOUNTS[2], PASSWORD)
    assert client.select("INBOX", readonly=True)[0] == "OK"
    client.logout()


@pytest.fixture
def neighbour() -> Iterator[list[str]]:
    """Another host on a link to this machine, as a network namespace; what runs a command there."""
    name = f"pb{os.getpid()}"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("addr", "add", f"{HOST}/64", "dev", name, "nodad")
        _ip("link", "set", name, "up")
        _ip("-n", name, "addr", "add", f"{CLIENT}/64", "dev", "eth0", "nodad")
        _ip("-n", name, "link", "set", "eth0", "up")
        yield ["ip", "netns", "exec", name]
    finally:
        _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=30)


def test_the_clients_address_at_a_published_port(stack: Project, neighbour: list[str]) -> None:
    script = (
        f"import smtplib; s = smtplib.SMTP('{HOST}', {stack.port_base + 25}, timeout=30); s.ehlo('client.test');"
        f"s.sendmail('x@remote0.test', ['{ACCOUNTS[3]}'], b'Subject: six\\r\\n\\r\\nText.\\r\\n'); s.quit()"
    )
    subprocess.run([*neighbour, sys.executable, "-c", script], check=True, timeout=60)
    eventually(lambda: f'"ip":"{CLIENT}"' in stack.compose("logs", "mta"), f"{CLIENT} in the log of the mta")


def test_mail_goes_out(stack: Project, sink6: SinkProcess) -> None:
    entry = stack.submit(ALICE, PASSWORD, f"somebody@{REMOTE6}")
    eventually(lambda: entry in {entry_of(message.data) for message in sink6.messages()}, "the message over IPv6")
