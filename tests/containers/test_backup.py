"""A backup of a running stack, SQL first and then the volume, restored into a fresh one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.containers.conftest import ACCOUNTS, REMOTES
from tests.containers.engine import VERSION, Engine
from tests.containers.project import PASSWORD, Project, entry_of
from tests.containers.test_break import SHORT_TIMES
from tests.containers.test_mail import ALICE, wait_for
from tests.containers.test_replicas import load
from tests.tools.sink import SinkProcess

pytestmark = [pytest.mark.container, pytest.mark.timeout(900)]

REMOTE = 3  # messages for other servers that wait at the time of the backup


def back_up(stack: Project, folder: Path) -> None:
    """What docs/operations.md says, while mail comes in."""
    dump = stack.compose("exec", "-T", "postgres", "pg_dump", "-U", "packetboat", "--no-owner", "packetboat")
    (folder / "packetboat.sql").write_text(dump)
    done = stack.engine.run(
        "run", "--rm", "--user", "0", "-v", f"{stack.name}_mail:/data:ro", "-v", f"{folder}:/backup",
        "--entrypoint", "sh", f"packetboat/cli:{VERSION}", "-c",
        "tar -C /data -cf /backup/mail.tar .; status=$?; chmod 644 /backup/mail.tar; echo status $status",
    )  # fmt: skip
    assert done.split() in (["status", "0"], ["status", "1"])  # 1: a file grew, or went, meanwhile


def restore(stack: Project, folder: Path) -> None:
    """PostgreSQL alone, its dump, the volume, what comes after a restore, then everything."""
    stack.compose("up", "-d", "--no-build", "--wait", "postgres")
    dump = (folder / "packetboat.sql").read_text()
    stack.compose("exec", "-T", "postgres", "psql", "-q", "-U", "packetboat", "-v", "ON_ERROR_STOP=1", input=dump)
    stack.compose(
        "run", "--rm", "-T", "--no-deps", "-v", f"{folder}:/backup:ro", "--entrypoint", "tar", "cli",
        "-C", "/data", "--no-same-owner", "-xf", "/backup/mail.tar",
    )  # fmt: skip
    print("\n" + stack.compose("run", "--rm", "-T", "cli", "restored"))
    stack.up()


def test_a_backup_taken_under_load_can_be_restored(
    engine: Engine, fresh_stack: Project, sink: SinkProcess, tmp_path: Path
) -> None:
    old = fresh_stack.up({"mta": 1, "mda": 1, "relay": 1, "access": 1}, SHORT_TIMES)
    folder = tmp_path / "backup"
    folder.mkdir()
    before = load(old, tmp_path, "before", 300)
    before.join()
    old.settle()
    old.compose("stop", "relay")
    remote = [old.submit(ALICE, PASSWORD, f"restored{number}@{REMOTES[0]}") for number in range(REMOTE)]
    kept = {account: old.entries(account, PASSWORD) for account in ACCOUNTS}
    meanwhile = load(old, tmp_path, "meanwhile", 5000, pause=0.05)
    try:
        back_up(old, folder)
    finally:
        meanwhile.stop()
        meanwhile.join()
    old.compose("start", "relay")
    old.settle()  # what waits in the backup is sent after it
    new = Project(engine, 3)
    new.env |= SHORT_TIMES
    new.down(forget=True)
    try:
        restore(new, folder)
        waiting = [item for item in new.waiting() if item["lane"] == "relay"]
        assert sorted((item["entry"], item["state"]) for item in waiting) == sorted((e, "held") for e in remote)
        new.cli("queue", "drop", *remote)
        new.settle()
        sent = Counter(entry_of(message.data) for message in sink.messages())
        assert [sent[entry] for entry in remote] == [1] * REMOTE, "sent before it was lost, and not again"
        found = {account: new.entries(account, PASSWORD) for account in ACCOUNTS}
        missing = sum((kept[account] - found[account]).total() for account in ACCOUNTS)
        came = sum(found[account][entry] > 0 for entry, account in meanwhile.entries.items())
        repeated = [entry for entries in found.values() for entry, times in entries.items() if times > 1]
        total = sum(entries.total() for entries in kept.values())
        print(f"\n{total} before the backup, {missing} missing; {came} of {len(meanwhile.entries)} sent meanwhile")
        assert total >= 300 and not missing and not repeated
        wait_for(new, new.submit(ACCOUNTS[0], PASSWORD, ACCOUNTS[1]), ACCOUNTS[1])
    finally:
        new.down(forget=True)
