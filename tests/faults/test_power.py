"""A power cut: what was acknowledged is there afterwards, and no UID that a client has seen means another message."""

from __future__ import annotations

import contextlib
import imaplib
import os
import random
import re
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.volume import disk_volume
from tests.tools.certificates import trusting_context
from tests.tools.smtp_load import LoadPlan, SmtpLoad
from tests.tools.stack import Stack

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]

MEGABYTES = 512
RUNNING = (4.0, 7.0)  # seconds of load before the cut
SETTLE_TIME = 120.0
DOMAIN = "packetboat.test"
ACCOUNTS = [f"user{number}@{DOMAIN}" for number in range(3)]
READER, PASSWORD = ACCOUNTS[0], "correct horse"
ENVIRONMENT = {
    "PACKETBOAT_QUEUE_LEASE": "2",
    "PACKETBOAT_SWEEP_INTERVAL": "2",
    "PACKETBOAT_JOURNAL_SEGMENT_AGE": "3",
    "PACKETBOAT_RESERVE_BYTES": str(32 * 1024 * 1024),
    "PACKETBOAT_MTA_MAX_CONNECTIONS_PER_IP": "200",
}
_SUBJECT = re.compile(rb"(?i)subject: ([^\r\n]+)")
_UID = re.compile(rb"UID (\d+)")


class Client:
    """A thread that repeats something on an IMAP connection until the server is gone."""

    def __init__(self, stack: Stack, act: Callable[[imaplib.IMAP4], None]) -> None:
        self._connection = log_in(stack, READER)
        self._act = act
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError, imaplib.IMAP4.error):
            while True:
                self._act(self._connection)

    def join(self) -> None:
        self._thread.join(30)


class Seen:
    """What clients of one INBOX were told: subjects by UID."""

    def __init__(self) -> None:
        self.appended: dict[int, bytes] = {}
        self.fetched: dict[int, bytes] = {}

    def append(self, connection: imaplib.IMAP4) -> None:
        subject = b"append %d" % random.getrandbits(60)
        _, (answer, *_) = connection.append("INBOX", "", "", b"Subject: %b\r\n\r\ntext\r\n" % subject)
        self.appended[int(re.search(rb"APPENDUID \d+ (\d+)", answer)[1])] = subject  # type: ignore[index]

    def fetch(self, connection: imaplib.IMAP4) -> None:
        if connection.state != "SELECTED":
            connection.select("INBOX", readonly=True)
        connection.noop()
        self.fetched |= fetched(connection, f"{max(self.fetched, default=0) + 1}:*")


def log_in(stack: Stack, address: str) -> imaplib.IMAP4:
    client = imaplib.IMAP4_SSL(stack.host, stack.ports.imaps, ssl_context=trusting_context())
    client.login(address, PASSWORD)
    return client


def fetched(connection: imaplib.IMAP4, uids: str) -> dict[int, bytes]:
    """Subjects by UID."""
    _, answers = connection.uid("FETCH", uids, "(UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    found = {}
    for answer in answers:
        if isinstance(answer, tuple):
            uid, subject = _UID.search(answer[0]), _SUBJECT.search(answer[1])
            assert uid and subject, answer
            found[int(uid[1])] = subject[1]
    return found


def cut_power(stack: Stack, image: Path) -> Path:
    """Stop everything at once, and return what the disk had then."""
    pids = [stack.pid, *stack.all_pids()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    copy = image.with_name("after.img")
    subprocess.run(["cp", "--sparse=always", image, copy], check=True)
    stack.kill()
    return copy


def boot(data: Path) -> None:
    """Have the database see another boot of the machine."""
    with contextlib.closing(sqlite3.connect(data / "packetboat.db")) as database:
        database.execute("PRAGMA user_version=1")


def test_what_was_acknowledged_survives(tmp_path: Path) -> None:
    image, seen = tmp_path / "disk.img", Seen()
    with disk_volume(image, tmp_path / "before", MEGABYTES) as volume:
        stack = Stack(volume / "data", workers=2, env=ENVIRONMENT).start()
        for address in ACCOUNTS:
            stack.add_account(address, PASSWORD)
        plan = LoadPlan(((stack.host, stack.ports.mx),), tuple(ACCOUNTS), messages=1_000_000, connections=8)
        load = SmtpLoad(plan, tmp_path / "load.log").start()
        clients = [Client(stack, seen.append), Client(stack, seen.append), Client(stack, seen.fetch)]
        time.sleep(random.uniform(*RUNNING))
        told, appended = dict(load.entries), dict(seen.appended)
        image = cut_power(stack, image)
        load.stop()
        for client in clients:
            client.join()
    with disk_volume(image, tmp_path / "after") as volume:
        boot(volume / "data")
        stack = Stack(volume / "data", workers=2, env=ENVIRONMENT)
        with stack:
            stack.settle(SETTLE_TIME)
            for _ in range(20):
                seen.append(connection := log_in(stack, READER))
                connection.logout()
            check(stack, told, appended, seen)


def check(stack: Stack, told: dict[str, str], appended: dict[int, bytes], seen: Seen) -> None:
    """Compare what was told before the cut with what is there."""
    missing, repeated = [], []
    for address in ACCOUNTS:
        expected = {entry for entry, recipient in told.items() if recipient == address}
        there = entries(stack, address)
        missing += [entry for entry in expected if entry not in there]
        repeated += [entry for entry, times in there.items() if times > 1]
    connection = log_in(stack, READER)
    connection.select("INBOX", readonly=True)
    now = fetched(connection, "1:*")
    print(
        f"\n{len(told)} got a 250, {len(missing)} missing, {len(repeated)} more than once; {len(appended)} appended; "
        f"{len(seen.fetched)} seen, {len(seen.fetched.keys() - now.keys())} of them gone"
    )
    assert told and appended and seen.fetched
    assert not missing, missing[:10]
    assert not repeated, repeated[:10]
    assert {uid: now.get(uid) for uid in appended} == appended
    other = {uid: (subject, now[uid]) for uid, subject in seen.fetched.items() if now.get(uid, subject) != subject}
    assert not other, other


def entries(stack: Stack, address: str) -> dict[str, int]:
    """How often each entry of our MTA is in an INBOX."""
    connection = log_in(stack, address)
    connection.select("INBOX", readonly=True)
    _, answers = connection.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (RECEIVED)])")
    found: dict[str, int] = {}
    for answer in answers:
        if isinstance(answer, tuple):
            for entry in re.findall(rb"\bid[ \t\r\n]+([0-7][0-9A-HJKMNP-TV-Z]{25})\b", answer[1]):
                found[entry.decode()] = found.get(entry.decode(), 0) + 1
    return found
