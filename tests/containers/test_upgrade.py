"""The next version comes in beside this one, service by service, under load.

The next version is this one with what a release may bring: a migration that expands the schema, and an
envelope with a field that this version has never heard of.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.containers.engine import REPOSITORY, VERSION, Engine
from tests.containers.project import PASSWORD, Project
from tests.containers.test_break import SHORT_TIMES
from tests.containers.test_mail import ALICE, wait_for
from tests.containers.test_replicas import check_mailboxes, check_sink, load, outgoing
from tests.tools.sink import SinkProcess

pytestmark = [pytest.mark.container, pytest.mark.fault, pytest.mark.timeout(1800)]

NEXT = "next"
SERVICES = ("mda", "relay", "mta", "access", "admin")
OPTIONS = {"messages": 6000, "pause": 0.15, "connections": 4, "give_up_after": 900.0}
MIGRATION = """
ALTER TABLE mailbox ADD COLUMN colour TEXT NOT NULL DEFAULT '';
ALTER TABLE ledger ADD COLUMN weight BIGINT NOT NULL DEFAULT 0;
CREATE TABLE painting (id @identity@, mailbox_id BIGINT NOT NULL REFERENCES mailbox (id));
"""
OLD_ENVELOPE = "        return orjson.dumps(self)\n"
NEXT_ENVELOPE = '        return orjson.dumps({**orjson.loads(orjson.dumps(self)), "colour": {"new": ["red"]}})\n'


def next_version(folder: Path) -> Path:
    """Make the source of the next version."""
    for name in ("shared", "services", "deploy"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.lock", ".dockerignore"):
        shutil.copy(REPOSITORY / name, folder / name)
    (folder / "shared/db/schema/9000_next.sql").write_text(MIGRATION)
    envelope = folder / "shared/message/envelope.py"
    text = envelope.read_text()
    assert text.count(OLD_ENVELOPE) == 1
    envelope.write_text(text.replace(OLD_ENVELOPE, NEXT_ENVELOPE))
    return folder


def versions(stack: Project, service: str) -> Counter[str]:
    """How many containers of a service run which version."""
    told = json.loads(stack.engine.run("inspect", *stack.containers(service)))
    return Counter(str(one["Config"]["Image"]).rpartition(":")[2] for one in told)


def test_two_versions_side_by_side(engine: Engine, fresh_stack: Project, sink: SinkProcess, tmp_path: Path) -> None:
    engine.build(NEXT, next_version(tmp_path / "next"))
    stack = fresh_stack.up({"mta": 1, "mda": 1, "relay": 1, "access": 1}, SHORT_TIMES)
    local, remote = load(stack, tmp_path, "local", **OPTIONS), outgoing(stack, tmp_path, "remote", **OPTIONS)  # type: ignore[arg-type]
    try:
        stack.env["PACKETBOAT_VERSION"] = NEXT
        stack.compose("run", "--rm", "-T", "init")
        for service in SERVICES[:-1]:
            stack.compose("up", "-d", "--no-build", "--no-deps", "--no-recreate", f"--scale={service}=2", service)
        stack.wait_healthy()
        for service in SERVICES[:-1]:
            assert versions(stack, service) == {VERSION: 1, NEXT: 1}, service
        halfway = len(local.entries)
        for _ in range(10):
            wait_for(stack, stack.submit(ALICE, PASSWORD, ALICE), ALICE)
        for service in SERVICES:
            scale = [] if service == "admin" else [f"--scale={service}=2"]
            stack.compose("up", "-d", "--no-build", "--no-deps", *scale, service)
            stack.wait_healthy()
            assert set(versions(stack, service)) == {NEXT}
    finally:
        local.stop()
        remote.stop()
        local.join()
        remote.join()
        stack.env["PACKETBOAT_VERSION"] = VERSION
    stack.settle()
    print(f"\n{halfway} of {len(local.entries)} accepted when both versions were up")
    assert 0 < halfway < len(local.entries) and not local.refused and not remote.refused
    check_mailboxes(stack, local.entries)
    check_sink(sink, remote.entries)


def test_back_to_the_version_before(fresh_stack: Project) -> None:
    """What a migration expanded doesn't disturb the older version: an upgrade can be taken back."""
    stack = fresh_stack.up({"mta": 1, "mda": 1, "relay": 1, "access": 1})
    assert set(versions(stack, "mda")) == {VERSION}
    wait_for(stack, stack.submit(ALICE, PASSWORD, ALICE), ALICE)
