"""A stack on a volume that fails: read-only, torn, damaged. What was acknowledged is delivered or told of."""

from __future__ import annotations

import imaplib
import smtplib
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.volume import remount, small_volume
from tests.tools.certificates import trusting_context
from tests.tools.stack import Stack

pytestmark = [pytest.mark.fault]

ALICE = "alice@packetboat.test"
SENDER = "world@elsewhere.test"
PATIENCE = 45.0  # seconds
ENVIRONMENT = {
    "PACKETBOAT_SWEEP_INTERVAL": "1",
    "PACKETBOAT_QUEUE_LEASE": "2",
    "PACKETBOAT_JOURNAL_SEGMENT_AGE": "2",
    "PACKETBOAT_RESERVE_BYTES": str(8 * 1024 * 1024),
}


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data folder whose journal is a small volume of its own."""
    with small_volume(tmp_path / "data" / "journal", 300):
        yield tmp_path / "data"


def test_a_read_only_volume_refuses_and_recovers(data: Path) -> None:
    with Stack(data, env=ENVIRONMENT) as stack:
        assert _send(stack, "before") == 250
        _until_found(stack, {"before"})
        _until_readonly(data / "journal")
        assert _until_code(stack, "during", {451, 452}), "refused with a temporary code"
        assert _until_unready(stack), "/readyz says so"
        remount(data / "journal", readonly=False)
        assert _until_code(stack, "after", {250})
        _until_found(stack, {"before", "after"})


def test_a_torn_tail_and_damage_in_the_middle_cost_only_what_they_hit(data: Path) -> None:
    """Three messages in one segment, none delivered yet: the middle one is damaged, the tail is torn."""
    stack = Stack(data, env={**ENVIRONMENT, "PACKETBOAT_UP_SERVICES": "mta"})
    with stack:
        for name in ("first", "second", "third"):
            assert _send(stack, name) == 250
        stack.kill()
    segment = _sole_segment(data)
    bytes_ = bytearray(segment.read_bytes())
    at = bytes_.index(b"Subject: second")
    bytes_[at : at + 15] = b"\xff" * 15
    segment.write_bytes(bytes(bytes_) + bytes_[:100])  # … and a record that was never finished
    _wipe_redis(data)
    stack.env = dict(ENVIRONMENT)
    with stack:
        _until_found(stack, {"first", "third"})
        assert _subjects(stack) == ["first", "third"]
        assert list((data / "journal" / "quarantine").iterdir()), "the damage is kept for a person"
        assert "journal damaged" in _logs(stack)
        assert stack.cli("queue", "list", "--json").strip() == "", "nothing is stuck"


def test_a_damaged_append_only_file_is_put_aside(tmp_path: Path) -> None:
    """As a power cut leaves it: the file has its length, and octets that say nothing."""
    stack = Stack(tmp_path / "data", env={**ENVIRONMENT, "PACKETBOAT_UP_SERVICES": "mta"})
    with stack:
        assert _send(stack, "waits") == 250
    [appended] = (stack.data / "redis" / "appendonlydir").glob("*.incr.aof")
    appended.write_bytes(appended.read_bytes() + bytes(4096))
    stack.env = dict(ENVIRONMENT)
    with stack:
        assert "append-only file is damaged and was put aside" in stack.output()
        _until_found(stack, {"waits"})


def _until_readonly(path: Path) -> None:
    """The kernel refuses as long as a segment is open for writing, which idle writers seal."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return remount(path, readonly=True)
        except subprocess.CalledProcessError:
            assert time.monotonic() < deadline
            time.sleep(0.3)


def _send(stack: Stack, subject: str) -> int:
    """Send a message to the MX; return the reply's code, 0 when there is nobody."""
    message = f"From: <{SENDER}>\r\nTo: <{ALICE}>\r\nSubject: {subject}\r\n\r\nHello\r\n"
    try:
        with smtplib.SMTP(stack.host, stack.ports.mx, timeout=20) as client:
            client.sendmail(SENDER, [ALICE], message)
    except smtplib.SMTPResponseException as error:
        return error.smtp_code
    except smtplib.SMTPRecipientsRefused as error:
        return error.recipients[ALICE][0]
    except (OSError, smtplib.SMTPServerDisconnected):
        return 0
    return 250


def _until_code(stack: Stack, subject: str, codes: set[int]) -> int:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        code = _send(stack, subject)
        if code in codes:
            return code
        assert code in {0, 421, 451, 452}, f"{subject}: {code}"
        time.sleep(0.3)
    return 0


def _until_unready(stack: Stack) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"http://{stack.host}:{8081 + stack.ports.base}/readyz", timeout=5).close()
        except urllib.error.HTTPError as error:
            return error.code == 503
        except OSError:
            return True  # it is being restarted
        time.sleep(0.2)
    return False


def _until_found(stack: Stack, wanted: set[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not wanted <= set(found := _subjects(stack)):
        assert time.monotonic() < deadline, f"{wanted - set(found)} not delivered\n{_logs(stack)[-3000:]}"
        time.sleep(0.5)


def _subjects(stack: Stack) -> list[str]:
    context = trusting_context()
    with imaplib.IMAP4_SSL(stack.host, stack.ports.imaps, ssl_context=context) as client:
        client.login(ALICE, stack.passwords()[ALICE])
        _, (count, *_) = client.select("INBOX", readonly=True)
        if not int(count or b"0"):
            return []
        _, answers = client.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    heads = [answer[1].decode() for answer in answers if isinstance(answer, tuple)]
    return sorted(head.partition(":")[2].strip() for head in heads)


def _sole_segment(data: Path) -> Path:
    (segment,) = [path for path in (data / "journal").glob("????-??-??/*") if path.suffix in (".open", ".seg")]
    return segment


def _wipe_redis(data: Path) -> None:
    for path in sorted((data / "redis").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def _logs(stack: Stack) -> str:
    return "".join(path.read_text(errors="replace") for path in sorted((stack.data / "log").glob("*.log")))
