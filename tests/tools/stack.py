"""A whole Packetboat stack as a subprocess, driven from outside as a person would.

with Stack(tmp_path / "data") as stack:
    stack.add_account("carol@packetboat.test", "secret")
    smtplib.SMTP(stack.host, stack.ports.submission)
    stack.kill_service("mda")
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.tools.processes import kill_tree

REPOSITORY = Path(__file__).resolve().parents[2]
PACKETBOAT = REPOSITORY / ".venv" / "bin" / "packetboat"
STANDARD_PORTS = {
    "mx": 25, "submission": 587, "submissions": 465, "imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995,
    "sieve": 4190, "lmtp": 24,
}  # fmt: skip
# Below the kernel's ephemeral range (32768 on), so that no outgoing connection takes one meanwhile.
PORT_BASES = range(11_000, 24_000, 10)
HEALTH_PORTS = range(8080, 8086)  # and the API
START_TIMEOUT = 60.0
STOP_TIMEOUT = 60.0
POLL_SECONDS = 0.05
SETTLE_SECONDS = 1.0  # from one look at what waits to the next
LOG_TAIL = 6000  # characters of output shown when something fails
READY = "ready"


class StackError(AssertionError):
    """The stack didn't do what it was told; the message carries its last output."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The listeners' ports: the standard port plus the base."""

    base: int

    def __getattr__(self, name: str) -> int:
        """`ports.imap` is 143 + base, and so on for each name of STANDARD_PORTS."""
        if name not in STANDARD_PORTS:
            raise AttributeError(name)
        return self.base + STANDARD_PORTS[name]


class Stack:
    """One `packetboat up`; it may be started and stopped many times on the same data."""

    def __init__(
        self,
        data: Path,
        port_base: int | None = None,
        *,
        listen: Sequence[str] = ("127.0.0.1",),
        resolver: str | None = None,
        relay_port: int | None = None,
        workers: int | None = None,
        allow_plaintext_auth: bool = False,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        """Nothing starts yet. `prefix` is a command to run it under, such as strace."""
        self.data = data
        self.host = listen[0]
        self.ports = Ports(free_port_base(listen) if port_base is None else port_base)
        self.log = data.with_name(data.name + ".log")
        self.env = dict(env or {})
        self._listen = tuple(listen)
        self._arguments = _options(listen, resolver, relay_port, workers, allow_plaintext_auth)
        self._prefix = tuple(prefix)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The supervisor's process id; StackError if it isn't running."""
        if self._process is None:
            raise StackError("the stack is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the supervisor lives."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout: float = START_TIMEOUT) -> Self:
        """Start and wait for the line `ready`; StackError with the output if it doesn't come in time."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        command = [*self._prefix, str(PACKETBOAT), "up", "--data", str(self.data)]
        command += ["--port-base", str(self.ports.base), *self._arguments]
        with self.log.open("ab") as output:
            begin = output.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | self.env,
                cwd=REPOSITORY,
                start_new_session=True,
            )
        try:
            self._wait_ready(begin, timeout)
        except StackError:
            self.kill()
            raise
        return self

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """SIGTERM, wait, and require exit status 0."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            kill_tree([process.pid])
            process.wait()
            raise StackError(f"still running {timeout} s after SIGTERM\n{self.output()}") from None
        if status != 0:
            raise StackError(f"exit status {status}\n{self.output()}")

    def kill(self) -> None:
        """SIGKILL to the supervisor and all its processes at once, as a power cut would."""
        process, self._process = self._process, None
        if process is not None:
            kill_tree([process.pid])
            process.wait()

    __enter__ = start

    def __exit__(self, kind: type[BaseException] | None, *_exc: object) -> None:
        if kind is None:
            self.stop()
        else:
            self.kill()

    def output(self) -> str:
        """The end of everything it printed."""
        return self.log.read_text(errors="replace")[-LOG_TAIL:] if self.log.exists() else ""

    # processes

    def processes(self) -> dict[str, ServiceProcesses]:
        """The services' processes, as the supervisor wrote them down at its last change."""
        path = self.data / "run" / "processes.json"
        return {
            name: ServiceProcesses(entry["pid"], tuple(entry.get("workers", ())))
            for name, entry in json.loads(path.read_text()).items()
        }

    def all_pids(self) -> list[int]:
        """Every process of every service that still lives."""
        try:
            services = self.processes().values()
        except (FileNotFoundError, json.JSONDecodeError):
            return []
        return [pid for service in services for pid in service.all if is_alive(pid)]

    def kill_service(self, name: str, how: signal.Signals = signal.SIGKILL, *, workers: bool = True) -> None:
        """Send a signal to a service's parent process and (unless told otherwise) to its workers."""
        service = self.processes()[name]
        for pid in service.all if workers else (service.pid,):
            _send(pid, how)

    def wait_for_service(self, name: str, *, other_than: int = 0, timeout: float = 90.0) -> int:
        """The pid of a service's parent once it is alive and not `other_than`; StackError if it never is."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            try:
                pid = self.processes()[name].pid
            except (KeyError, FileNotFoundError, json.JSONDecodeError):
                pid = 0
            if pid and pid != other_than and is_alive(pid):
                return pid
            time.sleep(POLL_SECONDS)
        raise StackError(f"{name} did not come back in {timeout} s\n{self.output()}")

    # accounts

    def passwords(self) -> dict[str, str]:
        """Passwords by address, as printed and kept at the first start."""
        path = self.data / "demo-accounts.txt"
        return dict(line.split(maxsplit=1) for line in path.read_text().splitlines() if line.strip())

    def cli(self, *arguments: str, input: str = "", check: bool = True, timeout: float = 60.0) -> str:
        """Run a `packetboat` command on this stack's data and return what it printed."""
        return run_cli(self.data, *arguments, env=self.env, input=input, check=check, timeout=timeout)

    def add_account(self, address: str, password: str) -> None:
        """Add an account (its domain must exist)."""
        self.cli("account", "add", address, "--password-stdin", input=password + "\n")

    def settle(self, timeout: float) -> None:
        """Wait until nothing waits any more, as `queue list` tells it; StackError with what still does."""
        deadline = time.monotonic() + timeout
        while listed := self.cli("queue", "list", "--json").strip():
            if time.monotonic() > deadline:
                waiting = [json.loads(line) for line in listed.splitlines()]
                raise StackError(
                    f"{len(waiting)} recipients still wait, such as {waiting[:3]}\n{self.cli('doctor', check=False)}"
                )
            time.sleep(SETTLE_SECONDS)

    def _wait_ready(self, begin: int, timeout: float) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if READY in _lines_since(self.log, begin):
                return
            if self._process.poll() is not None:
                raise StackError(f"`up` ended with status {self._process.returncode}\n{self.output()}")
            time.sleep(POLL_SECONDS)
        raise StackError(f"not ready after {timeout} s\n{self.output()}")


