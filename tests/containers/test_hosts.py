"""Two hosts, each with a stack and networks of its own, exchange mail by MX."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.containers.engine import Engine
from tests.containers.project import PASSWORD, Project, entry_of
from tests.containers.test_mail import wait_for

pytestmark = [pytest.mark.container, pytest.mark.timeout(900)]

ALICE, BOB = "alice@host1.test", "bob@host2.test"


@pytest.fixture(scope="module")
def hosts(engine: Engine, fresh_stack: Project) -> Iterator[tuple[Project, Project]]:
    other = Project(engine, 2)
    other.down(forget=True)
    try:
        other.up()
        fresh_stack.add_accounts([ALICE])
        other.add_accounts([BOB])
        yield fresh_stack, other
    finally:
        other.down(forget=True)


def test_mail_goes_both_ways(hosts: tuple[Project, Project]) -> None:
    one, two = hosts
    message = wait_for(two, one.submit(ALICE, PASSWORD, BOB, "there"), BOB, timeout=60)
    assert b"mail.host1.test" in message and b"mail.host2.test" in message
    answer = wait_for(one, two.submit(BOB, PASSWORD, ALICE, "and back"), ALICE, timeout=60)
    assert b"mail.host2.test" in answer


def test_an_unknown_recipient_bounces_into_the_senders_mailbox(hosts: tuple[Project, Project]) -> None:
    one, _ = hosts
    entry = one.submit(ALICE, PASSWORD, "nobody@host2.test", "nobody")
    deadline = time.monotonic() + 60
    while True:
        bounces = [m for m in one.messages(ALICE, PASSWORD, "BODY.PEEK[]") if b"multipart/report" in m]
        if any(entry_of(bounce) == entry and b"5.1.1" in bounce for bounce in bounces):
            return
        assert time.monotonic() < deadline, one.compose("logs", "--tail", "30", "relay")
        time.sleep(0.5)
