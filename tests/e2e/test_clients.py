"""Programs that people and scripts use, against a whole stack: swaks, curl, mbsync, mutt, Python's own clients."""

from __future__ import annotations

import email
import email.policy
import hashlib
import imaplib
import mailbox
import poplib
import re
import shlex
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.programs import needs, run
from tests.e2e.sessions import (
    TIMEOUT,
    eventually,
    fetch,
    imap,
    message,
    mx,
    pop3,
    quoted,
    received,
    search,
    submission,
    trust,
    wait_for,
)
from tests.tools.stack import Stack

ALICE, BOB = "alice@packetboat.test", "bob@packetboat.test"
PASSWORD = "correct horse"
MANY = 300  # messages that mbsync begins with
IDLE_SECONDS = 3.0  # within which an idle session must hear of a message
SPECIAL_USE = {"Archive", "Drafts", "Junk", "Sent", "Trash"}


@pytest.fixture
def account(stack: Stack) -> Iterator[str]:
    """A fresh account that the test has for itself."""
    address = f"u{time.monotonic_ns()}@packetboat.test"
    stack.add_account(address, PASSWORD)
    yield address
    stack.cli("account", "remove", address, "--purge")


# swaks


def swaks(stack: Stack, port: int, *arguments: str) -> str:
    needs("swaks")
    done = run("swaks", "--server", stack.host, "--port", str(port), "--timeout", "20s", *arguments)
    return done.stdout.decode(errors="replace")


def test_swaks_to_the_mx(stack: Stack) -> None:
    said = swaks(
        stack, stack.ports.mx, "--from", "x@elsewhere.test", "--to", BOB,
        "--h-Subject", "swaks to the MX", "--body", "a line\n.a line with a dot\nthe end",
    )  # fmt: skip
    assert "250-PIPELINING" in said
    data = received(stack, BOB, "swaks to the MX")
    assert data.startswith(b"Return-Path: <x@elsewhere.test>\r\n")
    assert b"a line\r\n.a line with a dot\r\nthe end\r\n" in data


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks_submission_with_starttls(stack: Stack, mechanism: str) -> None:
    subject = f"swaks STARTTLS {mechanism}"
    said = swaks(
        stack, stack.ports.submission, "--tls", "--auth", mechanism, "--auth-user", ALICE,
        "--auth-password", stack.passwords()[ALICE], "--from", ALICE, "--to", BOB, "--h-Subject", subject,
    )  # fmt: skip
    assert "235 2.7.0" in said
    assert b"with ESMTPSA" in received(stack, BOB, subject)


def test_swaks_submission_over_implicit_tls_with_attachments(stack: Stack, tmp_path: Path) -> None:
    picture = tmp_path / "picture.bin"
    picture.write_bytes(bytes(range(256)) * 4000)
    swaks(
        stack, stack.ports.submissions, "--tls-on-connect", "--auth", "PLAIN", "--auth-user", ALICE,
        "--auth-password", stack.passwords()[ALICE], "--from", ALICE, "--to", BOB,
        "--h-Subject", "swaks attaches", "--body", "see attached",
        "--attach-type", "application/octet-stream", "--attach", f"@{picture}",
    )  # fmt: skip
    parsed = email.message_from_bytes(received(stack, BOB, "swaks attaches"), policy=email.policy.default)
    assert parsed.get_body().get_content().strip() == "see attached"
    [attached] = parsed.iter_attachments()
    assert attached.get_content() == picture.read_bytes()


def test_swaks_is_refused_without_tls_a_password_or_the_right_sender(stack: Stack) -> None:
    needs("swaks")
    base = ["swaks", "--server", stack.host, "--port", str(stack.ports.submission), "--to", BOB]
    plain = run(*base, "--from", ALICE, check=False)
    assert b"530 5.7.0" in plain.stdout
    login = ["--tls", "--auth", "PLAIN", "--auth-user", ALICE]
    wrong = run(*base, "--from", ALICE, *login, "--auth-password", "wrong", check=False)
    assert b"535 5.7.8" in wrong.stdout
    forged = run(*base, "--from", BOB, *login, "--auth-password", stack.passwords()[ALICE], check=False)
    assert b"553 5.7.1" in forged.stdout
    relaying = run(
        "swaks", "--server", stack.host, "--port", str(stack.ports.mx),
        "--from", ALICE, "--to", "x@elsewhere.test", check=False,
    )  # fmt: skip
    assert b"554 5.7.1" in relaying.stdout


