"""Real programs that the tests drive: whether they are here, and how they are run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

TIMEOUT = 60.0  # seconds


def needs(*programs: str) -> None:
    """Skip the test where a program is missing; fail it where PACKETBOAT_REQUIRE_ALL is 1."""
    missing = [program for program in programs if shutil.which(program) is None]
    if not missing:
        return
    if os.environ.get("PACKETBOAT_REQUIRE_ALL") == "1":
        pytest.fail(f"{', '.join(missing)}: required here, and missing")
    pytest.skip(f"needs {', '.join(missing)}")


def required(path: Path, what: str) -> None:
    """Skip the test where something isn't installed; fail it where PACKETBOAT_REQUIRE_ALL is 1."""
    if path.exists():
        return
    if os.environ.get("PACKETBOAT_REQUIRE_ALL") == "1":
        pytest.fail(f"{what}: required here, and missing")
    pytest.skip(f"needs {what}")


def run(
    *command: str | Path,
    input: bytes = b"",
    check: bool = True,
    env: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end; AssertionError with what it said unless its status is 0."""
    done = subprocess.run(
        [str(word) for word in command],
        input=input,
        capture_output=True,
        env={**os.environ, **(env or {})},
        timeout=timeout,
    )
    if check and done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace")
        raise AssertionError(f"{command[0]}: status {done.returncode}\n{said[-4000:]}")
    return done
