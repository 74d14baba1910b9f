"""SMTP clients: Postfix's smtp-source and smtp-sink, and our own generator for many recipients."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from tests.bench.accounts import SENDER
from tests.bench.corpus import Mail
from tests.bench.drivers.conversations import Conversation, converse
from tests.bench.server import Endpoint

REFUSALS = (b"4", b"5")
SINK_START_TIMEOUT = 10.0
SINK_BACKLOG = 100
SINK_SESSIONS = 256


@dataclass(frozen=True, slots=True)
class SourceRun:
    """What smtp-source took: the CPU seconds are those of the busiest process."""

    seconds: float
    cpu_seconds: float


def smtp_source(
    endpoint: Endpoint, recipient: str, *, messages: int, sessions: int, size: int, reuse: bool, processes: int = 1
) -> SourceRun:
    """Send with Postfix's smtp-source; RuntimeError unless each message got its 250.

    Each message's bytes differ: smtp-source puts its process id, the connection's descriptor and a running
    message number into the Message-Id field. Several processes share the messages and the sessions.
    """
    begin = time.perf_counter()
    running = [
        _begin_source(endpoint, recipient, _share(messages, n, processes), _share(sessions, n, processes), size, reuse)
        for n in range(processes)
    ]
    cpu = [_finish_source(process) for process in running]
    return SourceRun(time.perf_counter() - begin, max(cpu))


def _share(whole: int, number: int, processes: int) -> int:
    return whole // processes + (number < whole % processes)


def _begin_source(
    endpoint: Endpoint, recipient: str, messages: int, sessions: int, size: int, reuse: bool
) -> subprocess.Popen[bytes]:
    command = ["smtp-source", "-s", str(sessions), "-m", str(messages), "-l", str(size), "-C", "20"]
    command += ["-f", SENDER, "-t", recipient, "-M", "source.bench.test"] + (["-d"] if reuse else [])
    return subprocess.Popen([*command, f"{endpoint[0]}:{endpoint[1]}"], stderr=subprocess.PIPE)


def _finish_source(process: subprocess.Popen[bytes]) -> float:
    """Wait for the end; the CPU seconds."""
    assert process.stderr is not None
    complaint = process.stderr.read().decode(errors="replace")
    _, status, resources = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode != 0:
        raise RuntimeError(f"smtp-source: {complaint}")
    return resources.ru_utime + resources.ru_stime


def send_pipelined(
    endpoint: Endpoint, mails: list[Mail], recipients: tuple[str, ...], sessions: int, *, lmtp: bool = False
) -> None:
    """Send each mail to the next recipient in turn, envelope pipelined; raises Refused at any reply but 250."""
    requests = [
        (_envelope(recipients[number % len(recipients)]), mail.data + b".\r\n") for number, mail in enumerate(mails)
    ]
    work = iter(requests)
    converse((_sender(work, b"LHLO" if lmtp else b"EHLO") for _ in range(sessions)), endpoint, sessions)


def _envelope(recipient: str) -> bytes:
    return f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode()


def _sender(work: Iterator[tuple[bytes, bytes]], hello: bytes) -> Conversation:
    yield b"", (b"220 ", *REFUSALS)
    yield hello + b" client.bench.test\r\n", (b"250 ", *REFUSALS)
    for envelope, body in work:
        yield envelope, (b"354 ", *REFUSALS)
        yield body, (b"250 ", *REFUSALS)
    yield b"QUIT\r\n", (b"221 ",)


class SmtpSink:
    """Postfix's smtp-sink, and when its count of messages reached which number."""

    def __init__(self, port: int) -> None:
        self.endpoint: Endpoint = ("127.0.0.1", port)
        self.count = 0
        self.first_at = 0.0  # perf_counter when the count was first seen above zero …
        self.first_count = 0  # … and what it was then
        self.last_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._changed = threading.Condition()

    def start(self) -> Self:
        """Listen on the port."""
        command = ["smtp-sink", "-4", "-u", "nobody", "-c", "-m", str(SINK_SESSIONS), f"127.0.0.1:{self.endpoint[1]}"]
        self._process = subprocess.Popen([*command, str(SINK_BACKLOG)], stdout=subprocess.PIPE)
        threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()
        return self

    def wait_for(self, messages: int, timeout: float) -> None:
        """Return once it has counted as many; TimeoutError otherwise."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while self.count < messages:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"{self.count} of {messages} messages at the sink")

    @property
    def rate(self) -> float:
        """Messages per second between the first count seen and the last."""
        return (self.count - self.first_count) / (self.last_at - self.first_at)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    __enter__ = start

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Follow the counters that -c prints: `sess=N quit=N mesg=N`, each over the last one."""
        assert process.stdout is not None
        rest = b""
        while data := os.read(process.stdout.fileno(), 65536):
            now = time.perf_counter()
            counts = re.findall(rb"mesg=(\d+)(?=\D)", rest + data)
            rest = (rest + data)[-60:]
            if counts:
                self._note(int(counts[-1]), now)

    def _note(self, count: int, now: float) -> None:
        with self._changed:
            if count <= self.count:
                return
            if not self.count:
                self.first_at, self.first_count = now, count
            self.count, self.last_at = count, now
            self._changed.notify_all()