# curl


def curl(stack: Stack, url: str, *arguments: str, user: str = ALICE, password: str = "") -> bytes:
    """curl with the stack's certificate; `url` has {name} for each port."""
    needs("curl")
    ports = {name: f"{stack.host}:{getattr(stack.ports, name)}" for name in _SCHEMES}
    login = f"{user}:{password or stack.passwords()[user]}"
    certificate = stack.data / "tls" / "cert.pem"
    return run(
        "curl", "--silent", "--show-error", "--fail", "--max-time", "20", "--ssl-reqd", "--cacert", certificate,
        "--user", login, *arguments, url.format(**ports),
    ).stdout  # fmt: skip


_SCHEMES = ("submission", "submissions", "imap", "imaps", "pop3", "pop3s")


@pytest.mark.parametrize("url", ["smtp://{submission}/curl.test", "smtps://{submissions}/curl.test"])
def test_curl_sends(stack: Stack, tmp_path: Path, url: str) -> None:
    subject = f"curl {url.partition(':')[0]}"
    letter = tmp_path / "letter"
    letter.write_bytes(bytes(message(subject, ALICE, BOB)).replace(b"\n", b"\r\n"))
    curl(stack, url, "--mail-from", ALICE, "--mail-rcpt", BOB, "--upload-file", str(letter))
    data = received(stack, BOB, subject)
    parsed = email.message_from_bytes(data)
    assert parsed["Date"] and parsed["Message-ID"]  # added by submission
    assert parsed["From"] == ALICE


@pytest.mark.parametrize("scheme", ["imap", "imaps"])
def test_curl_lists_fetches_and_deletes_over_imap(stack: Stack, account: str, tmp_path: Path, scheme: str) -> None:
    letters = [bytes(message(f"letter {n}", ALICE, account)).replace(b"\n", b"\r\n") for n in range(3)]
    base = f"{scheme}://{{{scheme}}}"

    def ask(path: str, *arguments: str) -> bytes:
        return curl(stack, base + path, *arguments, user=account, password=PASSWORD)

    assert {line.rpartition(b" ")[2].strip(b'"\r') for line in ask("/").splitlines()} >= {b"INBOX", b"Sent"}
    for number, letter in enumerate(letters):
        path = tmp_path / f"{number}"
        path.write_bytes(letter)
        ask("/INBOX", "--upload-file", str(path))
    assert ask("/INBOX;UID=2") == letters[1]
    assert ask("/INBOX;UID=2;SECTION=HEADER.FIELDS%20(SUBJECT)") == b"Subject: letter 1\r\n\r\n"
    assert ask("/INBOX?SUBJECT%20%22letter%202%22").strip() == b"* SEARCH 3"
    ask("/INBOX", "--request", "STORE 2 +FLAGS (\\Deleted)")
    assert b"* 2 EXPUNGE" in ask("/INBOX", "--request", "EXPUNGE")
    assert ask("/INBOX", "--request", "UID SEARCH ALL").strip() == b"* SEARCH 1 3"
    assert b"MESSAGES 2" in ask("/", "--request", "STATUS INBOX (MESSAGES)")


@pytest.mark.parametrize("scheme", ["pop3", "pop3s"])
def test_curl_lists_fetches_and_deletes_over_pop3(stack: Stack, account: str, scheme: str) -> None:
    deliver(stack, account, 3)
    base = f"{scheme}://{{{scheme}}}"

    def ask(path: str, *arguments: str) -> bytes:
        return curl(stack, base + path, *arguments, user=account, password=PASSWORD)

    listing = [line.split() for line in ask("/").splitlines()]
    assert [number for number, _ in listing] == [b"1", b"2", b"3"]
    second = ask("/2")
    assert b"Subject: number 1\r\n" in second
    assert len(second) == int(listing[1][1])
    assert len(ask("/", "--request", "UIDL").split()) == 6
    ask("/2", "--request", "DELE", "--head")
    assert len(ask("/").splitlines()) == 2
    assert b"Subject: number 2\r\n" in ask("/2")


