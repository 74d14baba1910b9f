"""Scanners and milters at the mta: real OpenDKIM, and fakes for what goes wrong."""

from __future__ import annotations

import re
import smtplib
import socket
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

import pytest

from shared.message.envelope import Lane
from shared.message.verdict import Action
from shared.milter.limits import MAX_PROGRESS
from tests.integration.mta.conftest import PASSWORDS, RunningMta
from tests.tools import daemons

_UINT = struct.Struct(">I")
Answer = Callable[[bytes, bytes], list[tuple[bytes, bytes]]]


def message(body: str = "Hello.\n") -> EmailMessage:
    text = EmailMessage()
    text["From"], text["To"], text["Subject"] = "a@out.test", "alice@a.test", "hello"
    text["Date"], text["Message-ID"] = "Mon, 23 Nov 2026 04:00:00 +0000", "<1@out.test>"
    text.set_content(body)
    return text


def scanners(folder: Path, text: str) -> Path:
    path = folder / "scanners.toml"
    path.write_text(text)
    return path


def send(mta: RunningMta, text: EmailMessage | None = None, to: str | list[str] = "alice@a.test") -> None:
    with smtplib.SMTP("127.0.0.1", mta.mx) as client:
        client.send_message(text or message(), "a@out.test", to)


def headers(mta: RunningMta) -> bytes:
    ((_, octets),) = mta.accepted()
    return octets.partition(b"\r\n\r\n")[0]


