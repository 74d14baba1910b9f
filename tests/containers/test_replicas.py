"""Replicas: work is spread over all, scaling down drains, nothing is lost while Redis or the whole stack is away."""

from __future__ import annotations

import imaplib
import smtplib
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.containers.conftest import ACCOUNTS, REMOTES
from tests.containers.project import PASSWORD, Project, entry_of, send
from tests.tools.sink import SinkProcess
from tests.tools.smtp_load import LoadPlan, SmtpLoad

pytestmark = [pytest.mark.container, pytest.mark.timeout(1200)]

ALICE = "alice@packetboat.test"
LOCAL, REMOTE = 1500, 600  # messages
SESSIONS = 30  # IMAP connections that are open at once
UNLEASED = 20  # seconds in which work must go on after scaling down; a lease lasts 60


def load(stack: Project, folder: Path, name: str, messages: int, **options: object) -> SmtpLoad:
    """Mail from the world for our accounts, through the published port."""
    plan = LoadPlan(
        hosts=(("127.0.0.1", stack.port_base + 25),),
        **{"recipients": tuple(ACCOUNTS), "messages": messages, "connections": 8, **options},  # type: ignore[arg-type]
    )
    return SmtpLoad(plan, folder / f"{name}.log").start()


def outgoing(stack: Project, folder: Path, name: str, messages: int, **options: object) -> SmtpLoad:
    """Mail from alice to the world, through submission."""
    plan = LoadPlan(
        hosts=(("127.0.0.1", stack.port_base + 587),),
        recipients=tuple(f"r@{domain}" for domain in REMOTES),
        messages=messages,
        sender=ALICE,
        credentials=(ALICE, PASSWORD),
        **{"connections": 6, **options},  # type: ignore[arg-type]
    )
    return SmtpLoad(plan, folder / f"{name}.log").start()


def check_mailboxes(stack: Project, entries: dict[str, str]) -> None:
    """Every entry that got a 250 is in its mailbox exactly once."""
    found = {account: stack.entries(account, PASSWORD) for account in ACCOUNTS}
    missing = [entry for entry, account in entries.items() if not found[account][entry]]
    repeated = [entry for entry, account in entries.items() if found[account][entry] > 1]
    print(f"\nlocal: {len(entries)} accepted, {len(missing)} missing, {len(repeated)} more than once")
    assert entries and not missing and not repeated, (missing[:5], repeated[:5])


def check_sink(sink: SinkProcess, entries: dict[str, str]) -> None:
    """Every entry that got a 250 came to the sink; repeats are told."""
    found = Counter(entry_of(message.data) for message in sink.messages())
    missing = [entry for entry in entries if not found[entry]]
    repeats = sum(found[entry] - 1 for entry in entries if found[entry])
    print(f"remote: {len(entries)} accepted, {len(missing)} missing, {repeats} repeats")
    assert entries and not missing, missing[:5]


def test_work_is_spread_over_all_replicas(stack: Project, sink: SinkProcess, tmp_path: Path) -> None:
    stack.up({"mta": 2, "mda": 4, "relay": 3, "access": 3})
    time.sleep(3)  # the proxy finds new replicas within two seconds
    counters = {"mta": "packetboat_accepted_total", "mda": "packetboat_delivered_total",
                "relay": "packetboat_relay_outcomes_total"}  # fmt: skip
    before = {name: stack.metric(name, counters[s]) for s in counters for name in stack.containers(s)}
    local, remote = load(stack, tmp_path, "local", LOCAL), outgoing(stack, tmp_path, "remote", REMOTE)
    local.join()
    remote.join()
    stack.settle()
    print()
    for service, counter in counters.items():
        shares = {name: stack.metric(name, counter) - before[name] for name in stack.containers(service)}
        print(f"{service}: {shares}")
        assert all(share > 0 for share in shares.values())
    check_mailboxes(stack, local.entries)
    check_sink(sink, remote.entries)


def test_sessions_are_spread_over_all_replicas(stack: Project) -> None:
    stack.up({"access": 3})
    time.sleep(3)
    sessions: list[imaplib.IMAP4] = []
    try:
        sessions = [stack.imap(ACCOUNTS[number % len(ACCOUNTS)], PASSWORD) for number in range(SESSIONS)]
        time.sleep(1)
        shares = {name: stack.metric(name, "packetboat_access_connections") for name in stack.containers("access")}
        print(f"\naccess: {shares}")
        assert len(shares) == 3 and all(share > 0 for share in shares.values())
        assert sum(shares.values()) == SESSIONS
    finally:
        for session in sessions:
            session.shutdown()


def test_scaling_down_drains(stack: Project, sink: SinkProcess, tmp_path: Path) -> None:
    """Leases last 60 s; what a replica held when it was told to go is done, or given back, long before that."""
    stack.up({"mda": 4, "relay": 3, "access": 3})
    local, remote = load(stack, tmp_path, "local", LOCAL), outgoing(stack, tmp_path, "remote", REMOTE)
    time.sleep(2)
    stack.compose("up", "-d", "--no-build", "--no-deps", "--scale=mda=1", "--scale=relay=1", "mda", "relay")
    local.join()
    remote.join()
    began = time.monotonic()
    stack.settle(UNLEASED)
    assert stack.leased() == 0
    print(f"\nsettled {time.monotonic() - began:.1f} s after the last 250")
    for row in stack.state():
        assert row["State"] == "running" or row["ExitCode"] in (0, "0"), row
    check_mailboxes(stack, local.entries)
    check_sink(sink, remote.entries)


def test_mail_is_accepted_while_redis_is_away(stack: Project, tmp_path: Path) -> None:
    container, network = stack.containers("redis")[0], f"{stack.name}_back"
    stack.engine.run("network", "disconnect", network, container)
    try:
        away = load(stack, tmp_path, "away", 300)
        away.join()
        print(f"\n{len(away.entries)} accepted while Redis was away")
        assert len(away.entries) == 300 and not away.refused
    finally:
        stack.engine.run("network", "connect", "--alias", "redis", network, container)
    stack.settle()
    check_mailboxes(stack, away.entries)


def test_down_and_up_keeps_everything(stack: Project, sink: SinkProcess, tmp_path: Path) -> None:
    """Messages queued in both lanes, and mailboxes, outlive every container."""
    before = {account: stack.entries(account, PASSWORD) for account in ACCOUNTS}
    stack.compose("stop", "mda", "relay")
    local, remote = load(stack, tmp_path, "local", 300), outgoing(stack, tmp_path, "remote", 120)
    local.join()
    remote.join()
    waiting = len(stack.waiting())
    stack.down()
    stack.up()
    stack.settle()
    print(f"\n{waiting} waited")
    assert waiting >= 420
    check_mailboxes(stack, local.entries)
    check_sink(sink, remote.entries)
    for account, entries in before.items():
        assert not entries - stack.entries(account, PASSWORD)


def test_a_drained_mta_gets_no_new_connections(stack: Project) -> None:
    """Clients of the published port see no error while one of two MTAs is replaced."""
    stack.up({"mta": 2})
    time.sleep(3)
    accepted = 0
    deadline = time.monotonic() + 30
    stack.compose("up", "-d", "--no-build", "--no-deps", "--scale=mta=1", "mta")
    while time.monotonic() < deadline and accepted < 50:
        with smtplib.SMTP("127.0.0.1", stack.port_base + 25, timeout=30) as smtp:
            smtp.ehlo("client.test")
            send(smtp, "x@remote0.test", ACCOUNTS[0])
            accepted += 1
    assert accepted == 50
