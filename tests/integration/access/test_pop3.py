"""POP3 against a real worker, by poplib and curl."""

from __future__ import annotations

import poplib
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.integration.access.conftest import ALICE, PASSWORDS, RunningAccess
from tests.integration.access.messages import HELLO
from tests.tools.certificates import trusting_context

LARGE = b"Subject: large\r\n\r\n" + b"".join(b"." * (n % 70 + 1) + b"\r\n" for n in range(80_000))


def test_poplib(access: RunningAccess) -> None:
    access.deliver(*[HELLO] * 100)
    client = poplib.POP3("127.0.0.1", access.pop3)
    client.user(ALICE)
    client.pass_(PASSWORDS[ALICE])
    assert client.stat()[0] == 100
    ids = [line.split()[1] for line in client.uidl()[1]]
    assert len(set(ids)) == 100
    for number in (1, 2, 3, 50, 7, 100):
        assert b"\r\n".join(client.retr(number)[1]).endswith(HELLO.removesuffix(b"\r\n"))
    for number in range(1, 100):
        client.dele(number)
    access.deliver(HELLO)
    client.quit()
    again = poplib.POP3("127.0.0.1", access.pop3)
    again.user(ALICE)
    again.pass_(PASSWORDS[ALICE])
    kept = [line.split()[1] for line in again.uidl()[1]]
    assert kept[0] == ids[99]
    assert len(kept) == 2
    again.close()


def test_nothing_is_deleted_without_quit(access: RunningAccess) -> None:
    access.deliver(HELLO)
    client = poplib.POP3("127.0.0.1", access.pop3)
    client.user(ALICE)
    client.pass_(PASSWORDS[ALICE])
    client.dele(1)
    client.close()
    imap = access.log_in()
    assert imap.ok("SEARCH ALL") == [b"* SEARCH 1"]


def test_stls(start_access: Callable[..., RunningAccess]) -> None:
    access = start_access(allow_plaintext_auth=False)
    client = poplib.POP3("127.0.0.1", access.pop3)
    assert "USER" not in client.capa()
    with pytest.raises(poplib.error_proto, match="STLS"):
        client.user(ALICE)
    client.stls(trusting_context())
    assert "SASL" in client.capa()
    client.user(ALICE)
    client.pass_(PASSWORDS[ALICE])
    client.quit()


def test_large_message_in_pieces(access: RunningAccess) -> None:
    access.deliver(LARGE)
    client = poplib.POP3_SSL("127.0.0.1", access.pop3s, context=trusting_context())
    client.user(ALICE)
    client.pass_(PASSWORDS[ALICE])
    assert b"\r\n".join(client.retr(1)[1]) + b"\r\n" == b"Delivered-To: alice@a.test\r\n" + LARGE
    assert client.top(1, 2)[1][-2:] == [b".", b".."]
    client.quit()


def test_message_removed_by_another_session(access: RunningAccess) -> None:
    access.deliver(HELLO, HELLO)
    client = poplib.POP3("127.0.0.1", access.pop3)
    client.user(ALICE)
    client.pass_(PASSWORDS[ALICE])
    imap = access.log_in()
    imap.ok("STORE 1:2 +FLAGS.SILENT (\\Deleted)")
    imap.ok("EXPUNGE")
    client.dele(1)
    client.quit()
    assert imap.ok("STATUS INBOX (MESSAGES)") == [b"* STATUS INBOX (MESSAGES 0)"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(access: RunningAccess) -> None:
    access.deliver(HELLO)
    base = ["curl", "-sS", "--user", f"{ALICE}:{PASSWORDS[ALICE]}"]
    url = f"pop3://127.0.0.1:{access.pop3}/1"
    fetched = subprocess.run([*base, url], capture_output=True, check=True, timeout=20)
    assert fetched.stdout.endswith(HELLO)
