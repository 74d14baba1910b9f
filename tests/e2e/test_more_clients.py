"""Clients that synchronise, fetch and script: offlineimap, fetchmail, IMAPClient, imapflow; how Thunderbird works."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import imapclient
import pytest

from tests.e2e.programs import needs, required, run
from tests.e2e.sessions import imap, mx, search, trust
from tests.e2e.test_clients import PASSWORD, deliver
from tests.tools.stack import Stack

NPM = Path(__file__).with_name("npm")
TIMEOUT = 120.0  # seconds


@pytest.fixture
def account(stack: Stack) -> Iterator[str]:
    """A fresh account that the test has for itself."""
    address = f"m{time.monotonic_ns()}@packetboat.test"
    stack.add_account(address, PASSWORD)
    yield address
    stack.cli("account", "remove", address, "--purge")


def certificate(stack: Stack) -> Path:
    return stack.data / "tls" / "cert.pem"


# offlineimap

OFFLINEIMAPRC = """
[general]
accounts = test
metadata = {folder}/metadata
ui = basic
[Account test]
localrepository = local
remoterepository = remote
[Repository local]
type = Maildir
localfolders = {folder}/mail
[Repository remote]
type = IMAP
remotehost = localhost
remoteport = {port}
remoteuser = {user}
remotepass = {password}
ssl = yes
sslcacertfile = {certificate}
auth_mechanisms = PLAIN, LOGIN
"""


def test_offlineimap_both_ways(stack: Stack, account: str, tmp_path: Path) -> None:
    needs("offlineimap")
    deliver(stack, account, 5)
    config = tmp_path / "rc"
    config.write_text(
        OFFLINEIMAPRC.format(
            folder=tmp_path, port=stack.ports.imaps, user=account, password=PASSWORD, certificate=certificate(stack)
        )
    )

    def synchronise() -> None:
        run("offlineimap", "-o", "-c", config, timeout=TIMEOUT)

    synchronise()
    inbox = tmp_path / "mail" / "INBOX"
    kept = sorted(inbox.rglob("*:2,*"))
    named = {path.read_bytes().partition(b"Subject: ")[2].split(b"\n")[0].decode(): path for path in kept}
    assert sorted(named) == [f"number {n}" for n in range(5)]
    first = named["number 0"]
    first.rename(inbox / "cur" / f"{first.name.partition(':')[0]}:2,FS")
    named["number 1"].unlink()
    with imap(stack, account, PASSWORD) as client:
        client.select("INBOX")
        client.store("3", "+FLAGS", r"(\Answered)")
    with mx(stack) as sender:
        sender.sendmail("x@elsewhere.test", [account], b"Subject: number 5\r\n\r\nx\r\n")
    time.sleep(1)
    synchronise()
    synchronise()
    with imap(stack, account, PASSWORD) as client:
        client.select("INBOX")
        assert search(client, "ALL") == ["1", "3", "4", "5", "6"]
        assert search(client, "FLAGGED", "SEEN") == ["1"]
    assert len(list(inbox.rglob("*:2,*"))) == 5
    answered = next(path for path in inbox.rglob("*:2,*") if b"Subject: number 2" in path.read_bytes())
    assert "R" in answered.name.rpartition(",")[2]


# fetchmail

FETCHMAILRC = """
poll localhost protocol POP3 port {port} auth password uidl
  user "{user}" password "{password}" ssl sslcertfile "{certificate}" sslcertck
  fetchall no rewrite mda "cat >> {folder}/got"