@dataclass(frozen=True, slots=True)
class ServiceProcesses:
    """A service's parent and worker process ids."""

    pid: int
    workers: tuple[int, ...] = ()

    @property
    def all(self) -> tuple[int, ...]:
        """Parent first."""
        return (self.pid, *self.workers)


def run_cli(
    data: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    input: str = "",
    check: bool = True,
    timeout: float = 60.0,
) -> str:
    """Run `packetboat ARGUMENTS --data DATA`; StackError with its output if it fails and `check` is set."""
    done = subprocess.run(
        [str(PACKETBOAT), *arguments, "--data", str(data)],
        input=input.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | dict(env or {}),
        cwd=REPOSITORY,
        timeout=timeout,
    )
    printed = done.stdout.decode(errors="replace")
    if check and done.returncode != 0:
        raise StackError(f"packetboat {' '.join(arguments)}: status {done.returncode}\n{printed}")
    return printed


def free_port_base(addresses: Iterable[str] = ("127.0.0.1",)) -> int:
    """A base at which every listener's port is free on every address."""
    wanted = tuple(addresses)
    for _ in range(200):
        base = random.choice(PORT_BASES)
        ports = (*STANDARD_PORTS.values(), *HEALTH_PORTS)
        if all(_is_free(address, base + port) for address in wanted for port in ports):
            return base
    raise StackError("no free ports")


def free_port(host: str = "127.0.0.1") -> int:
    """One free TCP port that no outgoing connection will take either."""
    for _ in range(200):
        port = random.randrange(PORT_BASES.start, PORT_BASES.stop)
        if _is_free(host, port):
            return port
    raise StackError("no free port")


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _options(
    listen: Sequence[str],
    resolver: str | None,
    relay_port: int | None,
    workers: int | None,
    allow_plaintext_auth: bool,
) -> list[str]:
    options = [item for address in listen for item in ("--listen", address)]
    options += ["--resolver", resolver] if resolver else []
    options += ["--relay-port", str(relay_port)] if relay_port else []
    options += ["--workers", str(workers)] if workers else []
    return options + (["--allow-plaintext-auth"] if allow_plaintext_auth else [])


def _lines_since(log: Path, begin: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(begin)
        return [line.strip() for line in file.read().decode(errors="replace").splitlines()]


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _send(pid: int, how: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, how)
