"""Real clients against a real worker: smtplib and swaks; what they sent is in the journal, byte by byte."""

from __future__ import annotations

import contextlib
import re
import shutil
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from redis import Redis

from shared.journal.record import LARGE_THRESHOLD
from shared.message.envelope import Lane
from tests.integration.mta.conftest import PASSWORDS, RunningMta
from tests.tools.certificates import self_signed

StartMta = Callable[..., RunningMta]
MESSAGE = b"From: x@b.test\r\nTo: alice@a.test\r\nSubject: hello\r\n\r\n.dots\r\n..more\r\n\r\nbody\r\n"
RECEIVED = re.compile(rb"Received: from \S+ \(\[127\.0\.0\.1\]\)\s+by mail\.a\.test\s+with \w+[^;]+;[^\n]+\r\n", re.S)


@contextmanager
def logged_in(mta: RunningMta, user: str = "alice@a.test") -> Iterator[smtplib.SMTP]:
    """A submission session after STARTTLS and AUTH."""
    context = ssl.create_default_context(cafile=str(mta.certificate))
    context.check_hostname = False
    with smtplib.SMTP("127.0.0.1", mta.submission, timeout=20) as client:
        client.starttls(context=context)
        client.login(user, PASSWORDS[user])
        yield client


def test_a_message_for_a_local_account(mta: RunningMta) -> None:
    with smtplib.SMTP("127.0.0.1", mta.mx, timeout=20) as client:
        client.sendmail("x@b.test", ["alice@a.test", "Sales+tag@a.test"], MESSAGE)
    mta.stop()
    [(envelope, data)] = mta.accepted()
    assert envelope.sender == "x@b.test"
    assert [(r.address, r.lane) for r in envelope.recipients] == [
        ("alice@a.test", Lane.DELIVERY),
        ("Sales+tag@a.test", Lane.DELIVERY),
    ]
    received = RECEIVED.match(data)
    assert received is not None
    assert f"id {envelope.id};".encode() in received[0]
    assert b" for <" not in received[0]
    assert data[received.end() :] == MESSAGE
    assert (envelope.origin.service, envelope.origin.protocol, envelope.origin.ip) == ("mx", "ESMTP", "127.0.0.1")


def test_references_reach_the_queue(mta: RunningMta, redis_url: str) -> None:
    with logged_in(mta) as client:
        client.sendmail("alice@a.test", ["bob@a.test", "y@elsewhere.test"], MESSAGE)
    mta.stop()  # draining pushes what is left
    [(envelope, _)] = mta.accepted()
    redis = Redis.from_url(redis_url, decode_responses=True)
    for lane in Lane:
        entries = {fields["e"] for _, fields in redis.xrange(f"pb:{lane.value}:stream")}
        assert envelope.id in entries
    redis.close()


def test_submission_with_starttls(mta: RunningMta) -> None:
    with logged_in(mta) as client:
        assert client.has_extn("pipelining") and client.has_extn("chunking") and not client.has_extn("starttls")
        with pytest.raises(smtplib.SMTPSenderRefused) as refused:
            client.sendmail("bob@a.test", ["x@elsewhere.test"], MESSAGE)
        assert refused.value.smtp_code == 553
        client.sendmail("alice@a.test", ["x@elsewhere.test"], b"Bcc: z@elsewhere.test\r\nSubject: s\r\n\r\nbody\r\n")
    mta.stop()
    [(envelope, data)] = mta.accepted()
    assert [r.lane for r in envelope.recipients] == [Lane.RELAY]
    assert envelope.origin.account == "alice@a.test" and envelope.origin.protocol == "ESMTPSA"
    assert envelope.origin.tls.startswith("TLSv1.3 TLS_")
    assert b"z@elsewhere.test" not in data and b"\r\nDate: " in data and b"\r\nMessage-ID: <" in data


def test_submission_needs_tls_and_login(mta: RunningMta) -> None:
    with smtplib.SMTP("127.0.0.1", mta.submission, timeout=20) as client:
        client.ehlo()
        assert not client.has_extn("auth")
        assert client.docmd("MAIL FROM:<alice@a.test>")[0] == 530
        assert client.docmd("AUTH PLAIN AGFsaWNlQGEudGVzdAB3b25kZXJsYW5k")[0] == 538


def test_implicit_tls(mta: RunningMta) -> None:
    context = ssl.create_default_context(cafile=str(mta.certificate))
    context.check_hostname = False
    with smtplib.SMTP_SSL("127.0.0.1", mta.submissions, timeout=20, context=context) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("alice@a.test", "wrong")
        client.login("alice@a.test", PASSWORDS["alice@a.test"])
        client.sendmail("alice@a.test", ["bob@a.test"], MESSAGE)
    mta.stop()
    assert [envelope.origin.protocol for envelope, _ in mta.accepted()] == ["ESMTPSA"]