# Python's clients


def deliver(stack: Stack, address: str, count: int, *, password: str = PASSWORD) -> list[bytes]:
    """Send messages `number 0` … through the MX and wait until they are in INBOX, in this order."""
    texts = [
        (f"From: x@elsewhere.test\r\nTo: {address}\r\nSubject: number {n}\r\n"
         f"Message-ID: <{n}.{time.monotonic_ns()}@elsewhere.test>\r\n\r\ntext {n}\r\n.dot\r\n").encode()
        for n in range(count)
    ]  # fmt: skip
    with mx(stack) as sender, imap(stack, address, password) as reader:
        reader.select("INBOX")
        for number, text in enumerate(texts, start=1):  # one after the other: two workers keep no order
            sender.sendmail("x@elsewhere.test", [address], text)
            eventually(lambda: reader.noop() and len(search(reader, "ALL")) >= number, f"message {number}")  # noqa: B023
    return texts


def test_smtplib_round_trip_of_unusual_mail(stack: Stack) -> None:
    letter = message("Grüße 你好", ALICE, BOB, "8 bit: äöü\n.\n..\n" + "x" * 900 + "\n")
    letter["Bcc"] = "carol-in-copy@packetboat.test"
    with submission(stack, ALICE) as client:
        assert client.has_extn("8BITMIME") and client.has_extn("SMTPUTF8") and client.has_extn("CHUNKING")
        assert client.sendmail(ALICE, [BOB], letter.as_bytes(policy=email.policy.SMTP), ["BODY=8BITMIME"]) == {}
    with imap(stack, BOB) as client:
        [uid] = wait_for(client, "TEXT", quoted("8 bit"), "FROM", quoted(ALICE))
        parsed = email.message_from_bytes(fetch(client, uid), policy=email.policy.default)
    assert parsed["Subject"] == "Grüße 你好"
    assert parsed["Bcc"] is None
    assert parsed.get_content().splitlines()[:3] == ["8 bit: äöü", ".", ".."]


def test_smtplib_hears_who_is_unknown(stack: Stack) -> None:
    with mx(stack) as client:
        refused = client.sendmail("x@elsewhere.test", [BOB, "nobody@packetboat.test"], b"Subject: two\r\n\r\nx\r\n")
        assert refused["nobody@packetboat.test"][0] == 550
        assert client.verify(BOB)[0] == 252
        assert client.expn("all")[0] == 502
        assert client.docmd("VRFY")[0] == 501
        assert client.rset()[0] == client.noop()[0] == 250


def test_imaplib_flags_copy_move_search_and_expunge(stack: Stack, account: str) -> None:
    deliver(stack, account, 6)
    with imap(stack, account, PASSWORD) as client:
        assert client.select("INBOX") == ("OK", [b"6"])
        assert search(client, "UNSEEN") == ["1", "2", "3", "4", "5", "6"]
        client.uid("STORE", "1:2", "+FLAGS", r"(\Seen $Important)")
        client.uid("STORE", "2", "-FLAGS.SILENT", r"(\Seen)")
        assert search(client, "SEEN") == ["1"]
        assert search(client, "KEYWORD", "$Important") == ["1", "2"]
        assert search(client, "OR", "SUBJECT", quoted("number 2"), "UID", "5:*", "NOT", "SEEN") == list("356")
        assert search(client, "BODY", quoted("text 4")) == ["5"]
        assert search(client, "SINCE", "1-Jan-2020", "LARGER", "10", "TO", quoted(account)) == list("123456")
        assert client.create("Projects/Boats")[0] == "OK"
        copied = client.uid("COPY", "1,3", "Projects/Boats")
        assert copied[0] == "OK"
        assert client.untagged_responses.get("COPYUID"), "COPYUID is missing"
        status, moved = client.uid("MOVE", "5:6", "Projects/Boats")
        assert status == "OK", moved
        assert search(client, "ALL") == list("1234")
        client.uid("STORE", "4", "+FLAGS", r"(\Deleted)")
        client.response("EXPUNGE")  # forget those of MOVE
        assert client.expunge() == ("OK", [b"4"])
        _, [status] = client.status("Projects/Boats", "(MESSAGES UIDNEXT UNSEEN)")
        assert b"(MESSAGES 4 UIDNEXT 5 UNSEEN 3)" in status
        client.select("Projects/Boats", readonly=True)
        status, flags = client.uid("FETCH", "1", "(FLAGS)")
        assert rb"\Seen" in flags[0] and b"$Important" in flags[0]


