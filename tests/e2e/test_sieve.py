"""Scripts on a running stack: put by a client, run at delivery, told by trace, tried on stored mail."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from pathlib import Path

from tests.e2e.sessions import eventually, message, mx, received, trust
from tests.tools.stack import Stack, run_cli

ALICE, BOB = "alice@packetboat.test", "bob@packetboat.test"
FILTER = (
    'require ["fileinto", "mailbox", "vacation"];\nif header :contains "subject" "list" { fileinto :create "Lists"; }\n'
)


class Client:
    """ManageSieve over STARTTLS."""

    def __init__(self, stack: Stack, address: str) -> None:
        self.socket: socket.socket = socket.create_connection(("127.0.0.1", stack.ports.sieve), timeout=20)
        self.read()
        self.command("STARTTLS")
        self.socket = trust(stack).wrap_socket(self.socket, server_hostname="localhost")
        assert isinstance(self.socket, ssl.SSLSocket)
        self.read()
        password = stack.passwords()[address]
        plain = base64.b64encode(f"\0{address}\0{password}".encode()).decode()
        assert self.command(f'AUTHENTICATE "PLAIN" "{plain}"').startswith("OK")

    def command(self, text: str) -> str:
        self.socket.sendall(text.encode() + b"\r\n")
        return self.read()

    def read(self) -> str:
        data = b""
        while not any(line[:2] in (b"OK", b"NO") and data.endswith(b"\r\n") for line in data.split(b"\r\n")[-2:-1]):
            more = self.socket.recv(65536)
            assert more, data
            data += more
        return data.decode().split("\r\n")[-2]


def send(stack: Stack, subject: str, recipient: str = BOB) -> None:
    with mx(stack) as client:
        client.send_message(message(subject, "x@elsewhere.test", recipient), "x@elsewhere.test", [recipient])


def test_from_the_client_to_the_mailbox(stack: Stack, tmp_path: Path) -> None:
    client = Client(stack, BOB)
    octets = len(FILTER.encode())
    assert client.command(f'PUTSCRIPT "main" {{{octets}+}}\r\n{FILTER}').startswith("OK")
    assert client.command('SETACTIVE "main"').startswith("OK")
    send(stack, "to the list")
    send(stack, "something else")
    received(stack, BOB, "something else")
    eventually(lambda: "filter=sieve main" in run_cli(stack.data, "trace", BOB), "the delivery by a filter")
    assert "mailbox=Lists" in run_cli(stack.data, "trace", BOB)
    assert b"to the list" in received(stack, BOB, "to the list", mailbox="Lists")

    listed = run_cli(stack.data, "sieve", "list", "--account", BOB)
    assert "main" in listed and "active" in listed
    trial = tmp_path / "trial.sieve"
    trial.write_text('require "fileinto"; if header :contains "subject" "else" { fileinto "Archive"; }')
    told = run_cli(stack.data, "filters", "replay", "--account", BOB, "--json", str(trial))
    *changes, total = [json.loads(line) for line in told.splitlines()]
    assert {(one["subject"], *one["before"], *one["after"]) for one in changes} == {
        ("to the list", "Lists", "INBOX"),
        ("something else", "INBOX", "Archive"),
    }
    assert (total["messages"], total["changed"]) == (2, 2)


def test_the_operators_scripts(stack: Stack, tmp_path: Path) -> None:
    script = tmp_path / "spam.sieve"
    script.write_text('require "fileinto"; if header :is "X-Spam" "yes" { fileinto "Junk"; stop; }')
    run_cli(stack.data, "sieve", "put", "spam", str(script), "--system", "before", "--activate")
    mail = message("cheap watches", "x@elsewhere.test", ALICE)
    mail["X-Spam"] = "yes"
    with mx(stack) as client:
        client.send_message(mail, "x@elsewhere.test", [ALICE])
    received(stack, ALICE, "cheap watches", mailbox="Junk")
    assert "filter=sieve system before spam" in run_cli(stack.data, "trace", ALICE)
    broken = tmp_path / "broken.sieve"
    broken.write_text("keep;\nfoo;\n")
    told = run_cli(stack.data, "sieve", "put", "x", str(broken), "--account", ALICE, check=False)
    assert f"{broken}:2:1: " in told
    faulty = tmp_path / "faulty.sieve"
    faulty.write_text('require "variables";\nredirect "${nobody}";\n')
    run_cli(stack.data, "sieve", "put", "mine", str(faulty), "--account", ALICE, "--activate")
    send(stack, "kept all the same", ALICE)
    received(stack, ALICE, "kept all the same")
    assert "mine:2:1: " in run_cli(stack.data, "sieve", "list", "--account", ALICE)
    run_cli(stack.data, "sieve", "deactivate", "--account", ALICE)
    run_cli(stack.data, "sieve", "deactivate", "--system", "before")
    run_cli(stack.data, "sieve", "delete", "spam", "--system", "before")