def test_plain_text_at_the_tls_port(mta: RunningMta, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_connection(("127.0.0.1", mta.submissions), timeout=20) as raw:
        raw.sendall(b"EHLO c.test\r\n")
        while raw.recv(1000):  # at most an alert
            pass
    assert mta.worker._desk.gate.open == 0
    output = capfd.readouterr()
    assert "Traceback" not in output.out + output.err


def test_nothing_said_before_tls_counts_after_it(mta: RunningMta) -> None:
    """RFC 3207 §6: commands put behind STARTTLS by somebody in between."""
    with socket.create_connection(("127.0.0.1", mta.mx), timeout=20) as raw:
        raw.recv(1000)
        raw.sendall(b"EHLO c.test\r\n")
        raw.recv(1000)
        raw.sendall(b"STARTTLS\r\nMAIL FROM:<evil@x.test>\r\nRCPT TO:<alice@a.test>\r\n")
        assert raw.recv(1000) == b"220 2.0.0 Ready to start TLS\r\n"
        context = ssl.create_default_context(cafile=str(mta.certificate))
        with context.wrap_socket(raw, server_hostname="mail.a.test") as tls:
            tls.sendall(b"MAIL FROM:<x@b.test>\r\n")
            assert tls.recv(1000) == b"503 5.5.1 EHLO first\r\n"
            tls.sendall(b"EHLO c.test\r\n")
            assert b"STARTTLS" not in tls.recv(1000)


def test_certificates_follow_their_files(mta: RunningMta) -> None:
    context = ssl.create_default_context(cafile=str(mta.certificate))
    old = smtplib.SMTP("127.0.0.1", mta.mx, timeout=20, local_hostname="c.test")
    old._host = "mail.a.test"  # type: ignore[attr-defined]
    old.starttls(context=context)
    renewed = self_signed(mta.certificate.parent / "renewed", "mail.a.test")
    shutil.move(renewed.certificate, mta.certificate)
    shutil.move(renewed.key, mta.settings.key)
    fresh = ssl.create_default_context(cafile=str(mta.certificate))
    time.sleep(1.1)
    with smtplib.SMTP("127.0.0.1", mta.mx, timeout=20) as new:
        new._host = "mail.a.test"  # type: ignore[attr-defined]
        new.starttls(context=fresh)
        assert new.noop()[0] == 250
    assert old.noop()[0] == 250  # the session under the old one goes on
    old.quit()


@pytest.mark.parametrize("through_tls", [False, True])
def test_a_large_message_is_streamed(mta: RunningMta, through_tls: bool) -> None:
    data = MESSAGE + b"".join(b".%07d" % n + b"x" * 68 + b"\r\n" for n in range(3 * LARGE_THRESHOLD // 78))
    if through_tls:
        with logged_in(mta) as client:
            client.sendmail("alice@a.test", ["bob@a.test"], data)
    else:
        with smtplib.SMTP("127.0.0.1", mta.mx, timeout=20) as client:
            client.sendmail("x@b.test", ["bob@a.test"], data)
    mta.stop()
    [(_, got)] = mta.accepted()
    assert got.endswith(data[200:])
    assert len(list(mta.settings.journal.glob("large/*/*.msg"))) == 1


def test_many_clients_at_once(mta: RunningMta) -> None:
    def send(number: int) -> None:
        with smtplib.SMTP("127.0.0.1", mta.mx, timeout=20) as client:
            for count in range(10):
                client.sendmail("x@b.test", ["alice@a.test"], b"X-Number: %d-%d\r\n" % (number, count) + MESSAGE)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    mta.stop()
    entries = mta.accepted()
    numbers = {re.search(rb"X-Number: (\S+)", data)[1] for _, data in entries}  # type: ignore[index]
    assert len(entries) == len(numbers) == 200


def test_mail_is_accepted_without_redis(start_mta: StartMta) -> None:
    mta = start_mta(redis_url="unix:///nonexistent/redis.sock")
    with smtplib.SMTP("127.0.0.1", mta.mx, timeout=20) as client:
        client.sendmail("x@b.test", ["alice@a.test"], MESSAGE)
    assert mta.problems() == []
    with logged_in(mta) as client:
        client.sendmail("alice@a.test", ["bob@a.test"], MESSAGE)
    mta.stop()
    assert len(mta.accepted()) == 2


def test_trusted_networks(start_mta: StartMta) -> None:
    mta = start_mta(trusted_networks=["127.0.0.0/8"])
    with smtplib.SMTP("127.0.0.1", mta.submission, timeout=20) as client:
        client.sendmail("app@a.test", ["x@elsewhere.test"], MESSAGE)
    mta.stop()
    assert [envelope.origin.protocol for envelope, _ in mta.accepted()] == ["ESMTP"]


def test_connection_limit_on_real_sockets(start_mta: StartMta) -> None:
    mta = start_mta(mta_max_connections_per_ip=2)
    open_now = [socket.create_connection(("127.0.0.1", mta.mx), timeout=20) for _ in range(3)]
    assert [connection.recv(1000)[:3] for connection in open_now] == [b"220", b"220", b"421"]
    open_now[0].close()
    time.sleep(0.1)
    with socket.create_connection(("127.0.0.1", mta.submission), timeout=20) as another:
        assert another.recv(1000)[:3] == b"220"
    for connection in open_now:
        connection.close()


def test_a_client_that_reads_no_replies_is_cut_off(start_mta: StartMta, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.mta.connection.LINGER", 0.3)
    mta = start_mta(mta_command_time=0.5, mta_max_commands=10_000_000)
    with socket.create_connection(("127.0.0.1", mta.mx), timeout=0.3) as flood:
        with contextlib.suppress(TimeoutError):
            while True:
                flood.sendall(b"HELP\r\n" * 10_000)
        deadline = time.monotonic() + 5
        while mta.worker._desk.sessions and time.monotonic() < deadline:
            time.sleep(0.05)
        assert mta.worker._desk.sessions == set() and mta.worker._desk.gate.open == 0


def test_draining_finishes_what_was_begun(mta: RunningMta) -> None:
    with smtplib.SMTP("127.0.0.1", mta.mx, timeout=20) as busy, smtplib.SMTP("127.0.0.1", mta.mx, timeout=20) as idle:
        for command in ("EHLO c.test", "MAIL FROM:<x@b.test>", "RCPT TO:<alice@a.test>"):
            assert busy.docmd(command)[0] == 250
        stopping = threading.Thread(target=mta.stop)
        stopping.start()
        assert idle.getreply()[0] == 421
        assert busy.data(MESSAGE)[0] == 250
        assert busy.getreply()[0] == 421
        stopping.join()
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", mta.mx), timeout=5)
    assert len(mta.accepted()) == 1
    assert [path.suffix for path in mta.settings.journal.glob("20*/*")] == [".seg"]


def test_a_full_volume_is_a_452_and_not_ready(start_mta: StartMta) -> None:
    mta = start_mta(reserve_bytes=1 << 60)
    assert mta.problems() == ["the mail volume is full"]
    with smtplib.SMTP("127.0.0.1", mta.mx, timeout=20) as client:
        client.ehlo()
        assert client.docmd("MAIL FROM:<x@b.test>") == (452, b"4.3.1 the mail volume is full")


def test_a_failing_journal_ends_the_process(mta: RunningMta) -> None:
    def fail() -> None:
        raise OSError(5, "Input/output error")

    with smtplib.SMTP("127.0.0.1", mta.mx, timeout=20) as client:
        client.sendmail("x@b.test", ["alice@a.test"], MESSAGE)
        mta.worker._journal._committer._segment.sync = fail  # type: ignore[union-attr, method-assign]
        with pytest.raises(smtplib.SMTPDataError) as refused:
            client.sendmail("x@b.test", ["alice@a.test"], MESSAGE)
        assert refused.value.smtp_code == 451
    assert mta.problems() == ["the journal failed"]
    deadline = time.monotonic() + 5
    while not mta.exits and time.monotonic() < deadline:
        time.sleep(0.02)
    assert mta.exits == [1]


@pytest.mark.skipif(shutil.which("swaks") is None, reason="needs swaks (apt-get install swaks)")
@pytest.mark.parametrize(
    ("options", "status", "protocol"),
    [
        (["--to", "alice@a.test"], 0, "ESMTP"),
        (["--to", "alice@a.test", "--tls"], 0, "ESMTPS"),
        (["--to", "alice@a.test,bob@a.test", "--pipeline"], 0, "ESMTP"),
        (["--to", "nobody@a.test"], 24, ""),
        (["--to", "x@elsewhere.test"], 24, ""),
        (["--to", "x@elsewhere.test", "--tls", "--auth", "PLAIN"], 0, "ESMTPSA"),
        (["--to", "x@elsewhere.test", "--tls", "--auth", "LOGIN"], 0, "ESMTPSA"),
        (["--to", "x@elsewhere.test", "--tls-on-connect", "--auth", "PLAIN"], 0, "ESMTPSA"),
        (["--to", "x@elsewhere.test", "--tls", "--auth", "PLAIN", "--auth-password", "wrong"], 28, ""),
    ],
)
def test_swaks(mta: RunningMta, options: list[str], status: int, protocol: str) -> None:
    port = mta.mx
    if "--auth" in options:
        port = mta.submissions if "--tls-on-connect" in options else mta.submission
        options = ["--auth-user", "alice@a.test", "--auth-password", PASSWORDS["alice@a.test"], *options]
    command = ["swaks", "--server", "127.0.0.1", "--port", str(port), "--from", "alice@a.test", "--timeout", "20"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done.stdout
    mta.stop()
    assert [envelope.origin.protocol for envelope, _ in mta.accepted()] == ([protocol] if protocol else [])