class FakeMilter(socketserver.ThreadingTCPServer):
    """A milter that continues, but for what `answer` says of a command's letter and data."""

    daemon_threads = allow_reuse_address = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), _MilterHandler)
        self.answer = answer
        self.seen: list[tuple[bytes, bytes]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _MilterHandler(socketserver.BaseRequestHandler):
    server: FakeMilter

    def handle(self) -> None:
        stream = self.request.makefile("rb")
        while head := stream.read(4):
            packet = stream.read(_UINT.unpack(head)[0])
            letter, data = packet[:1], packet[1:]
            self.server.seen.append((letter, data))
            if letter == b"O":
                replies = [(b"O", struct.pack(">III", 6, 0x1FF, 0))]
            elif letter in (b"D", b"A", b"Q", b"K"):
                replies = []
            else:
                replies = self.server.answer(letter, data) or [(b"c", b"")]
            for code, text in replies:
                self.request.sendall(_UINT.pack(1 + len(text)) + code + text)


@contextmanager
def fake_milter(answer: Answer) -> Iterator[FakeMilter]:
    with FakeMilter(answer) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def one(letter: bytes, *replies: tuple[bytes, bytes]) -> Answer:
    """Answer so to one command."""
    return lambda said, _data: list(replies) if said == letter else []


@pytest.fixture
def start(start_mta: Callable[..., RunningMta], tmp_path: Path) -> Callable[[str], RunningMta]:
    return lambda text: start_mta(scanners=scanners(tmp_path, text))


def milter(address: str, more: str = "") -> str:
    return f'[m]\ntype = "milter"\naddress = "{address}"\ntimeout = 5\n{more}'


def test_opendkim_signs_what_users_submit(start_mta: Callable[..., RunningMta], tmp_path: Path) -> None:
    with daemons.opendkim(tmp_path / "dkim", "a.test", signs=True) as port:
        mta = start_mta(
            scanners=scanners(tmp_path, milter(f"127.0.0.1:{port}", 'listeners = ["submission"]\n')),
            allow_plaintext_auth=True,
        )
        text = message()
        del text["From"], text["Message-ID"]
        text["From"] = "alice@a.test"
        with smtplib.SMTP("127.0.0.1", mta.submission) as client:
            client.login("alice@a.test", PASSWORDS["alice@a.test"])
            client.send_message(text, "alice@a.test", "bob@a.test")
        said = headers(mta)
    assert b"\nDKIM-Signature: v=1" in said
    assert re.search(rb"d=a\.test", said)
    assert mta.accepted()[0][0].verdicts[0].reason.startswith("changed: +DKIM-Signature")


def test_opendkim_says_what_it_verified(start: Callable[[str], RunningMta], tmp_path: Path) -> None:
    with daemons.opendkim(tmp_path / "dkim", "a.test", signs=False) as port:
        mta = start(milter(f"127.0.0.1:{port}"))
        send(mta)
        assert re.search(rb"(?i)authentication-results:[^\n]*\n?[^\n]*dkim=none", headers(mta))


def test_a_milter_changes_header_body_and_recipients(start: Callable[[str], RunningMta]) -> None:
    changes = one(
        b"E",
        (b"h", b"X-Last\0end\0"),
        (b"i", _UINT.pack(0) + b"X-First\0begin\0"),
        (b"m", _UINT.pack(1) + b"Subject\0changed\0"),
        (b"m", _UINT.pack(1) + b"Message-ID\0\0"),
        (b"b", b"New "),
        (b"p", b""),
        (b"b", b"body.\r\n"),
        (b"+", b"<bob@a.test>\0"),
        (b"-", b"<sales@a.test>\0"),
        (b"e", b"<other@out.test>\0"),
        (b"c", b""),
    )
    with fake_milter(changes) as server:
        mta = start(milter(server.address))
        send(mta, to=["alice@a.test", "sales@a.test"])
        ((envelope, octets),) = mta.accepted()
    head, _, body = octets.partition(b"\r\n\r\n")
    fields = head.split(b"\r\n")
    assert b"X-First: begin" in fields and fields[-1] == b"X-Last: end"
    assert b"Subject: changed" in fields and b"Message-ID" not in head
    assert body == b"New body.\r\n"
    assert [r.address for r in envelope.recipients] == ["alice@a.test", "bob@a.test"]
    assert envelope.sender == "other@out.test"


def test_a_milter_sees_the_session(start: Callable[[str], RunningMta]) -> None:
    with fake_milter(lambda letter, data: []) as server:
        mta = start(milter(server.address))
        send(mta)
        send(mta)
    letters = b"".join(letter for letter, _ in server.seen if letter != b"D")
    assert letters.count(b"C") == 2
    assert re.fullmatch(rb"(OCHMRTL+NB+EQ){2}", letters)
    assert (b"M", b"<a@out.test>\0") in [(a, b[:13]) for a, b in server.seen]
    assert any(letter == b"D" and data[:1] == b"C" and b"j\0mail.a.test\0" in data for letter, data in server.seen)


@pytest.mark.parametrize("letter", [b"C", b"H", b"M"])
def test_a_refusal_before_the_recipients_is_the_reply_to_mail(
    letter: bytes, start: Callable[[str], RunningMta]
) -> None:
    with fake_milter(one(letter, (b"y", b"554 5.7.9 Not you\0"))) as server:
        mta = start(milter(server.address))
        with smtplib.SMTP("127.0.0.1", mta.mx) as client:
            client.ehlo("x.test")
            assert client.mail("a@out.test") == (554, b"5.7.9 Not you")
            assert client.mail("a@out.test")[0] == 554
    assert mta.accepted() == []


def test_a_milter_that_only_asks_for_more_time_is_down(start: Callable[[str], RunningMta]) -> None:
    with fake_milter(one(b"E", *[(b"p", b"")] * (MAX_PROGRESS + 1))) as server:
        mta = start(milter(server.address, 'when_down = "tempfail"\n'))
        with smtplib.SMTP("127.0.0.1", mta.mx) as client, pytest.raises(smtplib.SMTPDataError, match="451"):
            client.send_message(message(), "a@out.test", ["alice@a.test"])
    with fake_milter(one(b"E", *[(b"p", b"")] * (MAX_PROGRESS - 1), (b"a", b""))) as server:
        mta = start(milter(server.address, 'when_down = "tempfail"\n'))
        with smtplib.SMTP("127.0.0.1", mta.mx) as client:
            client.send_message(message(), "a@out.test", ["alice@a.test"])


def test_a_refused_recipient_is_left_out(start: Callable[[str], RunningMta]) -> None:
    def answer(letter: bytes, data: bytes) -> list[tuple[bytes, bytes]]:
        return [(b"r", b"")] if letter == b"R" and b"bob" in data else []

    with fake_milter(answer) as server:
        mta = start(milter(server.address))
        with smtplib.SMTP("127.0.0.1", mta.mx) as client:
            refused = client.send_message(message(), "a@out.test", ["alice@a.test", "bob@a.test"])
    assert set(refused) == {"bob@a.test"}
    assert [r.address for r in mta.accepted()[0][0].recipients] == ["alice@a.test"]


def test_a_milter_discards_and_the_mda_is_told(start: Callable[[str], RunningMta]) -> None:
    with fake_milter(one(b"E", (b"d", b""))) as server:
        mta = start(milter(server.address))
        send(mta)
        ((envelope, _),) = mta.accepted()
    assert envelope.verdicts[0].action is Action.DISCARD
    assert [r.lane for r in envelope.recipients] == [Lane.DELIVERY]


def test_a_long_message_goes_through_a_milter_that_replaces_its_body(start: Callable[[str], RunningMta]) -> None:
    body = b"0123456789abcdef\r\n" * 30_000
    pieces = [(b"b", body[start : start + 60_000]) for start in range(0, len(body), 60_000)]
    with fake_milter(one(b"E", *pieces, (b"c", b""))) as server:
        mta = start(milter(server.address))
        send(mta, message("x" * 70 + "\n" + "line\n" * 100_000))
        ((_, octets),) = mta.accepted()
        files = list((mta.settings.journal / "large").rglob("*.msg"))
    assert octets.endswith(b"\r\n\r\n" + body)
    assert sum(len(data) for letter, data in server.seen if letter == b"B") > 500_000
    assert len(files) == 1  # the old body is gone


@pytest.mark.parametrize(("policy", "outcome"), [("skip", "accepted"), ("tempfail", "451"), ("hold", "quarantine")])
@pytest.mark.parametrize("kind", ["milter", "clamav", "rspamd", "spamassassin", "command"])
def test_a_scanner_that_is_down_has_its_policy(
    kind: str, policy: str, outcome: str, start: Callable[[str], RunningMta]
) -> None:
    port = daemons.free_port()
    where = {
        "rspamd": f'url = "http://127.0.0.1:{port}"',
        "command": 'command = ["/nonexistent/scanner"]',
    }.get(kind, f'address = "127.0.0.1:{port}"')
    mta = start(f'[s]\ntype = "{kind}"\n{where}\nwhen_down = "{policy}"\n')
    if outcome == "451":
        with pytest.raises(smtplib.SMTPException) as refused:
            send(mta)
        assert "451" in str(refused.value) or getattr(refused.value, "smtp_code", 0) == 451
        assert mta.accepted() == []
        return
    send(mta)
    ((envelope, octets),) = mta.accepted()
    (verdict,) = envelope.verdicts
    assert verdict.failed
    assert verdict.action is (Action.QUARANTINE if outcome == "quarantine" else Action.NONE)
    assert b"X-Packetboat-Unscanned: s\r\n" in octets


@pytest.mark.parametrize("kind", ["milter", "clamav", "rspamd", "spamassassin"])
@pytest.mark.parametrize("fault", ["silent", "garbage", "hangs up"])
def test_a_scanner_that_misbehaves_is_left_after_its_time(
    kind: str, fault: str, start: Callable[[str], RunningMta]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_misbehave, args=(server, fault), daemon=True).start()
        port = server.getsockname()[1]
        where = f'url = "http://127.0.0.1:{port}"' if kind == "rspamd" else f'address = "127.0.0.1:{port}"'
        mta = start(f'[s]\ntype = "{kind}"\n{where}\ntimeout = 0.5\n')
        send(mta)
    assert mta.accepted()[0][0].verdicts[0].failed


def _misbehave(server: socket.socket, fault: str) -> None:
    held = []
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        if fault == "garbage":
            client.sendall(b"\xff\x00 what is this\r\n\r\n" * 10)
            held.append(client)
        elif fault == "silent":
            held.append(client)
        else:
            client.close()


def test_a_command_refuses_with_its_own_words_and_is_ended_in_time(
    start: Callable[[str], RunningMta], tmp_path: Path
) -> None:
    program = tmp_path / "check"
    program.write_text(
        '#!/bin/sh\ngrep -q "Subject: slow" && sleep 60\n'
        'case "$SENDER" in a@out.test) echo "no mail from $SENDER, $CLIENT_IP"; exit 1;; esac\n'
    )
    program.chmod(0o755)
    mta = start(f'[check]\ntype = "command"\ncommand = ["{program}"]\ntimeout = 3\n')
    with pytest.raises(smtplib.SMTPDataError, match=r"no mail from a@out\.test, 127\.0\.0\.1"):
        send(mta)
    slow = message()
    slow.replace_header("Subject", "slow")
    send(mta, slow)  # when_down: skip
    assert mta.accepted()[0][0].verdicts[0].failed


def test_somebody_elses_verdicts_are_taken_out(start: Callable[[str], RunningMta]) -> None:
    mta = start('[c]\ntype = "command"\ncommand = ["/bin/true"]\n')
    text = message()
    text["X-Spam-Flag"] = "YES"
    text["X-Spam-Status"] = "Yes, score=10 and a long line that is folded somewhere tests=SPOOFED"
    send(mta, text)
    said = headers(mta)
    assert b"X-Spam" not in said and b"SPOOFED" not in said
    assert b"Subject: hello" in said


def test_lmtp_is_scanned_where_the_operator_says_so(start: Callable[[str], RunningMta]) -> None:
    mta = start(
        '[no]\ntype = "command"\ncommand = ["/bin/false"]\nlisteners = ["lmtp"]\n'
        '[other]\ntype = "command"\ncommand = ["/bin/false"]\nlisteners = ["submission"]\n'
    )
    with smtplib.LMTP("127.0.0.1", 24 + mta.settings.port_base) as client:
        client.ehlo()
        assert client.mail("a@out.test")[0] == client.rcpt("alice@a.test")[0] == 250
        assert client.data(b"Subject: x\r\n\r\nx\r\n") == (550, b"5.7.1 The message is refused")
    send(mta)
    assert [envelope.verdicts for envelope, _ in mta.accepted()] == [()]
