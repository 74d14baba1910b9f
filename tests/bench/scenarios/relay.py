"""relay-drain and relay-inject: mail for one other site, taken by smtp-sink."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.bench.drivers.smtp import SmtpSink, smtp_source
from tests.bench.packetboat import Packetboat
from tests.bench.peers.postfix import Postfix, PostfixProfile
from tests.bench.scenario import Better, Meter, Row, Samples, Scenario, Setting
from tests.bench.server import Server
from tests.tools.dnsserver import DnsServer
from tests.tools.stack import free_port

SIZE = 4096
SESSIONS = 50
CONCURRENCY = 20  # connections to the site, on both sides
SITE = "sink.test"
RECIPIENT = f"reader@{SITE}"
DRAIN_TIMEOUT = 180.0
POLL_SECONDS = 0.05
SINK_PORT = free_port()


def measure_drain(server: Server, setting: Setting) -> Samples:
    """Messages per second from a full queue, between the first and the last that the sink counts."""
    messages = setting.sizes.relay
    server.reset()
    with SmtpSink(SINK_PORT) as sink, _Site():
        _fill_queue(server, messages)
        with Meter(server, setting.work) as meter:
            _release(server)
            sink.wait_for(messages, DRAIN_TIMEOUT)
        server.stop()
        return {"relay-drain": meter.sample(sink.rate, work=messages)}


def measure_inject(server: Server, setting: Setting) -> Samples:
    """Messages per second from the first byte in to the last message at the sink."""
    messages = setting.sizes.relay
    server.reset()
    with SmtpSink(SINK_PORT) as sink, _Site():
        server.start()
        with Meter(server, setting.work) as meter:
            begin = time.perf_counter()
            run = smtp_source(server.submission, RECIPIENT, messages=messages, sessions=SESSIONS, size=SIZE, reuse=True)
            sink.wait_for(messages, DRAIN_TIMEOUT)
        server.stop()
        rate = messages / (sink.last_at - begin)
        return {"relay-inject": meter.sample(rate, work=messages, client_cpu=run.cpu_seconds)}


def _fill_queue(server: Server, messages: int) -> None:
    """Queue the messages while nothing is sent: our relay is stopped (SIGSTOP), Postfix defers its transport."""
    if isinstance(server, Postfix):
        server.configure(defer=True)
    server.start()
    if isinstance(server, Packetboat):
        server.stack.kill_service("relay", signal.SIGSTOP)
    smtp_source(server.submission, RECIPIENT, messages=messages, sessions=SESSIONS, size=SIZE, reuse=True)
    if isinstance(server, Postfix):
        _until_deferred(server, messages)
        server.configure(defer=False)
        server.reload()


def _until_deferred(server: Postfix, messages: int) -> None:
    deadline = time.monotonic() + DRAIN_TIMEOUT
    while server.queued("deferred") < messages:
        if time.monotonic() > deadline:
            raise TimeoutError("Postfix did not defer everything")
        time.sleep(POLL_SECONDS)


def _release(server: Server) -> None:
    """Let the queue go."""
    match server:
        case Packetboat():
            server.stack.kill_service("relay", signal.SIGCONT)
        case Postfix():
            server.flush()


class _Site:
    """DNS for the destination; Postfix is configured not to ask, ours asks once and caches."""

    server = DnsServer("127.0.0.1", free_port())

    def __enter__(self) -> None:
        if not self.server._thread.is_alive():
            self.server.start()
            self.server.set_zone(SITE, "@ MX 10 mx\nmx A 127.0.0.1")

    def __exit__(self, *_exc: object) -> None:
        """Keep running: the next round asks again."""


def _packetboat(setting: Setting, work: Path) -> Packetboat:
    return Packetboat(
        work,
        workers=setting.workers,
        database_url=setting.database_url,
        resolver=_Site.server.address,
        relay_port=SINK_PORT,
        env={"PACKETBOAT_RELAY_CONCURRENCY": str(CONCURRENCY), "PACKETBOAT_RELAY_ALLOW_PRIVATE": '["127.0.0.0/8"]'},
    )


def _postfix(_setting: Setting, work: Path) -> Postfix:
    return Postfix(work, PostfixProfile.RELAY, sink=SINK_PORT)


SCENARIOS = (
    Scenario(
        name="relay-drain",
        title="queued messages to smtp-sink, one site, 20 connections",
        rows=(Row("relay-drain", "messages/s", Better.HIGHER, 2.0),),
        ours=_packetboat,
        peers={"postfix": _postfix},
        measure=measure_drain,
    ),
    Scenario(
        name="relay-inject",
        title="inject and relay to smtp-sink, one site, 20 connections",
        rows=(Row("relay-inject", "messages/s", Better.HIGHER, 2.5),),
        ours=_packetboat,
        peers={"postfix": _postfix},
        measure=measure_inject,
    ),
)