def test_imaplib_append_keeps_flags_date_and_bytes(stack: Stack, account: str) -> None:
    text = b"From: me\r\nSubject: draft\r\n\r\nline\r\n\r\n"
    when = '"17-Jul-1996 02:44:25 -0700"'
    with imap(stack, account, PASSWORD) as client:
        assert client.append("Drafts", r"(\Draft \Seen)", when, text)[0] == "OK"
        client.select("Drafts")
        _, answer = client.fetch("1", "(FLAGS INTERNALDATE RFC822.SIZE)")
        line = answer[0] if isinstance(answer[0], bytes) else answer[0][0]
        assert rb"\Draft" in line and rb"\Seen" in line
        assert str(len(text)).encode() in line
        assert time.mktime(imaplib.Internaldate2tuple(line)) == 837596665
        assert fetch(client, "1") == text
        assert client.append("Nowhere", "", "", text)[0] == "NO"


def test_imaplib_mailboxes(stack: Stack, account: str) -> None:
    with imap(stack, account, PASSWORD) as client:
        names = {line.decode().rpartition(' "/" ')[2].strip('"') for line in client.list()[1]}
        assert names == SPECIAL_USE | {"INBOX"}
        marked = b"\n".join(client.list()[1])
        for use in (rb"\Archive", rb"\Drafts", rb"\Junk", rb"\Sent", rb"\Trash"):
            assert use in marked
        assert client.create("a/b/c")[0] == "OK"
        assert client.rename("a/b", "a/x")[0] == "OK"
        assert b"a/x/c" in b"\n".join(client.list('""', "a/*")[1])
        assert client.subscribe("a/x/c")[0] == "OK"
        assert b"a/x/c" in b"\n".join(client.lsub()[1])
        assert client.unsubscribe("a/x/c")[0] == "OK"
        assert client.delete("a/x/c")[0] == "OK"
        assert client.delete("a/x/c")[0] == "NO"
        assert client.delete("INBOX")[0] == "NO"
        assert client.namespace()[0] == "OK"
        assert client.select("nowhere")[0] == "NO"


def test_imaplib_refuses_passwords_without_tls_and_wrong_ones(stack: Stack, account: str) -> None:
    with imaplib.IMAP4(stack.host, stack.ports.imap, timeout=TIMEOUT) as client:
        assert "LOGINDISABLED" in client.capabilities
        with pytest.raises(imaplib.IMAP4.error, match="PRIVACYREQUIRED"):
            client.login(account, PASSWORD)
        client.starttls(ssl_context=trust(stack))
        assert "LOGINDISABLED" not in client.capabilities
        with pytest.raises(imaplib.IMAP4.error, match="AUTHENTICATIONFAILED"):
            client.login(account, "wrong")
        assert client.login(account, PASSWORD)[0] == "OK"
    with imaplib.IMAP4_SSL(stack.host, stack.ports.imaps, ssl_context=trust(stack), timeout=TIMEOUT) as client:
        plain = f"\0{account}\0{PASSWORD}".encode()
        assert client.authenticate("PLAIN", lambda _: plain)[0] == "OK"


