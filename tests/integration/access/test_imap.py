"""IMAP against a real worker, by imaplib and octet by octet."""

from __future__ import annotations

import base64
import imaplib
import re
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.integration.access.conftest import ALICE, PASSWORDS, RunningAccess
from tests.integration.access.messages import HELLO
from tests.integration.access.wire import Client
from tests.tools.certificates import trusting_context

LARGE = 3 * 1024 * 1024


def test_imaplib(access: RunningAccess) -> None:
    client = imaplib.IMAP4("127.0.0.1", access.imap)
    client.login(ALICE, PASSWORDS[ALICE])
    assert client.append("INBOX", None, None, HELLO)[0] == "OK"
    assert client.select() == ("OK", [b"1"])
    status, data = client.fetch("1:*", "(UID FLAGS ENVELOPE BODY[] RFC822.SIZE INTERNALDATE)")
    assert status == "OK"
    assert data[0][1] == HELLO
    assert client.store("1", "+FLAGS", "\\Deleted")[0] == "OK"
    assert client.expunge() == ("OK", [b"1"])
    client.logout()


def test_starttls_then_login(start_access: Callable[..., RunningAccess]) -> None:
    access = start_access(allow_plaintext_auth=False)
    client = imaplib.IMAP4("127.0.0.1", access.imap)
    assert "LOGINDISABLED" in client.capabilities
    with pytest.raises(imaplib.IMAP4.error, match="PRIVACYREQUIRED"):
        client.login(ALICE, PASSWORDS[ALICE])
    client.starttls(trusting_context())
    assert "AUTH=PLAIN" in client.capabilities
    assert "STARTTLS" not in client.capabilities
    client.login(ALICE, PASSWORDS[ALICE])
    client.logout()


def test_what_comes_before_the_handshake_is_forgotten(access: RunningAccess) -> None:
    client = access.connect()
    client.send(b"a STARTTLS\r\nb LOGIN alice@a.test wonderland\r\n")
    assert client.line() == b"a OK Begin TLS now"
    tls = trusting_context().wrap_socket(client.socket, server_hostname="mail.a.test")
    tls.sendall(b"c NOOP\r\n")
    assert tls.recv(1000) == b"c OK Completed\r\n"


def test_implicit_tls(access: RunningAccess) -> None:
    client = imaplib.IMAP4_SSL("127.0.0.1", access.imaps, ssl_context=trusting_context())
    client.login(ALICE, PASSWORDS[ALICE])
    for _ in range(3):
        client.append("INBOX", None, None, b"Subject: x\r\n\r\n" + b"y" * LARGE)
    client.select()
    assert [len(part[1]) for part in client.fetch("1:3", "(BODY.PEEK[])")[1][::2]] == [LARGE + 14] * 3
    client.logout()


def test_idle_sees_a_delivery(access: RunningAccess) -> None:
    client = access.log_in()
    client.send(b"i IDLE\r\n")
    assert client.line().startswith(b"+ ")
    access.deliver(HELLO)
    assert [client.line(), client.line()] == [b"* 1 EXISTS", b"* 1 RECENT"]
    client.send(b"DONE\r\n")
    assert client.line() == b"i OK IDLE completed"


def test_idle_sees_a_lost_notification_by_the_poll(access: RunningAccess) -> None:
    client = access.log_in()
    client.send(b"i IDLE\r\n")
    client.line()
    access.call(access.worker.desk.watcher.poll)
    access.deliver(HELLO, announce=False)
    access.call(access.worker.desk.watcher.poll)
    assert client.line() == b"* 1 EXISTS"


def test_append_large_with_bare_lf(access: RunningAccess) -> None:
    client = access.log_in()
    lines = [b"Subject: large", b"", *[b"%07d" % n for n in range(300_000)], b""]
    assert client.append(b"\n".join(lines)).startswith(b"OK [APPENDUID")
    whole = b"\r\n".join(lines)
    found = client.ok("FETCH 1 BODY.PEEK[]")
    assert found == [b"* 1 EXISTS", b"* 1 FETCH (BODY[] {%d}\r\n%b)" % (len(whole), whole)] or found == [
        b"* 1 FETCH (BODY[] {%d}\r\n%b)" % (len(whole), whole)
    ]
    part = client.ok("FETCH 1 (UID BODY.PEEK[TEXT]<1000000.20> BODY.PEEK[HEADER])")
    text = whole.partition(b"\r\n\r\n")[2]
    assert part == [
        b"* 1 FETCH (UID 1 BODY[TEXT]<1000000> {20}\r\n%b BODY[HEADER] {18}\r\nSubject: large\r\n\r\n)"
        % text[1_000_000:1_000_020]
    ]
    picked = client.ok("FETCH 1 (BODY.PEEK[HEADER.FIELDS (Subject)] BODY.PEEK[7])")
    assert picked == [b"* 1 FETCH (BODY[HEADER.FIELDS (Subject)] {18}\r\nSubject: large\r\n\r\n BODY[7] NIL)"]
    assert client.ok("SEARCH LARGER 2000000 BODY 0123456") == [b"* SEARCH 1"]