"""


def test_fetchmail_over_pop3(stack: Stack, account: str, tmp_path: Path) -> None:
    needs("fetchmail")
    sent = deliver(stack, account, 3)
    config = tmp_path / "rc"
    config.write_text(
        FETCHMAILRC.format(
            port=stack.ports.pop3s, user=account, password=PASSWORD, certificate=certificate(stack), folder=tmp_path
        )
    )
    config.chmod(0o600)
    environment = {"FETCHMAILHOME": str(tmp_path), "HOME": str(tmp_path)}
    run("fetchmail", "-f", config, "--nosyslog", "-N", "--pidfile", tmp_path / "pid", env=environment)
    got = (tmp_path / "got").read_bytes()
    for text in sent:
        assert text.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n") in got
    with imap(stack, account, PASSWORD) as client:
        client.select("INBOX")
        assert search(client, "ALL") == [], "fetched and deleted"
    again = run(
        "fetchmail", "-f", config, "--nosyslog", "-N", "--pidfile", tmp_path / "pid", env=environment, check=False
    )
    assert again.returncode == 1, "nothing new"


# IMAPClient


def test_imapclient(stack: Stack, account: str) -> None:
    deliver(stack, account, 4)
    with imapclient.IMAPClient(stack.host, port=stack.ports.imaps, ssl_context=trust(stack), timeout=20) as client:
        client.login(account, PASSWORD)
        assert {b"CONDSTORE", b"UIDPLUS", b"MOVE", b"SORT", b"THREAD=REFERENCES", b"QUOTA"} <= set(
            client.capabilities()
        )
        assert client.enable("CONDSTORE") == [b"CONDSTORE"]
        chosen = client.select_folder("INBOX")
        assert chosen[b"EXISTS"] == 4 and chosen[b"HIGHESTMODSEQ"] > 1
        assert client.sort(["REVERSE SUBJECT"]) == [4, 3, 2, 1]
        assert len(client.thread("REFERENCES")) == 4
        found = client.fetch([1, 2], ["ENVELOPE", "BODYSTRUCTURE", "INTERNALDATE", "MODSEQ", "BODY.PEEK[HEADER]"])
        assert [found[uid][b"ENVELOPE"].subject for uid in (1, 2)] == [b"number 0", b"number 1"]
        before = found[1][b"MODSEQ"][0]
        client.add_flags([1], [imapclient.FLAGGED])
        changed = client.fetch([1, 2, 3, 4], ["FLAGS"], [f"CHANGEDSINCE {before}"])
        assert imapclient.FLAGGED in changed[1][b"FLAGS"]
        client.create_folder("Übungen & mehr")
        client.copy([1, 2], "Übungen & mehr")
        client.move([3], "Übungen & mehr")
        assert client.folder_status("Übungen & mehr", ["MESSAGES"]) == {b"MESSAGES": 3}
        assert client.find_special_folder(b"\\Sent") == "Sent"
        assert client.search(["NOT", "DELETED"]) == [1, 2, 4]
        client.multiappend("Drafts", [b"Subject: a\r\n\r\nx", b"Subject: b\r\n\r\ny"])
        assert client.folder_status("Drafts", ["MESSAGES"]) == {b"MESSAGES": 2}
        client.idle()
        deliver(stack, account, 1)
        assert any(answer[1] == b"EXISTS" for answer in client.idle_check(timeout=10))
        client.idle_done()


# imapflow


def test_imapflow(stack: Stack, account: str) -> None:
    needs("node", "npm")
    if not (NPM / "node_modules").is_dir():
        run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", NPM, timeout=TIMEOUT)
    required(NPM / "node_modules" / "imapflow", "imapflow from npm")
    arguments = ["localhost", str(stack.ports.imaps), account, PASSWORD, str(certificate(stack))]
    done = subprocess.run(
        ["node", str(NPM / "imapflow.js"), *arguments], capture_output=True, text=True, timeout=TIMEOUT, cwd=NPM
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert {"CONDSTORE", "QRESYNC"} <= set(seen["enabled"])
    assert ["Sent", "\\Sent"] in seen["mailboxes"] and seen["created"] == 0
    assert seen["appended"]["uid"] == 3
    flags = {1: ["\\Seen"]}
    assert seen["fetched"] == [[n, f"number {n}", "text/plain", flags.get(n, []), True, True] for n in (1, 2, 3)]
    assert (seen["unseen"], seen["found"]) == ([2, 3], [2])
    assert (seen["flagged"], seen["arrived"]) == (["$Important", "\\Flagged"], 4)
    assert seen["moved"] == [[1, 1], [2, 2]]
    assert (seen["downloaded"], seen["left"]) == ("Subject: number 3", 1)
