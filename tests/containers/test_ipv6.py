"""IPv6 in and out: the published ports, the client's address, and a server that has nothing but AAAA."""

from __future__ import annotations

import imaplib
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.conftest import ACCOUNTS, REMOTE6, SINK6
from tests.containers.engine import WORLD, WORLD6
from tests.containers.project import PASSWORD, Project, entry_of, send
from tests.containers.test_mail import ALICE, wait_for
from tests.e2e.sessions import eventually
from tests.tools.sink import SinkProcess

pytestmark = [pytest.mark.container, pytest.mark.timeout(600)]

CLIENT = f"{WORLD6}::77"


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


def test_the_clients_address_at_a_published_port(stack: Project) -> None:
    """A host of the world connects to this machine's address, not to the proxy's own."""
    script = (
        f"import smtplib; s = smtplib.SMTP('{SINK6}', {stack.port_base + 25}, timeout=30); s.ehlo('client.test');"
        f"s.sendmail('x@remote0.test', ['{ACCOUNTS[3]}'], b'Subject: six\\r\\n\\r\\nText.\\r\\n'); s.quit()"
    )
    stack.engine.run(
        "run", "--rm", "--network", WORLD, "--ip6", CLIENT, "--entrypoint", "python", "packetboat/cli:test",
        "-c", script,
    )  # fmt: skip
    eventually(lambda: f'"ip":"{CLIENT}"' in stack.compose("logs", "mta"), f"{CLIENT} in the log of the mta")


def test_mail_goes_out(stack: Project, sink6: SinkProcess) -> None:
    entry = stack.submit(ALICE, PASSWORD, f"somebody@{REMOTE6}")
    eventually(lambda: entry in {entry_of(message.data) for message in sink6.messages()}, "the message over IPv6")
