"""Relay processes that are killed at the worst moments: every message arrives, at least once."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from tests.integration.relay.conftest import Relay
from tests.tools.sink import Rule, Sink

ROOT = Path(__file__).resolve().parents[3]
MakeSink = Callable[..., Sink]


def start_process(relay: Relay, port: int) -> subprocess.Popen[bytes]:
    environment = dict(
        os.environ,
        PACKETBOAT_DATA=str(relay.folder),
        PACKETBOAT_REDIS_URL=relay.values["redis_url"],
        PACKETBOAT_RESOLVER=relay.values["resolver"],
        PACKETBOAT_HOSTNAME="relay.a.test",
        PACKETBOAT_RELAY_PORT=str(port),
        PACKETBOAT_RELAY_CONCURRENCY="4",
        PACKETBOAT_RELAY_ALLOW_PRIVATE=orjson.dumps(["127.0.0.0/8"]).decode(),
        PACKETBOAT_LOG_LEVEL="error",
    )
    return subprocess.Popen([sys.executable, "-m", "services.relay"], env=environment, cwd=ROOT, start_new_session=True)


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


async def recorded(relay: Relay, entries: list[str]) -> int:
    return sum([bool(await relay.ledger(entry)) for entry in entries])


async def test_killed_again_and_again(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink(Rule("DOT", delay=0.005))
    entries = [await relay.submit("bob@b.test", body=f"Subject: {n}\r\n\r\n{n}\r\n".encode()) for n in range(300)]
    for _ in range(3):
        seen = len(sink.messages)
        process = start_process(relay, sink.port)
        try:
            while len(sink.messages) < min(seen + 60, 300):
                await asyncio.sleep(0.005)
        finally:
            kill(process)
        await _expire_leases(relay)
    process = start_process(relay, sink.port)
    try:
        deadline = time.monotonic() + 60
        while await recorded(relay, entries) < 300:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    assert {message.data for message in sink.messages} == {f"Subject: {n}\r\n\r\n{n}\r\n".encode() for n in range(300)}
    repeats = len(sink.messages) - 300
    assert repeats <= 3 * 4 * 2 * 32  # at most what a kill leaves unrecorded, on each connection
    rows = [row for entry in entries for row in (await relay.ledger(entry)).values()]
    assert {outcome for outcome, _ in rows} == {"relayed"}


async def _expire_leases(relay: Relay) -> None:
    """Do what a minute does: leases of the dead worker's slots end, its consumer's entries become idle."""
    for key in await relay.redis.keys("pb:site:*leases"):
        for member in await relay.redis.zrange(key, 0, -1):
            await relay.redis.zadd(key, {member: 1})
    pending = await relay.redis.xpending_range("pb:relay:stream", "workers", "-", "+", 1000)
    for row in pending:
        await relay.redis.xclaim(
            "pb:relay:stream", "workers", row["consumer"], 0, [row["message_id"]], idle=120_000, justid=True
        )
