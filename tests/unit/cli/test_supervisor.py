"""The parent of a stack goes on when the disk is full."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from services.cli.supervisor import Process, Supervisor

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


async def _until(found: object) -> None:
    async with asyncio.timeout(20):
        while not found():  # type: ignore[operator]
            await asyncio.sleep(0.02)


async def test_the_dead_are_restarted_after_the_disk_was_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process = Process("sleeper", SLEEPER, {})
    supervisor = Supervisor(tmp_path, [process], grace=5)
    running = asyncio.create_task(supervisor.run(lambda: None))
    known = tmp_path / "run" / "processes.json"
    await _until(lambda: known.exists() and process.alive)
    assert process.popen is not None
    first = process.popen.pid
    write_bytes = Path.write_bytes
    full = [True]

    def write(path: Path, data: bytes) -> int:
        if full[0] and path.name == "processes.json.new":
            raise OSError(28, "No space left on device")
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", write)
    process.popen.kill()
    await _until(lambda: "No space left" in capsys.readouterr().err)
    await _until(lambda: process.alive and process.popen.pid != first)
    full[0] = False
    await _until(lambda: json.loads(known.read_text()).get("sleeper", {}).get("pid") == process.popen.pid)
    supervisor._stop.set()
    assert await running == 0
