"""The promise: what got a 250 arrives, whatever is killed, stopped, wiped or filled meanwhile.

Local recipients: exactly once in each mailbox. Remote ones: at least once at the sink. What is made
on the way (redirects, bounces): once each. The numbers are printed (`pytest -s`).
"""

from __future__ import annotations

import contextlib
import imaplib
import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.chaos import Chaos
from tests.faults.volume import small_volume
from tests.tools.certificates import trusting_context
from tests.tools.dnsserver import DnsServer
from tests.tools.sink import Rule, SinkProcess
from tests.tools.smtp_load import LoadPlan, SmtpLoad
from tests.tools.stack import Stack

pytestmark = [pytest.mark.fault, pytest.mark.timeout(3600)]

LONG = os.environ.get("PACKETBOAT_LONG") == "1"
MESSAGES = 50_000 if LONG else 5_000
KILLS = 200 if LONG else 24
SETTLE_TIME = 600.0 if LONG else 240.0  # seconds for the rest to arrive once nothing is broken any more
LEASE = 2.0  # seconds
VOLUME = 1500 if LONG else 400  # megabytes
SEED = int(os.environ.get("PACKETBOAT_SEED", "0")) or int(time.time())

DOMAIN, REMOTE = "packetboat.test", "remote.test"
ACCOUNTS = [f"user{number}@{DOMAIN}" for number in range(8)]
PASSWORD = "correct horse"
ALICE = f"alice@{DOMAIN}"
BOTH, FORWARD = f"both@{DOMAIN}", f"forward@{DOMAIN}"
FORWARD_TARGET, REFUSED = f"forwarded@{REMOTE}", f"refused@{REMOTE}"
BOTH_TARGETS = ACCOUNTS[:2]

ENVIRONMENT = {
    "PACKETBOAT_RELAY_ALLOW_PRIVATE": '["127.0.0.0/8"]',
    "PACKETBOAT_RELAY_RETRY_FIRST": "1",
    "PACKETBOAT_RELAY_RETRY_MOST": "2",
    "PACKETBOAT_QUEUE_LEASE": str(LEASE),
    "PACKETBOAT_SWEEP_INTERVAL": "2",
    "PACKETBOAT_MDA_MAINTENANCE_INTERVAL": "1",
    "PACKETBOAT_JOURNAL_SEGMENT_AGE": "3",
    "PACKETBOAT_JOURNAL_SEGMENT_BYTES": str(1024 * 1024),
    "PACKETBOAT_RESERVE_BYTES": str(32 * 1024 * 1024),
    "PACKETBOAT_MTA_MESSAGES_PER_HOUR": "1000000",
    "PACKETBOAT_MTA_MAX_CONNECTIONS_PER_IP": "200",
}

# An id that a client sent again after it lost our 250 is two entries: so entries are counted, by the id
# that the 250 told and that stands in the Received field of acceptance.
_ENTRY = re.compile(rb"\bid[ \t\r\n]+([0-7][0-9A-HJKMNP-TV-Z]{25})\b")


@pytest.fixture
def remote(tmp_path: Path) -> Iterator[tuple[DnsServer, SinkProcess]]:
    """Another server of the world, and the DNS that leads to it."""
    with DnsServer() as dns, SinkProcess(tmp_path / "sink") as sink:
        dns.set_zone(REMOTE, "@ MX 10 mx\nmx A 127.0.0.1\n")
        sink.set_rules(
            Rule("RCPT", reply="550 5.1.1 no such user here", match=REFUSED),
            Rule("RCPT", reply="451 4.3.0 come back later", match=f"later*@{REMOTE}", times=2),
        )
        yield dns, sink


def test_nothing_acknowledged_is_lost(tmp_path: Path, remote: tuple[DnsServer, SinkProcess]) -> None:
    dns, sink = remote
    with contextlib.ExitStack() as cleanup:
        volume = cleanup.enter_context(small_volume(tmp_path / "volume", VOLUME))
        stack = Stack(volume / "data", resolver=dns.address, relay_port=sink.port, workers=2, env=ENVIRONMENT)
        cleanup.enter_context(stack)
        _make_directory(stack)
        local, outgoing = _start_loads(stack, tmp_path)
        chaos = Chaos(stack, kills=KILLS, lease=LEASE, seed=SEED, volume=volume).start()
        local.join()
        outgoing.join()
        chaos.join()
        print(f"\nseed {SEED}; {dict(chaos.did)}")
        print(f"acknowledged: {len(local.acknowledged)} by the MX, {len(outgoing.acknowledged)} by submission")
        assert chaos.kills >= KILLS
        assert not local.refused and not outgoing.refused
        assert len(local.entries) + len(outgoing.entries) == MESSAGES
        stack.settle(SETTLE_TIME)
        mailboxes = {address: _entries(stack, address) for address in [*ACCOUNTS, ALICE]}
        at_sink = _sink_ids(sink)
    _check_local({**local.entries, **outgoing.entries}, mailboxes)
    _check_remote({**local.entries, **outgoing.entries}, at_sink)
    _check_bounces(outgoing.entries, mailboxes[ALICE])