def test_idle_hears_of_a_message_by_itself(stack: Stack, account: str) -> None:
    with trust(stack).wrap_socket(
        socket.create_connection((stack.host, stack.ports.imaps), TIMEOUT), server_hostname=stack.host
    ) as wire:
        lines = wire.makefile("rb")
        assert lines.readline().startswith(b"* OK")
        for command in (f"a LOGIN {account} {quoted(PASSWORD)}", "b SELECT INBOX"):
            wire.sendall(command.encode() + b"\r\n")
            assert _until(lines, command[:2].encode())[-1].startswith(command[:1].encode() + b" OK")
        wire.sendall(b"c IDLE\r\n")
        assert lines.readline().startswith(b"+")
        with mx(stack) as client:
            client.sendmail("x@elsewhere.test", [account], b"Subject: wake up\r\n\r\nx\r\n")
        began = time.monotonic()
        assert _until(lines, b"* 1 EXISTS")
        assert time.monotonic() - began < IDLE_SECONDS
        with imap(stack, account, PASSWORD) as other:
            other.select("INBOX")
            other.store("1", "+FLAGS", r"(\Flagged \Deleted)")
            assert any(rb"\Flagged" in line for line in _until(lines, b"* 1 FETCH"))
            other.expunge()
        assert _until(lines, b"* 1 EXPUNGE")
        wire.sendall(b"DONE\r\n")
        assert _until(lines, b"c ")[-1].startswith(b"c OK")


def _until(lines: object, start: bytes) -> list[bytes]:
    """Lines up to and including the first that begins so."""
    found: list[bytes] = []
    while not found or not found[-1].startswith(start):
        line = lines.readline()  # type: ignore[attr-defined]
        assert line, f"closed before {start!r}: {found}"
        found.append(line)
    return found


def test_poplib_round_trip(stack: Stack, account: str) -> None:
    sent = deliver(stack, account, 3)
    with pop3(stack, account, PASSWORD) as client:
        assert {"UIDL", "TOP", "USER", "PIPELINING"} <= set(client.capa())
        count, octets = client.stat()
        sizes = [int(line.split()[1]) for line in client.list()[1]]
        assert (count, octets) == (3, sum(sizes))
        uids = [line.split()[1] for line in client.uidl()[1]]
        assert len(set(uids)) == 3
        for number, text in enumerate(sent, 1):
            lines = client.retr(number)[1]
            data = b"".join(line + b"\r\n" for line in lines)
            assert data.endswith(text)
            assert len(data) == sizes[number - 1]
        top = client.top(1, 1)[1]
        assert top[-2:] == [b"", b"text 0"]
        client.dele(1)
        with pytest.raises(poplib.error_proto):
            client.retr(1)
        client.rset()
        client.dele(2)
    with pop3(stack, account, PASSWORD) as client:
        assert [line.split()[1] for line in client.uidl()[1]] == [uids[0], uids[2]]
    with imap(stack, account, PASSWORD) as client:
        client.select("INBOX")
        assert search(client, "ALL") == ["1", "3"]


def test_poplib_wants_tls(stack: Stack, account: str) -> None:
    client = poplib.POP3(stack.host, stack.ports.pop3, timeout=TIMEOUT)
    with pytest.raises(poplib.error_proto):
        client.user(account)
        client.pass_(PASSWORD)
    assert "STLS" in client.capa()
    client.stls(context=trust(stack))
    client.user(account)
    assert client.pass_(PASSWORD).startswith(b"+OK")
    client.quit()


# mbsync


MBSYNCRC = """
IMAPAccount packetboat
Host localhost
Port {port}
User {user}
Pass "{password}"
SSLType IMAPS
CertificateFile {certificate}
SystemCertificates no

IMAPStore remote
Account packetboat

MaildirStore local
Path {folder}/
Inbox {folder}/INBOX
SubFolders Verbatim

Channel all
Far :remote:
Near :local:
Patterns *
Create Both
Expunge Both
SyncState *
CopyArrivalDate yes
"""


