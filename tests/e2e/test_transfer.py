"""`packetboat import` and `export` as a person uses them: while the stack runs, and while it doesn't."""

from __future__ import annotations

import mailbox
from pathlib import Path

import pytest

from tests.e2e.running import running
from tests.e2e.sessions import imap
from tests.tools.stack import StackError, run_cli

ALICE, BOB = "alice@packetboat.test", "bob@packetboat.test"


def make_maildir(path: Path) -> None:
    box = mailbox.Maildir(path)
    for number in range(3):
        message = mailbox.MaildirMessage(f"Subject: {number}\n\ntext {number}\n")
        message.set_subdir("cur")
        message.set_flags("SF"[: number + 1])
        box.add(message)
    box.add_folder("Work.Old").add(mailbox.MaildirMessage("Subject: old\n\nold\n"))


def test_mail_goes_in_and_out(tmp_path):
    make_maildir(tmp_path / "in")
    with running(tmp_path / "data") as stack:
        said = stack.cli("import", "maildir", str(tmp_path / "in"), "--account", ALICE)
        assert "4 messages imported, 0 were there, 0 failed" in said
        with imap(stack, ALICE, stack.passwords()[ALICE]) as client:
            assert client.select("INBOX")[1] == [b"3"]
            assert client.search(None, "SEEN")[1] == [b"1 2 3"]
            assert client.select("Work/Old")[1] == [b"1"]
        said = stack.cli("import", "maildir", str(tmp_path / "in"), "--account", ALICE)
        assert "0 messages imported, 4 were there" in said
        stack.cli("export", "mbox", str(tmp_path / "out"), "--account", ALICE)
    data = tmp_path / "data"
    assert len(mailbox.mbox(tmp_path / "out" / "INBOX.mbox")) == 3
    said = run_cli(data, "import", "mbox", str(tmp_path / "out"), "--account", BOB, "--folder", "From alice")
    assert "4 messages imported" in said
    assert "From alice/Work/Old" in run_cli(data, "mailbox", "list", BOB)
    said = run_cli(data, "export", "maildir", str(tmp_path / "back"), "--account", BOB, "--mailbox", "From alice")
    assert "3 messages exported" in said
    with pytest.raises(StackError, match="no mbox"):
        run_cli(data, "import", "mbox", str(tmp_path / "in"), "--account", BOB)
    with pytest.raises(StackError, match="no account"):
        run_cli(data, "export", "mbox", str(tmp_path / "out"), "--account", "nobody@packetboat.test")
