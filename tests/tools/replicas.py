"""Several access and MDA processes on one volume, one SQL database and one Valkey, as containers would be."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from tests.tools.processes import kill_tree
from tests.tools.stack import REPOSITORY, StackError, _is_free, free_port_base

START_TIMEOUT = 60.0
STOP_TIMEOUT = 40.0
IMAP = 143


class Replicas:
    """The processes; `imap` has the access replicas' IMAP ports."""

    def __init__(
        self,
        data: Path,
        *,
        access: int,
        mda: int,
        database_url: str,
        redis_url: str,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.data = data
        self.database_url, self.redis_url = database_url, redis_url
        self.imap: list[int] = []
        self._access, self._mda = access, mda
        self._env = os.environ | {
            "PACKETBOAT_DATA": str(data),
            "PACKETBOAT_DATABASE_URL": database_url,
            "PACKETBOAT_REDIS_URL": redis_url,
            "PACKETBOAT_HOSTNAME": "mail.a.test",
            "PACKETBOAT_ALLOW_PLAINTEXT_AUTH": "true",
            "PACKETBOAT_RESERVE_BYTES": "0",
            **(env or {}),
        }
        self._processes: dict[tuple[str, int], subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        for number in range(self._access):
            base = free_port_base()
            self.imap.append(IMAP + base)
            self._start("access", number)
            self._wait(number)  # its ports are taken before the next one chooses
        for number in range(self._mda):
            self._start("mda", number)
        return self

    def __exit__(self, *_: object) -> None:
        processes = self._processes.values()
        for process in processes:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
        left = [process.pid for process in processes if process.poll() is None]
        if left:
            kill_tree(left)

    def replace(self, service: str, number: int) -> None:
        """SIGKILL a replica with its workers, and start another in its place."""
        process = self._processes[service, number]
        kill_tree([process.pid])
        process.wait()
        self._start(service, number)

    @property
    def names(self) -> list[tuple[str, int]]:
        """All replicas: service and number."""
        return list(self._processes)

    def problems(self) -> list[str]:
        """Lines of the logs that tell of something broken, and processes that ended."""
        found = [f"{name} ended" for name, process in self._processes.items() if process.poll() is not None]
        for log in sorted(self.data.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            found += [f"{log.name}: {line}" for line in lines if "Traceback" in line or "command broke" in line]
        return found

    def _start(self, service: str, number: int) -> None:
        extra = {"PACKETBOAT_PORT_BASE": str(self.imap[number] - IMAP)} if service == "access" else {}
        with (self.data / f"{service}-{number}.log").open("ab") as log:
            self._processes[service, number] = subprocess.Popen(
                [sys.executable, "-m", f"services.{service}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env | extra,
                cwd=REPOSITORY,
                start_new_session=True,
            )

    def _wait(self, number: int) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while _is_free("127.0.0.1", self.imap[number]):
            if time.monotonic() > deadline or self._processes["access", number].poll() is not None:
                log = (self.data / f"access-{number}.log").read_text(errors="replace")
                raise StackError(f"access replica {number} didn't start\n{log[-4000:]}")
            time.sleep(0.05)