class Mbsync:
    """A Maildir and what keeps it like the account's mailboxes."""

    def __init__(self, stack: Stack, account: str, folder: Path) -> None:
        needs("mbsync")
        self.folder = folder / "mail"
        self.folder.mkdir()
        self._rc = folder / "mbsyncrc"
        self._rc.write_text(
            MBSYNCRC.format(
                port=stack.ports.imaps, user=account, password=PASSWORD,
                certificate=stack.data / "tls" / "cert.pem", folder=self.folder,
            )
        )  # fmt: skip

    def sync(self) -> str:
        done = run("mbsync", "--config", self._rc, "--all", env={"HOME": str(self.folder.parent)})
        return (done.stdout + done.stderr).decode(errors="replace")

    def box(self, name: str = "INBOX") -> mailbox.Maildir:
        return mailbox.Maildir(self.folder / name, create=False)

    def contents(self, name: str = "INBOX") -> Counter[tuple[str, str]]:
        """Digest and flags of each message of a folder."""
        return Counter(
            (_digest(path.read_bytes()), "".join(sorted(path.name.partition(":2,")[2])))
            for part in ("cur", "new")
            for path in (self.folder / name / part).iterdir()
        )


def _digest(data: bytes) -> str:
    """What identifies a message in both places; mbsync adds X-TUID while it copies, and stores LF."""
    text = re.sub(rb"(?m)^X-TUID: [^\n]*\n", b"", data.replace(b"\r\n", b"\n"))
    return hashlib.sha256(text).hexdigest()


def _on_server(stack: Stack, account: str, name: str = "INBOX") -> Counter[tuple[str, str]]:
    letters = {rb"\Seen": "S", rb"\Flagged": "F", rb"\Answered": "R", rb"\Draft": "D", rb"\Deleted": "T"}
    with imap(stack, account, PASSWORD) as client:
        assert client.select(quoted(name), readonly=True)[0] == "OK"
        if client.select(quoted(name), readonly=True)[1] == [b"0"]:
            return Counter()
        status, answer = client.fetch("1:*", "(FLAGS BODY.PEEK[])")
        assert status == "OK"
    found: Counter[tuple[str, str]] = Counter()
    for position, part in enumerate(answer):
        if isinstance(part, tuple):
            after = answer[position + 1] if position + 1 < len(answer) else b""
            flags = part[0] + (after if isinstance(after, bytes) else b"")
            found[_digest(part[1]), "".join(sorted(v for k, v in letters.items() if k in flags))] += 1
    return found


def test_mbsync_both_ways(stack: Stack, account: str, tmp_path: Path) -> None:
    with imap(stack, account, PASSWORD) as client:
        for number in range(MANY):
            flags = r"(\Seen)" if number % 3 == 0 else ""
            text = b"Subject: old %d\r\nFrom: x@elsewhere.test\r\n\r\n%s\r\n" % (number, b"text " * number)
            assert client.append("INBOX", flags, "", text)[0] == "OK"
    local = Mbsync(stack, account, tmp_path)
    local.sync()
    assert sum(local.contents().values()) == MANY
    assert local.contents() == _on_server(stack, account)

    _change_here(local)
    with imap(stack, account, PASSWORD) as client:
        client.select("INBOX")
        client.uid("STORE", "10:20", "+FLAGS", r"(\Flagged)")
        client.uid("STORE", "30:39", "+FLAGS", r"(\Deleted)")
        client.expunge()
        client.append("INBOX", "", "", b"Subject: new on the server\r\n\r\nx\r\n")
        client.create("Server/Side")
        client.append("Server/Side", "", "", b"Subject: filed on the server\r\n\r\nx\r\n")
    local.sync()
    local.sync()  # flags that changed there while we copied come the second time
    there = _on_server(stack, account)
    assert local.contents() == there
    assert sum(there.values()) == MANY - 10 - 5 + 2
    for name in ("Local", "Server/Side"):
        assert local.contents(name) == _on_server(stack, account, name)
        assert sum(local.contents(name).values()) == 1


