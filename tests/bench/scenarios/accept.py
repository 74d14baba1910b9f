"""accept, accept-new, accept-large, accept-latency: how fast mail is taken over durably."""

from __future__ import annotations

import statistics
import time
from functools import partial

from tests.bench.accounts import ACCOUNTS, SENDER
from tests.bench.corpus import plain_mail
from tests.bench.drivers.conversations import connect, exchange
from tests.bench.drivers.smtp import smtp_source
from tests.bench.drivers.syncs import SyncCount
from tests.bench.scenario import Better, Meter, Row, Sample, Samples, Scenario, Setting, Sizes
from tests.bench.scenarios.durability import require_survival
from tests.bench.scenarios.sides import packetboat_mta, postfix_hold
from tests.bench.server import Server

SMALL = 4096
LARGE = 100 * 1024
RECIPIENT = ACCOUNTS[0]  # one of the 100 that both sides verify


def measure_source(
    row: str, count: str, sessions: int, size: int, reuse: bool, clients: int, server: Server, setting: Setting
) -> Samples:
    """Messages per second that smtp-source gets 250s for."""
    messages = getattr(setting.sizes, count)
    server.reset()
    server.start()
    with Meter(server, setting.work) as meter:
        run = smtp_source(
            server.smtp,
            RECIPIENT,
            messages=messages,
            sessions=sessions,
            size=size,
            reuse=reuse,
            processes=clients,
        )
    notes = require_survival(server, [RECIPIENT], messages)
    return {row: meter.sample(messages / run.seconds, work=messages, client_cpu=run.cpu_seconds, notes=notes)}


def measure_latency(server: Server, setting: Setting) -> Samples:
    """Milliseconds from MAIL to the 250 after the body, on one session, without pipelining."""
    server.reset()
    server.start()
    mails = list(plain_mail(setting.sizes.latency, SMALL, run="latency"))
    commands = (f"MAIL FROM:<{SENDER}>\r\n".encode(), f"RCPT TO:<{RECIPIENT}>\r\n".encode(), b"DATA\r\n")
    buffer = memoryview(bytearray(4096))
    taken = []
    connection = connect(server.smtp)
    exchange(connection, b"", b"220 ", buffer)
    exchange(connection, b"EHLO client.bench.test\r\n", b"250 ", buffer)
    with Meter(server, setting.work) as meter:
        for mail in mails:
            begin = time.perf_counter()
            exchange(connection, commands[0], b"250 ", buffer)
            exchange(connection, commands[1], b"250 ", buffer)
            exchange(connection, commands[2], b"354 ", buffer)
            exchange(connection, mail.data + b".\r\n", b"250 ", buffer)
            taken.append(time.perf_counter() - begin)
    connection.close()
    notes = require_survival(server, [RECIPIENT], len(mails))
    percentiles = statistics.quantiles(taken, n=100)
    p50 = meter.sample(percentiles[49] * 1000, work=len(mails), notes=notes)
    return {"accept-latency": p50, "accept-latency-p99": Sample(percentiles[98] * 1000, p50.client_share)}


def measure_syncs(server: Server, setting: Setting) -> Samples:
    """Syncs per 1,000 messages under strace, 50 sessions; with one session there must be one per message."""
    server.reset()
    server.start()
    alone = _count_syncs(server, setting.sizes.syncs, sessions=1)
    if alone.total < setting.sizes.syncs:
        raise AssertionError(f"{server.name}: {alone.total} syncs for {setting.sizes.syncs} messages one by one")
    together = _count_syncs(server, setting.sizes.syncs, sessions=50)
    server.stop()
    notes = {"messages": setting.sizes.syncs, "one_session": alone.calls, "50_sessions": together.calls}
    return {"accept-syncs": Sample(together.total * 1000 / setting.sizes.syncs, notes=notes)}


def _count_syncs(server: Server, messages: int, sessions: int) -> SyncCount:
    with SyncCount(server.roots()) as count:
        smtp_source(server.smtp, RECIPIENT, messages=messages, sessions=sessions, size=SMALL, reuse=True)
    return count


def _source_scenario(
    name: str, title: str, bar: float, sessions: int, size: int, reuse: bool, clients: int = 1
) -> Scenario:
    """`clients`: processes of smtp-source, of which one would be the limit where each message has its connection."""
    count = "accept_large" if size == LARGE else "accept"
    assert count in Sizes.__dataclass_fields__
    return Scenario(
        name=name,
        title=title,
        rows=(Row(name, "messages/s", Better.HIGHER, bar),),
        ours=packetboat_mta,
        peers={"postfix": postfix_hold},
        measure=partial(measure_source, name, count, sessions, size, reuse, clients),
        service_alone=True,
    )


SCENARIOS = (
    _source_scenario("accept", "durable 250s, 50 sessions reusing connections, 4 KB", 6.0, 50, SMALL, True),
    _source_scenario("accept-new", "a new connection for each message, 50 at once, 4 KB", 3.0, 50, SMALL, False, 2),
    _source_scenario("accept-large", "100 KB bodies, 10 sessions", 2.5, 10, LARGE, True),
    Scenario(
        name="accept-latency",
        title="one session, one message after the other, 4 KB",
        rows=(
            Row("accept-latency", "ms (p50)", Better.LOWER, 2.0),
            Row("accept-latency-p99", "ms (p99)", Better.LOWER),
        ),
        ours=packetboat_mta,
        peers={"postfix": postfix_hold},
        measure=measure_latency,
        service_alone=True,
    ),
    Scenario(
        name="accept-syncs",
        title="fsync and fdatasync calls under strace; one session: at least one per message",
        rows=(Row("accept-syncs", "per 1,000", Better.LOWER),),
        ours=packetboat_mta,
        peers={"postfix": postfix_hold},
        measure=measure_syncs,
        service_alone=True,
    ),
)
