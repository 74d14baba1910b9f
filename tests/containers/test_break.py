"""Everything is killed, restarted and replaced under load, and every 250 is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.containers.conftest import ACCOUNTS
from tests.containers.project import Project
from tests.containers.test_replicas import check_mailboxes, check_sink, load, outgoing
from tests.tools.sink import SinkProcess

pytestmark = [pytest.mark.container, pytest.mark.fault, pytest.mark.timeout(3600)]

ROUNDS = 5 if os.environ.get("PACKETBOAT_LONG") == "1" else 1
LOCAL, REMOTE = 6000 * ROUNDS, 2000 * ROUNDS  # messages at most: loads are stopped when the breaking is done
BETWEEN = 1.0  # seconds between two blows
SHORT_TIMES = {"TEST_LEASE": "5", "TEST_SWEEP": "3", "TEST_SEGMENT_AGE": "5"}
SCALE = {"mta": 2, "mda": 2, "relay": 2, "access": 2}


def test_nothing_acknowledged_is_lost(fresh_stack: Project, sink: SinkProcess, tmp_path: Path) -> None:
    stack = fresh_stack.up(SCALE, SHORT_TIMES)
    options = {"pause": 0.15, "connections": 6, "give_up_after": 1800.0}
    local = load(stack, tmp_path, "local", LOCAL, **options)
    remote = outgoing(stack, tmp_path, "remote", REMOTE, **{**options, "connections": 3})
    try:
        for _ in range(ROUNDS):
            for name, blow in blows(stack):
                began = time.monotonic()
                blow()
                print(f"{name}: {time.monotonic() - began:.1f} s, {len(local.entries) + len(remote.entries)} accepted")
                time.sleep(BETWEEN)
    finally:
        local.stop()
        remote.stop()
        local.join()
        remote.join()
    stack.wait_healthy()
    stack.settle()
    assert len(local.entries) > 200 and len(remote.entries) > 50
    assert not local.refused and not remote.refused
    check_mailboxes(stack, local.entries)
    check_sink(sink, remote.entries)
    assert set(local.entries.values()) <= set(ACCOUNTS)


def blows(stack: Project) -> list[tuple[str, Callable[[], object]]]:
    """What an operator's day may bring."""
    replicas = [name for service in SCALE for name in stack.containers(service)]
    servers = [stack.containers(service)[0] for service in ("admin", "proxy", "resolver", "redis", "postgres")]
    some: list[tuple[str, Callable[[], object]]] = []
    for name in [*replicas, *servers]:
        some.append((f"docker kill {name}", lambda name=name: kill(stack, name)))  # type: ignore[misc]
    for service in ("redis", "postgres"):
        some.append((f"restart {service}", lambda service=service: stack.compose("restart", service)))  # type: ignore[misc]
    some.append(("damage redis", lambda: damage(stack)))
    some.append(("compose restart", lambda: stack.compose("restart", "-t", "40")))
    for service in (*SCALE, "admin", "redis", "postgres", "resolver", "proxy"):
        some.append((f"replace {service}", lambda service=service: replace(stack, service)))  # type: ignore[misc]
    return some


def kill(stack: Project, container: str) -> None:
    """SIGKILL, and a start: after `docker kill` the engine restarts nothing by itself."""
    stack.engine.run("kill", container)
    stack.engine.run("start", container)


def damage(stack: Project) -> None:
    """Octets that say nothing, amid what Redis wrote, as a power cut leaves them."""
    stack.compose("exec", "-T", "redis", "sh", "-c", "head -c 4096 /dev/zero >> $(ls appendonlydir/*.incr.aof)")
    time.sleep(1)
    kill(stack, stack.containers("redis")[0])
    stack.wait_healthy()
    logs = stack.compose("logs", "--no-log-prefix", "redis")
    assert "Successfully truncated AOF" in logs, logs[-3000:]


def replace(stack: Project, service: str) -> None:
    """A new container of the same image for each old one."""
    scale = f"--scale={service}={SCALE.get(service, 1)}"
    stack.compose("up", "-d", "--no-build", "--no-deps", "--force-recreate", scale, service)
    stack.wait_healthy()