def _change_here(local: Mbsync) -> None:
    """Mark, delete and add messages, and make a folder, as a mail program on the Maildir would."""
    box = local.box()
    keys = sorted(key for key in box.iterkeys() if b"Subject: old 2" in box.get_bytes(key)[:200])
    for key in keys[:5]:
        box.remove(key)
    for key in keys[5:10]:
        marked = box[key]
        marked.add_flag("SR")
        box[key] = marked
    box.add(b"Subject: new in the Maildir\n\ntext\n")
    made = mailbox.Maildir(local.folder / "Local", create=True)
    made.add(b"Subject: filed in the Maildir\n\ntext\n")


# mutt


MUTTRC = """
set realname = "Alice"
set from = "{user}"
set use_from = yes
set hostname = "packetboat.test"
set smtp_url = "smtp://{login}@{host}:{submission}/"
set smtp_pass = "{password}"
set imap_user = "{user}"
set imap_pass = "{password}"
set ssl_force_tls = yes
set ssl_ca_certificates_file = "{certificate}"
set certificate_file = "{certificate}"
set ssl_verify_host = yes
set record = "imaps://{login}@{host}:{imaps}/Sent"
set header_cache = ""
set wait_key = no
set pipe_decode = no
set delete = yes
set mark_old = no
set sleep_time = 0
set folder = "{folder}"
set tmpdir = "{folder}"
set imap_check_subscribed = no
"""


class Mutt:
    """mutt with a configuration for one account."""

    def __init__(self, stack: Stack, account: str, folder: Path) -> None:
        needs("mutt", "script")
        self._rc = folder / "muttrc"
        self._box = f"imaps://{account.replace('@', '%40')}@{stack.host}:{stack.ports.imaps}"
        self._rc.write_text(
            MUTTRC.format(
                user=account, login=account.replace("@", "%40"), host=stack.host, password=PASSWORD,
                submission=stack.ports.submission, imaps=stack.ports.imaps,
                certificate=stack.data / "tls" / "cert.pem", folder=folder,
            )
        )  # fmt: skip

    def send(self, subject: str, recipient: str, text: str, *attached: Path) -> None:
        files = [str(word) for path in attached for word in ("-a", path)]
        run("mutt", "-n", "-F", self._rc, "-s", subject, *files, "--", recipient, input=text.encode())

    def read(self, box: str, keys: str) -> None:
        """Open a mailbox on a terminal and press keys."""
        command = ["mutt", "-n", "-F", str(self._rc), "-f", f"{self._box}/{box}", "-e", f'push "{keys}"']
        run("script", "-qec", shlex.join(command), "/dev/null", env={"TERM": "xterm"})


def test_mutt_sends_and_keeps_a_copy(stack: Stack, account: str, tmp_path: Path) -> None:
    attached = tmp_path / "notes.txt"
    attached.write_text("Größe\n" * 500)
    Mutt(stack, account, tmp_path).send("from mutt", BOB, "text by mutt\n", attached)
    parsed = email.message_from_bytes(received(stack, BOB, "from mutt"), policy=email.policy.default)
    assert parsed["From"].addresses[0].addr_spec == account
    [part] = parsed.iter_attachments()
    assert part.get_content().splitlines() == ["Größe"] * 500
    assert b"text by mutt" in received(stack, account, "from mutt", password=PASSWORD, mailbox="Sent")


def test_mutt_reads_marks_and_deletes(stack: Stack, account: str, tmp_path: Path) -> None:
    deliver(stack, account, 4)
    out = tmp_path / "read.eml"
    mutt = Mutt(stack, account, tmp_path)
    mutt.read(
        "INBOX",
        f"<search>~s 'number 2'<enter><pipe-message>cat > {out}<enter><flag-message>"
        "<search>~s 'number 0'<enter><delete-message><sync-mailbox><quit>",
    )
    assert b"Subject: number 2\n" in out.read_bytes().replace(b"\r\n", b"\n")
    with imap(stack, account, PASSWORD) as client:
        client.select("INBOX")
        assert search(client, "FLAGGED") == ["3"]
        assert search(client, "ALL") == ["2", "3", "4"]