def _make_directory(stack: Stack) -> None:
    for address in ACCOUNTS:
        stack.add_account(address, PASSWORD)
    stack.cli("account", "passwd", ALICE, "--password-stdin", input=PASSWORD + "\n")
    stack.cli("alias", "add", BOTH, *BOTH_TARGETS)
    stack.cli("alias", "add", FORWARD, FORWARD_TARGET)


def _start_loads(stack: Stack, folder: Path) -> tuple[SmtpLoad, SmtpLoad]:
    """Mail from the world, and mail that alice sends: half of it to the remote domain."""
    common = {"connections": 8, "per_connection": 25, "give_up_after": 1800.0 if LONG else 600.0, "pause": 0.005}
    local = LoadPlan(
        hosts=((stack.host, stack.ports.mx),),
        recipients=(*ACCOUNTS, *ACCOUNTS, BOTH, FORWARD),
        messages=MESSAGES * 2 // 3,
        **common,
    )
    outgoing = LoadPlan(
        hosts=((stack.host, stack.ports.submission),),
        recipients=(
            *(f"r{number}@{REMOTE}" for number in range(5)),
            f"later@{REMOTE}",
            REFUSED,
            *ACCOUNTS[:5],
        ),
        messages=MESSAGES - MESSAGES * 2 // 3,
        sender=ALICE,
        credentials=(ALICE, PASSWORD),
        **common,
    )
    return SmtpLoad(local, folder / "local.log").start(), SmtpLoad(outgoing, folder / "outgoing.log").start()


def _entries(stack: Stack, address: str) -> dict[str, Counter[str]]:
    """Count entries in an account's INBOX: of messages as they were sent, and of those that bounces are about."""
    context = trusting_context()
    with imaplib.IMAP4_SSL(stack.host, stack.ports.imaps, ssl_context=context) as client:
        client.login(address, PASSWORD)
        _, (count, *_) = client.select("INBOX", readonly=True)
        found: dict[str, Counter[str]] = {"sent": Counter(), "bounced": Counter()}
        last = int(count or b"0")
        for first in range(1, last + 1, 500):
            _, answers = client.fetch(f"{first}:{min(first + 499, last)}", "(BODY.PEEK[])")
            for answer in answers:
                if isinstance(answer, tuple):
                    _count(answer[1], found)
    return found


def _count(message: bytes, found: dict[str, Counter[str]]) -> None:
    kind = "bounced" if b"multipart/report" in message.partition(b"\r\n\r\n")[0] else "sent"
    found[kind][_entry(message)] += 1


def _entry(message: bytes) -> str:
    """The id that our MTA gave the message: the last Received field is the first hop's."""
    ids = _ENTRY.findall(message)
    return ids[-1].decode() if ids else "without an id"


def _sink_ids(sink: SinkProcess) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for message in sink.messages():
        for recipient in message.recipients:
            found.setdefault(recipient, Counter())[_entry(message.data)] += 1
    return found


def _check_local(acknowledged: dict[str, str], mailboxes: dict[str, dict[str, Counter[str]]]) -> None:
    missing, repeated = [], []
    for entry, recipient in acknowledged.items():
        for account in BOTH_TARGETS if recipient == BOTH else [recipient] if recipient in ACCOUNTS else []:
            times = mailboxes[account]["sent"][entry]
            if times == 0:
                missing.append((entry, account))
            elif times > 1:
                repeated.append((entry, account, times))
    print(f"local: {len(missing)} missing, {len(repeated)} more than once")
    assert not missing, missing[:10]
    assert not repeated, repeated[:10]


def _check_remote(acknowledged: dict[str, str], at_sink: dict[str, Counter[str]]) -> None:
    expected = {
        entry: FORWARD_TARGET if recipient == FORWARD else recipient
        for entry, recipient in acknowledged.items()
        if recipient == FORWARD or (recipient.endswith(REMOTE) and recipient != REFUSED)
    }
    missing = [i for i, recipient in expected.items() if not at_sink.get(recipient, Counter())[i]]
    repeats = sum(at_sink.get(recipient, Counter())[i] - 1 for i, recipient in expected.items()) + len(missing)
    print(f"remote: {len(expected)} expected, {len(missing)} missing, {repeats} repeats")
    assert not missing, missing[:10]


def _check_bounces(acknowledged: dict[str, str], alice: dict[str, Counter[str]]) -> None:
    expected = {entry for entry, recipient in acknowledged.items() if recipient == REFUSED}
    missing = [i for i in expected if not alice["bounced"][i]]
    repeated = [i for i in expected if alice["bounced"][i] > 1]
    print(f"bounces: {len(expected)} expected, {len(missing)} missing, {len(repeated)} more than once")
    assert not missing, missing[:10]
    assert not repeated, repeated[:10]
