"""The operator's API of a whole stack, and the command line against it."""

from __future__ import annotations

import os
import smtplib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from shared.operations.tokens import Scope
from tests.e2e.running import running
from tests.e2e.sessions import eventually, mx
from tests.tools.stack import Stack, run_cli

ALICE, BOB = "alice@packetboat.test", "bob@packetboat.test"
SCOPES = [item for scope in Scope for item in ("--scope", scope)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack."""
    with running(tmp_path_factory.mktemp("admin") / "data") as started:
        yield started


def url(stack: Stack) -> str:
    return f"http://{stack.host}:{stack.ports.base + 8080}"


def remote(stack: Stack, token: str, *arguments: str, check: bool = True) -> str:
    """Run a command against the API."""
    env = dict(stack.env, PACKETBOAT_TOKEN=token, PACKETBOAT_URL=url(stack))
    return run_cli(stack.data / "nowhere", *arguments, env=env, check=check)


def test_the_command_line_works_over_the_api(stack: Stack) -> None:
    token = stack.cli("token", "add", "e2e", *SCOPES).strip()
    assert remote(stack, token, "domain", "add", "b.test") == "added b.test\n"
    assert "b.test" in stack.cli("domain", "list")
    assert "with password" in remote(stack, token, "account", "add", "carol@b.test")
    assert "1 new target" in remote(stack, token, "alias", "add", "info@b.test", "carol@b.test")
    for command in (("account", "list"), ("queue", "list")):
        assert remote(stack, token, *command) == stack.cli(*command)
    assert "token:e2e" in stack.cli("audit", "--object", "carol@b.test")
    said = remote(stack, token, "account", "remove", "nobody@b.test", "--purge", check=False)
    assert said.startswith("packetboat: there is no account nobody@b.test")
    assert "mda" in remote(stack, token, "queue", "workers")
    assert "delivery" in remote(stack, token, "queue", "top", "--count", "1")
    stack.cli("token", "revoke", "e2e")
    assert "token is needed" in remote(stack, token, "domain", "list", check=False)


def test_commands_about_mail_work_over_the_api(stack: Stack, tmp_path: Path) -> None:
    token = stack.cli("token", "add", "mail", *SCOPES).strip()
    script = tmp_path / "own.sieve"
    script.write_bytes(b'require "fileinto";\r\nfileinto "Archive";\r\n')
    of_alice = ("--account", ALICE)
    for said, arguments in (
        ("put own, active", ("sieve", "put", *of_alice, "own", str(script), "--activate")),
        ("put own\n", ("sieve", "put", *of_alice, "own", str(script))),
        ("renamed own to mine", ("sieve", "rename", *of_alice, "own", "mine")),
        ("none is active", ("sieve", "deactivate", *of_alice)),
        ("active: mine", ("sieve", "activate", *of_alice, "mine")),
        ("all accounts, \\Trash: 30 days", ("retention", "set", "\\Trash", "30")),
        ("all accounts, \\Trash: for ever", ("retention", "set", "\\trash", "0")),
        (f"{ALICE}, Lists: 3 days", ("retention", "set", "Lists", "3", *of_alice)),
        ("nothing to bring back", ("undelete", *of_alice, "--dry-run")),
        ("nothing to bring back", ("undelete", *of_alice, "--since", "2h")),
        (f"{ALICE}: lmtp:[::1]:24", ("target", "set", "lmtp", "[::1]:24", *of_alice)),
        ("created Work/Boat", ("mailbox", "create", ALICE, "Work/Boat", "--use", "\\Archive")),
        ("renamed Work to Ships", ("mailbox", "rename", ALICE, "Work", "Ships")),
        ("Ships of", ("acl", "set", ALICE, "Ships", BOB, "lrs")),
        ("Ships of", ("acl", "set", ALICE, "Ships", BOB, "+i")),
        ("the quarantine is empty", ("quarantine", "list")),
    ):
        assert said in remote(stack, token, *arguments)
    for command in (
        ("sieve", "list", *of_alice), ("sieve", "get", *of_alice, "mine"), ("retention", "list"), ("target", "list"),
        ("mailbox", "list", ALICE), ("acl", "list", ALICE, "Ships"),
    ):  # fmt: skip
        assert remote(stack, token, *command) == stack.cli(*command)
    assert "lrsi" in stack.cli("acl", "list", ALICE, "Ships")
    for said, arguments in (
        ("deactivate it first", ("sieve", "delete", *of_alice, "mine")),
        ("there is no account nobody@", ("sieve", "list", "--account", "nobody@packetboat.test")),
        ("nothing like that is in the quarantine", ("quarantine", "delete", "all")),
        ("isn't in the quarantine", ("quarantine", "show", "0" * 26)),
        ("no such mailbox", ("mailbox", "delete", ALICE, "Nothing")),
    ):
        assert said in remote(stack, token, *arguments, check=False)
        assert said in stack.cli(*arguments, check=False)
    for arguments in (
        ("target", "remove", *of_alice), ("retention", "remove", "\\Trash"), ("acl", "remove", ALICE, "Ships", BOB),
        ("mailbox", "delete", ALICE, "Ships/Boat"), ("sieve", "deactivate", *of_alice),
        ("sieve", "delete", *of_alice, "mine"),
    ):  # fmt: skip
        assert remote(stack, token, *arguments)
        assert stack.cli(*arguments, check=False).startswith("packetboat: ") or "deactivate" in arguments


def test_refused_mail_is_traced(stack: Stack) -> None:
    with mx(stack) as client, pytest.raises(smtplib.SMTPRecipientsRefused):
        client.sendmail("x@elsewhere.test", ["absent@packetboat.test"], b"Subject: x\r\n\r\nx\r\n")
    told = eventually(
        lambda: "rejected" in (said := stack.cli("trace", "absent@packetboat.test", check=False)) and said,
        "the refusal in the trace",
    )
    assert "550 5.1.1" in told and "from=x@elsewhere.test" in told


def test_the_metrics_of_the_whole_stack(stack: Stack) -> None:
    health = f"http://{stack.host}:{stack.ports.base + 8085}"
    metrics = eventually(
        lambda: "packetboat_workers{" in (text := httpx.get(f"{health}/metrics").text) and text, "the gauges"
    )
    assert 'packetboat_workers{lane="delivery"} 1.0' in metrics
    assert "packetboat_certificate_expires_timestamp_seconds" in metrics
    assert httpx.get(f"{url(stack)}/openapi.json").status_code == 200
    assert httpx.get(f"{url(stack)}/api/v1/domains").status_code == 401


def test_the_api_is_refused_elsewhere_without_tls(stack: Stack) -> None:
    env = os.environ | {"PACKETBOAT_ADMIN_LISTEN": '["0.0.0.0"]'}
    said = run_cli(stack.data, "admin", env=env, check=False)
    assert said.startswith("packetboat admin: PACKETBOAT_ADMIN") or "PACKETBOAT_ADMIN_TLS" in said