@pytest.mark.parametrize("size", [1000, 400_000])
def test_append_refuses_nul(access: RunningAccess, size: int) -> None:
    client = access.log_in()
    assert client.append(b"Subject: x\r\n\r\n" + b"y" * size + b"\0").startswith(b"NO")
    assert client.append(HELLO).startswith(b"OK")
    assert not list((access.settings.journal / "large").rglob("*.msg"))


def test_append_beyond_the_quota(access: RunningAccess) -> None:
    from shared.directory import admin

    account = access.call(lambda: access.worker._directory.account(ALICE))
    access.in_database(admin.set_quota, account.address, 1000)
    client = access.log_in()
    assert client.append(b"x" * 2000).startswith(b"NO [OVERQUOTA]")
    assert client.append(b"x" * 500_000).startswith(b"NO [OVERQUOTA]")


def test_numbers_after_many_changes(access: RunningAccess) -> None:
    access.deliver(*[HELLO] * 20)
    one, other = access.log_in(), access.log_in()
    other.ok("STORE 2,4,6:9 +FLAGS.SILENT (\\Deleted)")
    other.ok("EXPUNGE")
    access.deliver(HELLO)
    lines = one.ok("NOOP")
    assert [line for line in lines if b"EXPUNGE" in line] == [b"* %d EXPUNGE" % n for n in (9, 8, 7, 6, 4, 2)]
    assert b"* 15 EXISTS" in lines
    uids = [int(re.search(rb"UID (\d+)", line)[1]) for line in one.ok("FETCH 1:* (UID)")]  # type: ignore[index]
    assert uids == [1, 3, 5, *range(10, 22)]
    assert one.ok("UID SEARCH 3:5") == [b"* SEARCH 5 10 11"]


def test_message_that_is_gone_for_good(access: RunningAccess) -> None:
    access.deliver(HELLO, HELLO)
    client = access.log_in()
    access.in_database(_forget_message, 1)
    untagged, status = client.command("FETCH 1:2 (UID)")
    assert untagged == [b"* 2 FETCH (UID 2)"]
    assert status.startswith(b"NO [EXPUNGEISSUED]")


def test_mailbox_deleted_by_another_session(access: RunningAccess) -> None:
    one, other = access.log_in(mailbox="Archive"), access.log_in()
    other.ok("DELETE Archive")
    one.send(b"a NOOP\r\n")
    assert one.line() == b"* BYE The selected mailbox was deleted"


def test_sessions_do_not_starve_each_other(access: RunningAccess) -> None:
    access.deliver(*[HELLO] * 500)
    busy, other = access.log_in(), access.log_in()
    busy.send(b"f FETCH 1:* (ENVELOPE BODY.PEEK[])\r\n" * 5)
    other.socket.settimeout(3)
    other.ok("NOOP")
    for _ in range(5):
        assert len(busy.until(b"f")[0]) == 500


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(access: RunningAccess) -> None:
    access.deliver(HELLO)
    base = ["curl", "-sS", "--user", f"{ALICE}:{PASSWORDS[ALICE]}"]
    url = f"imap://127.0.0.1:{access.imap}/INBOX"
    fetched = subprocess.run([*base, f"{url};MAILINDEX=1"], capture_output=True, check=True, timeout=20)
    assert fetched.stdout.endswith(HELLO)
    listed = subprocess.run([*base, f"imap://127.0.0.1:{access.imap}"], capture_output=True, check=True, timeout=20)
    assert b"INBOX" in listed.stdout
    secure = [*base, "--insecure", f"imaps://127.0.0.1:{access.imaps}/INBOX", "-X", "SEARCH ALL"]
    assert subprocess.run(secure, capture_output=True, check=True, timeout=20).stdout == b"* SEARCH 1\r\n"


def test_passwords_are_not_logged(access: RunningAccess, capfd: pytest.CaptureFixture[str]) -> None:
    client = access.connect()
    client.command(f"LOGIN {ALICE} secret-one")
    client.command(f'LOGIN {ALICE} "secret-one')
    client.command(b"AUTHENTICATE PLAIN " + base64.b64encode(b"\0alice@a.test\0secret-one"))
    logged = "".join(capfd.readouterr())
    assert "login_failed" in logged
    assert "secret-one" not in logged


def _forget_message(uid: int):  # type: ignore[no-untyped-def]
    from shared.db import Query

    yield Query("forget_for_good", "DELETE FROM message WHERE uid = :uid")(uid=uid)


def test_wire_client_reads_literals(access: RunningAccess) -> None:
    client: Client = access.log_in()
    client.append(b"a\r\nb {3}\r\n")
    assert client.ok("FETCH 1 BODY.PEEK[]")[-1] == b"* 1 FETCH (BODY[] {10}\r\na\r\nb {3}\r\n)"
