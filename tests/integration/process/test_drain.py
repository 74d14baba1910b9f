"""A service's parent, with workers that can't start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
SERVICE = """
import sys
from shared.process import prepare_metrics, serve
prepare_metrics()
from shared.config import CommonSettings

class Worker:
    async def start(self):
        print("starting", flush=True)
        raise RuntimeError("not today")

sys.exit(serve("test", CommonSettings(grace_period=60), lambda index: Worker()))
"""


@pytest.mark.parametrize("attempts", [1, 3])
def test_it_ends_at_once_while_no_worker_lives(attempts: int) -> None:
    """SIGTERM comes in the pause before a dead worker is replaced."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVICE],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        for _ in range(attempts):
            assert process.stdout.readline() == "starting\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(10) in (0, 1)
        finally:
            process.kill()
