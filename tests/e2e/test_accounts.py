"""Domains, accounts, aliases and quotas on a running stack; every command on a running and a stopped one."""

from __future__ import annotations

import email
import email.policy
import imaplib
import re
import smtplib
import sqlite3
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from passlib.hash import bcrypt, sha512_crypt

from tests.e2e.running import running
from tests.e2e.sessions import eventually, fetch, imap, message, mx, pop3, quoted, received, submission, wait_for
from tests.tools.dnsserver import DnsServer
from tests.tools.stack import Stack, run_cli

ALICE, BOB = "alice@packetboat.test", "bob@packetboat.test"
PASSWORD = "correct horse"
SOON = 1.0  # seconds within which a change of an account counts at the next login
CACHE = 10.0  # seconds within which a change counts at RCPT


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with a resolver of its own."""
    with DnsServer() as dns:
        dns.set_zone(".", "@ NS a.root.test.")
        with running(tmp_path_factory.mktemp("accounts") / "data", resolver=dns.address) as started:
            started.env["PACKETBOAT_RESOLVER"] = dns.address
            yield started


def send(stack: Stack, recipient: str, subject: str, size: int = 10) -> tuple[int, bytes]:
    """Send through the MX; the last reply."""
    with mx(stack) as client:
        client.mail("x@elsewhere.test")
        code, said = client.rcpt(recipient)
        if code != 250:
            return code, said
        return client.data(f"Subject: {subject}\r\n\r\n".encode() + b"x" * 70 * (size // 72) + b"\r\n")


def logins(stack: Stack, address: str, password: str) -> tuple[bool, bool]:
    """Whether IMAP and SMTP let this user in; ten failures from one address make all its logins slow."""
    by_imap = by_smtp = True
    try:
        with imap(stack, address, password):
            pass
    except imaplib.IMAP4.error:
        by_imap = False
    try:
        with submission(stack, address, password):
            pass
    except smtplib.SMTPAuthenticationError:
        by_smtp = False
    return by_imap, by_smtp


# Accounts


def test_disable_enable_and_passwd_count_at_once(stack: Stack) -> None:
    address = "changing@packetboat.test"
    stack.add_account(address, PASSWORD)
    assert logins(stack, address, PASSWORD) == (True, True)
    stack.cli("account", "disable", address)
    time.sleep(SOON)
    assert logins(stack, address, PASSWORD) == (False, False)
    eventually(lambda: send(stack, address, "to a disabled one")[0] == 550, "550 for a disabled account", timeout=CACHE)
    assert b"5.2.1" in send(stack, address, "to a disabled one")[1]
    stack.cli("account", "enable", address)
    time.sleep(SOON)
    assert logins(stack, address, PASSWORD) == (True, True)
    stack.cli("account", "passwd", address, "--password-stdin", input="another\n")
    time.sleep(SOON)
    assert logins(stack, address, PASSWORD) == (False, False)
    assert logins(stack, address, "another") == (True, True)


def test_a_removed_account_is_gone_and_may_keep_its_mail(stack: Stack) -> None:
    removed = {"kept@packetboat.test": "--keep-mail", "purged@packetboat.test": "--purge"}
    for address, how in removed.items():
        stack.add_account(address, PASSWORD)
        assert send(stack, address, "some mail")[0] == 250
        received(stack, address, "some mail", password=PASSWORD)
        stack.cli("account", "remove", address, how)
    for address in removed:
        eventually(lambda to=address: send(stack, to, "again")[0] == 550, "550 for it", timeout=CACHE)
    assert "kept@" not in (listed := stack.cli("account", "list")) and "purged@" not in listed


@pytest.mark.parametrize("scheme", ["bcrypt", "sha512_crypt"])
def test_hashes_of_other_servers_work_and_are_upgraded(stack: Stack, scheme: str) -> None:
    address = f"{scheme.replace('_', '-')}@packetboat.test"
    made = {"bcrypt": bcrypt.using(rounds=5), "sha512_crypt": sha512_crypt.using(rounds=5000)}[scheme].hash(PASSWORD)
    stack.cli("account", "add", address, "--password-hash-stdin", input=made + "\n")
    assert _stored_hash(stack, address) == made
    with pytest.raises(imaplib.IMAP4.error), imap(stack, address, "wrong"):
        pass
    with pop3(stack, address, PASSWORD) as client:
        assert client.stat() == (0, 0)
    assert _stored_hash(stack, address).startswith("$argon2id$")
    assert logins(stack, address, PASSWORD) == (True, True)


def _stored_hash(stack: Stack, address: str) -> str:
    with sqlite3.connect(f"file:{stack.data / 'packetboat.db'}?mode=ro", uri=True) as database:
        [(found,)] = database.execute(
            "SELECT c.hash FROM credential c JOIN account a ON a.id = c.account_id WHERE a.address = ?", (address,)
        )
    return str(found)


def test_a_hash_that_is_none_is_refused(stack: Stack) -> None:
    said = stack.cli("account", "add", "md5@packetboat.test", "--password-hash-stdin", input="{MD5}abc\n", check=False)
    assert said.startswith("packetboat: ")
    assert "md5@packetboat.test" not in stack.cli("account", "list")


def test_quota_refuses_at_the_door_and_bounces_when_it_fills_later(stack: Stack) -> None:
    address = "small@packetboat.test"
    stack.cli("account", "add", address, "--password-stdin", "--quota", "20K", input=PASSWORD + "\n")
    assert send(stack, address, "fits", 15_000)[0] == 250
    received(stack, address, "fits", password=PASSWORD)
    with submission(stack, ALICE) as client:  # there is room, so it is accepted, but not for all of it
        client.send_message(message("does not fit", ALICE, address, "x\n" * 8000))
    with imap(stack, ALICE) as client:
        [uid] = wait_for(client, "HEADER", "Content-Type", "delivery-status", "TEXT", quoted("does not fit"))
        bounce = email.message_from_bytes(fetch(client, uid), policy=email.policy.default)
    status = list(bounce.iter_parts())[1].get_payload()[1]
    assert (status["Action"], status["Status"]) == ("failed", "5.2.2")
    stack.cli("account", "quota", address, "10K")
    code, said = eventually(
        lambda: (reply := send(stack, address, "no more"))[0] == 552 and reply, "552", timeout=CACHE
    )
    assert said.startswith(b"5.2.2"), (code, said)
    with imap(stack, address, PASSWORD) as client:
        assert client.append("INBOX", "", "", b"Subject: by hand\r\n\r\nx\r\n")[0] == "NO"
        client.select("INBOX")
        client.store("1:*", "+FLAGS", r"(\Deleted)")
        client.expunge()
    eventually(lambda: send(stack, address, "room again")[0] == 250, "room again", timeout=CACHE)
    received(stack, address, "room again", password=PASSWORD)


# Where mail goes


def test_aliases_sub_addresses_and_postmaster(stack: Stack) -> None:
    stack.cli("alias", "add", "sales@packetboat.test", ALICE, BOB)
    stack.cli("alias", "add", "team@packetboat.test", "sales@packetboat.test")
    for recipient, subject in (
        ("TEAM@packetboat.test", "to the team"),
        ("sales+berlin@packetboat.test", "alias with a tag"),
        ("alice+tag@Packetboat.Test", "to a tagged account"),
        ("postmaster@packetboat.test", "to the postmaster"),
        ("postmaster", "to the nameless postmaster"),
    ):
        assert send(stack, recipient, subject)[0] == 250, recipient
        received(stack, ALICE, subject)
    for subject in ("to the team", "alias with a tag"):
        assert b"Delivered-To: " in received(stack, BOB, subject)
    assert b"Delivered-To: alice+tag@" in received(stack, ALICE, "to a tagged account")


def test_one_copy_for_each_account_however_many_ways_lead_there(stack: Stack) -> None:
    stack.cli("alias", "add", "both@packetboat.test", ALICE, "again@packetboat.test")
    stack.cli("alias", "add", "again@packetboat.test", ALICE)
    assert send(stack, "both@packetboat.test", "only once")[0] == 250
    received(stack, ALICE, "only once")


def test_catch_all_and_domain_alias(stack: Stack) -> None:
    stack.cli("domain", "add", "caught.test")
    stack.cli("domain", "postmaster", "caught.test", ALICE)
    stack.cli("alias", "add", "@caught.test", BOB)
    stack.cli("domain", "add", "second.test", "--alias-of", "packetboat.test")
    for recipient, subject in (
        ("anything@caught.test", "caught"),
        ("bob@second.test", "by the second domain"),
        ("BOB+x@second.test", "second, tagged"),
    ):
        eventually(lambda to=recipient, about=subject: send(stack, to, about)[0] == 250, recipient, timeout=CACHE)
        received(stack, BOB, subject)
    assert send(stack, "nobody@second.test", "nobody there")[0] == 550
    assert send(stack, "Postmaster@caught.test", "to the chosen postmaster")[0] == 250
    received(stack, ALICE, "to the chosen postmaster")


def test_an_alias_owner_may_send_as_the_alias(stack: Stack) -> None:
    stack.cli("alias", "add", "info@packetboat.test", BOB)
    with submission(stack, BOB) as client:
        client.send_message(message("as the alias", "info@packetboat.test", ALICE), from_addr="info@packetboat.test")
    assert received(stack, ALICE, "as the alias").startswith(b"Return-Path: <info@packetboat.test>")
    with submission(stack, ALICE) as client, pytest.raises(smtplib.SMTPSenderRefused, match=r"5\.7\.1"):
        client.sendmail("info@packetboat.test", [BOB], b"Subject: forged\r\n\r\nx\r\n")


# Commands


def test_selftest_and_doctor(stack: Stack) -> None:
    tested = stack.cli("selftest")
    assert re.search(r"accepted by submission +[\d.]+ ms", tested)
    assert re.search(r"delivered \(ledger\) +[\d.]+ ms", tested)
    assert re.search(r"readable over IMAP +[\d.]+ ms", tested)
    assert tested.splitlines()[-1] == "selftest passed"
    lines = stack.cli("doctor").splitlines()
    assert [line.split(":")[0].split(maxsplit=1) for line in lines] == [
        ["ok", name] for name in ("volume", "fsync", "SQL", "Redis", "DNS", "certificate", "ports")
    ]


COMMANDS: list[tuple[str, str]] = [  # what is typed, and what the answer holds
    ("domain add new.test", "added new.test"),
    ("domain list", "new.test"),
    ("account add ann@new.test", "with password"),
    ("account add two@new.test --quota 5M", "added two@new.test"),
    ("account list new.test", "5.0 MiB"),
    ("account passwd ann@new.test", "changed the password of ann@new.test to"),
    ("account disable ann@new.test", "disabled"),
    ("account list", "disabled"),
    ("account enable ann@new.test", "enabled"),
    ("account quota ann@new.test 1G", "1G"),
    ("alias add list@new.test ann@new.test far@away.test", "2 new targets"),
    ("alias add @new.test ann@new.test", "1 new target"),
    ("alias list", "far@away.test"),
    ("alias list new.test", "@new.test"),
    ("alias remove list@new.test far@away.test", "removed"),
    ("alias remove list@new.test", "removed"),
    ("alias remove @new.test", "removed"),
    ("domain postmaster new.test two@new.test", "two@new.test"),
    ("domain postmaster new.test", "first account"),
    ("queue list", "the queue is empty"),
    (f"trace {ALICE}", "delivered"),
    ("account remove ann@new.test --purge", "purged"),
    ("account remove two@new.test --purge", "purged"),
    ("domain remove new.test", "removed new.test"),
]
STOPPED = {  # one of each kind
    "domain add new.test", "domain list", "account add ann@new.test", "account passwd ann@new.test", "account list",
    "account disable ann@new.test", "alias add @new.test ann@new.test", "alias remove @new.test", "queue list",
    f"trace {ALICE}", "account remove ann@new.test --purge", "domain remove new.test",
}  # fmt: skip
MISTAKES: list[tuple[str, str]] = [
    ("domain add packetboat.test", "exists"),
    ("domain add no..domain", "domain"),
    ("domain remove packetboat.test", "accounts"),
    ("domain remove absent.test", "no domain"),
    ("account add alice@packetboat.test", "exists"),
    ("account add x@absent.test", "no domain"),
    ("account add nonsense", "no mail address"),
    ("account add q@packetboat.test --quota much", "no size"),
    ("account disable absent@packetboat.test", "no account"),
    ("account remove alice@packetboat.test", "--keep-mail"),
    ("alias add x@absent.test y@z.test", "no domain"),
    ("alias remove absent@packetboat.test", "no such alias"),
    ("queue show nonsense", "no entry id"),
    ("queue show 01ARZ3NDEKTSV4RRFFQ69G5FAV", "trace"),
    ("queue retry 01ARZ3NDEKTSV4RRFFQ69G5FAV", "queue list"),
    ("queue drop 01ARZ3NDEKTSV4RRFFQ69G5FAV", "queue list"),
    ("trace nobody@nowhere.test", "nothing is known"),
    ("trace 01ARZ3NDEKTSV4RRFFQ69G5FAV", "nothing is known"),
]  # fmt: skip


def run_all(data: Path, commands: Iterable[tuple[str, str]] = COMMANDS) -> None:
    """Commands of the directory and of the queue, in order."""
    for typed, expected in commands:
        assert expected in run_cli(data, *typed.split()), typed


def test_every_command_on_the_running_stack(stack: Stack) -> None:
    send(stack, ALICE, "to be traced")
    received(stack, ALICE, "to be traced")
    run_all(stack.data)


def test_every_mistake_is_told_in_one_line(stack: Stack) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda mistake: stack.cli(*mistake[0].split(), check=False), MISTAKES)
        for (typed, expected), said in zip(MISTAKES, answers, strict=True):
            assert expected in said, (typed, said)
            assert len(said.splitlines()) == 1, (typed, said)


def test_every_command_on_a_stopped_stack(stack: Stack) -> None:
    send(stack, ALICE, "kept while stopped")
    received(stack, ALICE, "kept while stopped")
    stack.stop()
    run_all(stack.data, [command for command in COMMANDS if command[0] in STOPPED])
    said = stack.cli("selftest", "--port-base", str(stack.ports.base), check=False)
    assert said.startswith("packetboat: selftest failed: ")
    assert len(said.splitlines()) == 1
    doctor = stack.cli("doctor", check=False)
    assert [line.split(":")[0] for line in doctor.splitlines() if line.startswith("wrong")] == ["wrong Redis"]
    assert "packetboat up" in run_cli(stack.data.with_name("none"), "account", "list", check=False)
    stack.start()
    received(stack, ALICE, "kept while stopped")
