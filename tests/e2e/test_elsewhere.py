"""Between Packetboat and other mail programs: LMTP in by swaks, LMTP out to Dovecot, a Maildir that Dovecot reads."""

from __future__ import annotations

import os
import shutil
import smtplib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.programs import needs, run
from tests.e2e.running import running
from tests.e2e.sessions import eventually, imap, message, mx, received, wait_for
from tests.tools import daemons
from tests.tools.stack import Stack

ALICE, BOB = "alice@packetboat.test", "bob@packetboat.test"
COUNTS = 2.5  # seconds after which a target counts for sure
MAIL_UID = 8125  # anybody but root, whose mail Dovecot doesn't touch
CONFIGURATION = """
protocols = lmtp
listen = 127.0.0.1
base_dir = {work}/run
state_dir = {work}/state
log_path = {work}/dovecot.log
ssl = no
first_valid_uid = 1
mail_location = maildir:~/Maildir
auth_username_format = %Lu
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid={uid} gid={uid} home={work}/mail/%Ln allow_all_users=yes
}}
service lmtp {{
  inet_listener lmtp {{
    port = {port}
  }}
}}
namespace inbox {{
  inbox = yes
}}
"""


@dataclass(frozen=True)
class Dovecot:
    """A running Dovecot: its LMTP port, and what its command line says of mail."""

    work: Path
    port: int

    def mail(self, user: str) -> bytes:
        """The text of all messages of a user."""
        return run("doveadm", "-c", self.work / "dovecot.conf", "fetch", "-u", user, "text", "all").stdout


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    needs("dovecot", "doveadm")
    if not Path("/usr/lib/dovecot/lmtp").exists() or os.getuid() != 0:
        pytest.skip("needs dovecot-lmtpd, and root to start it")
    work = Path(tempfile.mkdtemp(prefix="pb-dovecot-"))
    work.chmod(0o755)
    (work / "mail").mkdir()
    os.chown(work / "mail", MAIL_UID, MAIL_UID)
    port = daemons.free_port()
    (work / "dovecot.conf").write_text(CONFIGURATION.format(work=work, uid=MAIL_UID, port=port))
    command = ["dovecot", "-F", "-c", str(work / "dovecot.conf")]
    with daemons.running(command, work, lambda: daemons.listens("127.0.0.1", port)):
        yield Dovecot(work, port)
    shutil.rmtree(work, ignore_errors=True)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("elsewhere") / "data") as started:
        yield started


def send(stack: Stack, recipient: str, subject: str) -> None:
    with mx(stack) as client:
        client.send_message(message(subject, "x@elsewhere.test", recipient))


def test_swaks_hands_mail_over_by_lmtp(stack):
    needs("swaks")
    said = run(
        *("swaks", "--protocol", "LMTP", "--server", stack.host, "--port", str(stack.ports.lmtp)),
        *("--from", "x@elsewhere.test", "--to", f"{ALICE},{BOB}", "--header", "Subject: by swaks"),
    ).stdout.decode()
    assert said.count("<-  250 2.1.5 <") == 2
    assert b"with LMTP" in received(stack, ALICE, "by swaks")
    with smtplib.LMTP(stack.host, stack.ports.lmtp) as client:
        client.ehlo_or_helo_if_needed()
        assert client.mail("x@elsewhere.test")[0] == 250
        assert client.rcpt("nobody@packetboat.test")[0] == 550
        assert client.rcpt("x@elsewhere.test")[0] == 554


def test_dovecot_takes_mail_over_by_lmtp(stack, dovecot):
    stack.cli("target", "set", "lmtp", f"127.0.0.1:{dovecot.port}", "--account", BOB)
    assert f"127.0.0.1:{dovecot.port}" in stack.cli("target", "list")
    time.sleep(COUNTS)
    for number in range(5):
        send(stack, BOB, f"for Dovecot {number}")
    found = eventually(lambda: (said := dovecot.mail(BOB)).count(b"Subject: for Dovecot") == 5 and said, "in Dovecot")
    assert b"Return-Path: <x@elsewhere.test>" in found
    with imap(stack, BOB) as client:
        client.select("INBOX")
        assert client.search(None, "SUBJECT", '"for Dovecot"')[1] == [b""]
    assert "handed on" in stack.cli("trace", BOB)
    stack.cli("target", "remove", "--account", BOB)


def test_dovecot_reads_the_maildir_that_we_deliver_to(stack, dovecot):
    home = dovecot.work / "mail" / "alice"
    home.mkdir()
    stack.cli("target", "set", "maildir", str(home / "Maildir"), "--account", ALICE)
    time.sleep(COUNTS)
    send(stack, ALICE, "in a Maildir")
    eventually(lambda: (home / "Maildir" / "new").is_dir() and list((home / "Maildir" / "new").iterdir()), "a file")
    for path in (home, *home.rglob("*")):
        os.chown(path, MAIL_UID, MAIL_UID)
    assert b"Subject: in a Maildir" in dovecot.mail(ALICE)
    stack.cli("target", "remove", "--account", ALICE)


def test_expunged_mail_comes_back(stack):
    send(stack, ALICE, "come back")
    with imap(stack, ALICE) as client:
        [uid] = wait_for(client, "SUBJECT", '"come back"')
        client.uid("STORE", uid, "+FLAGS", r"(\Deleted)")
        client.expunge()
        assert "INBOX: 1 would come back" in stack.cli("undelete", "--account", ALICE, "--dry-run")
        assert "INBOX: 1 brought back" in stack.cli("undelete", "--account", ALICE, "--since", "1h")
        [again] = wait_for(client, "SUBJECT", '"come back"')
        assert int(again) > int(uid)
    assert "nothing to bring back" in stack.cli("undelete", "--account", ALICE)
    stack.cli("retention", "set", "\\Trash", "30")
    assert "\\Trash" in stack.cli("retention", "list")
    assert "removed" in stack.cli("retention", "remove", "\\Trash")
