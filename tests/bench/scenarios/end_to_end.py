"""end-to-end and scale: from the first byte to the last message readable over IMAP."""

from __future__ import annotations

import dataclasses
import random
import time
from functools import partial
from pathlib import Path

from tests.bench.accounts import ACCOUNTS
from tests.bench.corpus import Mail, corpus
from tests.bench.drivers.imap import ImapReader
from tests.bench.drivers.smtp import send_pipelined
from tests.bench.scenario import Better, Meter, Row, Samples, Scenario, Setting
from tests.bench.scenarios.durability import require_survival
from tests.bench.scenarios.sides import (
    packetboat,
    postfix_dovecot_maildir,
    postfix_dovecot_mdbox,
)
from tests.bench.server import Server

SESSIONS = 50
MAIL_SIZE = 5000
POLL_SECONDS = 0.05
ARRIVAL_TIMEOUT = 120.0
COMPARED_BODIES = 100
SCALE_WORKERS = (1, 2, 4)


def measure(row: str, server: Server, setting: Setting) -> Samples:
    """Messages per second over the whole way; every account's count must be right, 100 bodies equal."""
    mails = list(corpus(setting.sizes.end_to_end, MAIL_SIZE, run="e2e"))
    server.reset()
    server.start()
    readers = [ImapReader(server.imap, address) for address in ACCOUNTS]
    with Meter(server, setting.work) as meter:
        send_pipelined(server.smtp, mails, ACCOUNTS, SESSIONS)
        accepted = time.perf_counter()
        _wait_for_all(readers, _expected(len(mails)))
    arrival = meter.seconds
    _compare_bodies(readers, mails)
    for reader in readers:
        reader.close()
    notes: dict[str, object] = {"accepted_per_second": round(len(mails) / (accepted - meter._begin))}
    notes |= require_survival(server, ACCOUNTS, len(mails))
    return {row: meter.sample(len(mails) / arrival, work=len(mails), notes=notes)}


def _expected(messages: int) -> list[int]:
    """How many messages each account gets when they are dealt out in turn."""
    share, rest = divmod(messages, len(ACCOUNTS))
    return [share + (number < rest) for number in range(len(ACCOUNTS))]


def _wait_for_all(readers: list[ImapReader], expected: list[int]) -> None:
    """Return once every STATUS is right. Accounts are asked in turn, so few questions load the servers."""
    deadline = time.monotonic() + ARRIVAL_TIMEOUT
    for reader, count in zip(readers, expected, strict=True):
        while (found := reader.status("INBOX")) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{found} of {count} messages in an account after {ARRIVAL_TIMEOUT} s")
            time.sleep(POLL_SECONDS)
        if found > count:
            raise AssertionError(f"{found} messages in an account instead of {count}")


def _compare_bodies(readers: list[ImapReader], mails: list[Mail]) -> None:
    """Fetch random messages and compare them with what was sent, below the trace headers."""
    sent = {mail.id.encode(): mail.data for mail in mails}
    rng = random.Random(len(mails))
    for _ in range(COMPARED_BODIES):
        reader = rng.choice(readers)
        number = rng.randint(1, reader.select("INBOX"))
        reader.command(b"FETCH %d (BODY.PEEK[])" % number)
        literal = reader.reply
        begin = literal.index(b"}\r\n") + 3
        size = int(literal[: begin - 3].rpartition(b"{")[2])
        message = literal[begin : begin + size]
        mail_id = message.partition(b"\r\nX-Bench-Id: ")[2].partition(b"\r\n")[0]
        if not message.endswith(sent[mail_id]):
            raise AssertionError(f"message {mail_id!r} arrived changed")


def _with_workers(workers: int, setting: Setting, work: Path) -> Server:
    return packetboat(dataclasses.replace(setting, workers=workers), work)


def _scale(workers: int) -> Scenario:
    name = f"scale-{workers}"
    return Scenario(
        name=name,
        title=f"end to end, {workers} worker processes of each of our services",
        rows=(Row(name, "messages/s", Better.HIGHER),),
        ours=partial(_with_workers, workers),
        peers={},
        measure=partial(measure, name),
    )


SCENARIOS = (
    Scenario(
        name="end-to-end",
        title="first byte to the last of all messages readable over IMAP, 100 accounts",
        rows=(Row("end-to-end", "messages/s", Better.HIGHER, 4.0),),
        ours=packetboat,
        peers={
            "postfix + dovecot mdbox": postfix_dovecot_mdbox,
            "postfix + dovecot maildir": postfix_dovecot_maildir,
        },
        measure=partial(measure, "end-to-end"),
    ),
    *(_scale(workers) for workers in SCALE_WORKERS),
)
