"""A private Postfix instance, configured by the files in postfix/."""

from __future__ import annotations

import enum
import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.bench.accounts import ACCOUNTS, DOMAIN
from tests.bench.peers.templates import fill
from tests.bench.server import Endpoint
from tests.tools.processes import kill_tree
from tests.tools.stack import free_port

START_TIMEOUT = 20.0


class PostfixProfile(enum.Enum):
    """What Postfix does with what it has accepted."""

    HOLD = "hold"
    DELIVER = "deliver"
    RELAY = "relay"


class Postfix:
    """One instance under `work`."""

    def __init__(
        self, work: Path, profile: PostfixProfile, *, lmtp: Path | None = None, sink: int | None = None
    ) -> None:
        self.name = f"postfix ({profile.value})"
        self.smtp: Endpoint = ("127.0.0.1", free_port())
        self.submission = self.smtp
        self.imap = self.imaps = self.pop3 = ("127.0.0.1", 0)
        self._work = work
        self._etc = work / "etc"
        self._profile = profile
        self._values = {
            "WORK": work,
            "DOMAIN": DOMAIN,
            "SMTP": self.smtp[1],
            "LMTP": lmtp or "",
            "SINK": sink or 0,
            "DEFER": "",
        }
        self._create()

    def configure(self, *, defer: bool = False) -> None:
        """Write main.cf and master.cf; with `defer` mail to other sites waits in the deferred queue."""
        self._values["DEFER"] = "defer_transports = smtp" if defer else ""
        main = fill("postfix/main.cf", self._values)
        main += fill(f"postfix/{self._profile.value}.cf", self._values)
        (self._etc / "main.cf").write_text(main)
        (self._etc / "master.cf").write_text(fill("postfix/master.cf", self._values))

    def reset(self) -> None:
        """Empty the queue."""
        shutil.rmtree(self._work / "queue", ignore_errors=True)
        (self._work / "queue").mkdir()
        (self._work / "postfix.log").unlink(missing_ok=True)

    def start(self) -> None:
        """`postfix start`, then wait for the greeting."""
        self._postfix("start")
        wait_for_greeting(self.smtp)

    def stop(self) -> None:
        """`postfix stop`."""
        if self._master():
            self._postfix("stop")

    def kill(self) -> None:
        """SIGKILL to all processes."""
        kill_tree(self.roots())

    def roots(self) -> list[int]:
        """The master process."""
        master = self._master()
        return [master] if master else []

    def flush(self) -> None:
        """Try everything in the deferred queue now."""
        self._run("postqueue", "-c", str(self._etc), "-f")

    def reload(self) -> None:
        """Take up a changed main.cf."""
        self._postfix("reload")

    def queued(self, queue: str) -> int:
        """Messages in a queue: hold, deferred, active, incoming."""
        return sum(len(files) for _, _, files in os.walk(self._work / "queue" / queue))

    def _create(self) -> None:
        for folder in (self._work, self._etc, self._work / "lib", self._work / "queue"):
            folder.mkdir(parents=True, exist_ok=True)
        shutil.chown(self._work / "lib", "postfix", "postfix")
        accounts = self._work / "accounts"
        accounts.write_text("".join(f"{address} {address}\n" for address in ACCOUNTS))
        self.configure()
        self._run("postmap", "-c", str(self._etc), f"hash:{accounts}")

    def _master(self) -> int:
        """The master's pid, or 0."""
        try:
            pid = int((self._work / "queue" / "pid" / "master.pid").read_text())
        except (FileNotFoundError, ValueError):
            return 0
        return pid if Path(f"/proc/{pid}").exists() else 0

    def _postfix(self, command: str) -> None:
        self._run("postfix", "-c", str(self._etc), command)

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            log = self._work / "postfix.log"
            raise RuntimeError(f"{command}: {done.stderr}\n{log.read_text()[-2000:] if log.exists() else ''}")


def wait_for_greeting(endpoint: Endpoint, timeout: float = START_TIMEOUT) -> None:
    """Return once a server at `endpoint` says something; TimeoutError otherwise."""
    import socket

    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(endpoint, timeout=2) as connection:
                if connection.recv(512):
                    return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(f"nobody greets at {endpoint}")
