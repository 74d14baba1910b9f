"""imap-idle: memory per idle IMAP connection."""

from __future__ import annotations

import itertools
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.bench.accounts import ACCOUNTS
from tests.bench.corpus import corpus
from tests.bench.drivers.conversations import Conversation, hold_open
from tests.bench.drivers.imap import GREETING, load, login_line, ok
from tests.bench.peers.dovecot import Dovecot, DovecotProfile, MailFormat
from tests.bench.scenario import Better, Row, Sample, Samples, Scenario, Setting
from tests.bench.scenarios.sides import packetboat
from tests.bench.server import Server
from tests.tools.certificates import trusting_context
from tests.tools.processes import proportional_memory, tree

MAIL_SIZE = 2000
SETTLE_SECONDS = 2.0
HIBERNATE_SECONDS = 8.0  # hibernate.conf says 5
OPEN_FILES = 16_384
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_INSTANCES = 8192
KIB = 1024


def prepare(server: Server, setting: Setting) -> None:
    """Ten accounts with an INBOX of 1,000 messages each."""
    server.reset()
    server.start()
    mails = list(corpus(setting.sizes.small_mailbox, MAIL_SIZE))
    for address in ACCOUNTS[: setting.sizes.idle_accounts]:
        load(server.imap, address, mails)
    server.stop()


def measure(row: str, tls: bool, server: Server, setting: Setting) -> Samples:
    """KiB of PSS that each connection adds, login and worker processes included."""
    _allow_open_files()
    with _inotify_instances():
        return _measure(row, tls, server, setting)


def _measure(row: str, tls: bool, server: Server, setting: Setting) -> Samples:
    server.start()
    time.sleep(SETTLE_SECONDS)
    before = proportional_memory(tree(server.roots()))
    addresses = itertools.cycle(ACCOUNTS[: setting.sizes.idle_accounts])
    count = setting.sizes.idle_connections
    idling = (_idle(next(addresses)) for _ in range(count))
    held = hold_open(idling, server.imaps if tls else server.imap, tls=trusting_context() if tls else None)
    time.sleep(HIBERNATE_SECONDS)
    processes = tree(server.roots())
    after = proportional_memory(processes)
    for connection in held:
        connection.close()
    server.stop()
    notes = {"base_mib": _mib(before), "total_mib": _mib(after), "processes": len(processes)}
    return {row: Sample((after - before) / count / KIB, notes=notes)}


def _mib(octets: int) -> float:
    return round(octets / KIB / KIB, 1)


def _idle(address: str) -> Conversation:
    yield b"", GREETING
    yield login_line(address), ok()
    yield b"a SELECT INBOX\r\n", ok()
    yield b"a IDLE\r\n", (b"+ ", b"a NO", b"a BAD")


def _allow_open_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, hard), hard))


@contextmanager
def _inotify_instances() -> Iterator[None]:
    """Raise the kernel's limit, as Dovecot's documentation says: above 128 sessions it could not hibernate."""
    shipped = INOTIFY.read_text()
    INOTIFY.write_text(str(max(INOTIFY_INSTANCES, int(shipped))))
    try:
        yield
    finally:
        INOTIFY.write_text(shipped)


def _dovecot(profile: DovecotProfile, _setting: Setting, work: Path) -> Server:
    return Dovecot(work, MailFormat.MDBOX, profile)


def _scenario(name: str, title: str, row: Row, profile: DovecotProfile, tls: bool) -> Scenario:
    peers: Mapping[str, partial[Server]] = {f"dovecot {profile.value}": partial(_dovecot, profile)}
    return Scenario(
        name=name,
        title=title,
        rows=(row,),
        ours=packetboat,
        peers=peers,
        measure=partial(measure, row.name, tls),
        prepare=prepare,
        fixture="idle",
        tls=tls,
    )


def _row(name: str, bar: float | None, limit: float) -> Row:
    return Row(name, "KiB", Better.LOWER, bar, absolute=limit)


PLAIN_LIMIT = 20.0  # KiB
TLS_LIMIT = 48.0
SCENARIOS = (
    _scenario(
        "imap-idle",
        "memory per connection in IDLE, 1,000 of them, INBOX of 1,000 messages",
        _row("imap-idle", 16.0, PLAIN_LIMIT),
        DovecotProfile.SHIPPED,
        tls=False,
    ),
    _scenario(
        "imap-idle-hibernated",
        "the same; Dovecot hibernates",
        _row("imap-idle-hibernated", 1.3, PLAIN_LIMIT),
        DovecotProfile.HIBERNATE,
        tls=False,
    ),
    _scenario(
        "imap-idle-tls",
        "the same over TLS",
        _row("imap-idle-tls", None, TLS_LIMIT),
        DovecotProfile.SHIPPED,
        tls=True,
    ),
    _scenario(
        "imap-idle-hibernated-tls",
        "the same over TLS; Dovecot hibernates",
        _row("imap-idle-hibernated-tls", None, TLS_LIMIT),
        DovecotProfile.HIBERNATE,
        tls=True,
    ),
)
