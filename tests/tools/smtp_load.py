"""Load clients: many messages with unique ids over many connections, each 250 written down.

    load = SmtpLoad(LoadPlan(hosts=(("127.0.0.1", 10025),), recipients=("a@x.test",), messages=500), log)
    load.start(); ...kill things...; load.join()
    load.acknowledged   # {id: recipient} of every 250

The clients survive refused connections, lost connections and temporary failures: they go on with
the same id, so an id may well arrive twice although one 250 was seen (the reply of the first was lost).
"""

from __future__ import annotations

import contextlib
import itertools
import re
import smtplib
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.tools.certificates import trusting_context

ID_FIELD = "X-Load-Id"
_ENTRY = re.compile(rb"\b[0-7][0-9A-HJKMNP-TV-Z]{25}\b")  # an entry id in a 250
RETRY_PAUSE = 0.1  # seconds after a failure
SOCKET_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is sent where: recipients and hosts are taken in turn."""

    hosts: tuple[tuple[str, int], ...]
    recipients: tuple[str, ...]
    messages: int
    connections: int = 10
    per_connection: int = 20  # messages, then QUIT and connect again
    sender: str = "load@elsewhere.test"
    body_size: int = 2000
    credentials: tuple[str, str] | None = None  # user, password: STARTTLS, then AUTH
    pause: float = 0.0  # seconds between messages of a connection
    give_up_after: float = 600.0  # seconds


class SmtpLoad:
    """A running load; `acknowledged` grows with each 250 and is in the log before it is counted."""

    def __init__(self, plan: LoadPlan, log: Path) -> None:
        self.plan = plan
        self.log = log
        self.acknowledged: dict[str, str] = {}
        self.entries: dict[str, str] = {}  # by the entry id that the 250 told: its recipient
        self.refused: dict[str, str] = {}  # id: permanent reply
        self.temporary_failures = 0
        self.lost_connections = 0
        self._numbers = itertools.count()
        self._hosts = itertools.cycle(plan.hosts)
        self._run = uuid.uuid4().hex[:8]
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._file = log.open("a")
        self._threads = [
            threading.Thread(target=self._client, name=f"load-{number}", daemon=True)
            for number in range(plan.connections)
        ]

    def start(self) -> Self:
        """Start all clients."""
        self._deadline = time.monotonic() + self.plan.give_up_after
        for thread in self._threads:
            thread.start()
        return self

    def join(self) -> None:
        """Wait until every message has its 250 or permanent refusal; TimeoutError if the plan's time is up."""
        for thread in self._threads:
            thread.join()
        self._file.close()
        done = len(self.acknowledged) + len(self.refused)
        if done < self.plan.messages and not self._stop.is_set():
            raise TimeoutError(f"{done} of {self.plan.messages} messages in {self.plan.give_up_after} s")

    def stop(self) -> None:
        """Send no more messages; those under way are finished."""
        self._stop.set()

    def _client(self) -> None:
        """Send messages until all numbers are taken; each is retried until it is answered for good."""
        smtp: smtplib.SMTP | None = None
        sent = 0
        while (number := next(self._numbers)) < self.plan.messages and not self._stop.is_set():
            while time.monotonic() < self._deadline:
                try:
                    if smtp is None or sent >= self.plan.per_connection:
                        smtp = self._reconnect(smtp)
                        sent = 0
                    self._send(smtp, number)
                    sent += 1
                    break
                except (OSError, smtplib.SMTPException):
                    self._note_lost(smtp)
                    smtp = None
            time.sleep(self.plan.pause)
        if smtp is not None:
            with contextlib.suppress(OSError, smtplib.SMTPException):
                smtp.quit()

    def _reconnect(self, old: smtplib.SMTP | None) -> smtplib.SMTP:
        if old is not None:
            with contextlib.suppress(OSError, smtplib.SMTPException):
                old.quit()
        with self._lock:
            host, port = next(self._hosts)
        smtp = smtplib.SMTP(host, port, timeout=SOCKET_TIMEOUT)
        smtp.ehlo("load.test")
        if self.plan.credentials is not None:
            smtp.starttls(context=trusting_context())
            smtp.login(*self.plan.credentials)
        return smtp

    def _send(self, smtp: smtplib.SMTP, number: int) -> None:
        """One message; raises SMTPException to have it tried again."""
        recipient = self.plan.recipients[number % len(self.plan.recipients)]
        load_id = f"{self._run}-{number:06d}"
        reply: bytes | None = b""
        for attempt in (
            lambda: smtp.mail(self.plan.sender),
            lambda: smtp.rcpt(recipient),
            lambda: smtp.data(load_message(load_id, self.plan.sender, recipient, self.plan.body_size)),
        ):
            reply = self._accepted(smtp, attempt, load_id)
            if reply is None:
                return
        with self._lock:
            self._file.write(f"{load_id} {recipient}\n")
            self._file.flush()
            self.acknowledged[load_id] = recipient
            if entry := _ENTRY.search(reply or b""):
                self.entries[entry[0].decode()] = recipient

    def _accepted(self, smtp: smtplib.SMTP, attempt: Callable[[], tuple[int, bytes]], load_id: str) -> bytes | None:
        """The text of a 2xx, None once a permanent refusal is noted; a temporary one is raised."""
        try:
            code, text = attempt()
        except smtplib.SMTPDataError as error:
            code, text = error.smtp_code, _octets(error.smtp_error)
        if code < 300:
            return text
        smtp.rset()
        if code < 500:
            self.temporary_failures += 1
            raise smtplib.SMTPResponseException(code, text)
        with self._lock:
            self.refused[load_id] = f"{code} {text.decode(errors='replace')}"
        return None

    def _note_lost(self, smtp: smtplib.SMTP | None) -> None:
        if smtp is not None:
            smtp.close()
        self.lost_connections += 1
        time.sleep(RETRY_PAUSE)


def load_message(load_id: str, sender: str, recipient: str, body_size: int) -> bytes:
    """A message whose bytes differ from every other's and whose id is in its head."""
    head = (
        f"From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: load {load_id}\r\n"
        f"Message-ID: <{load_id}@load.test>\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n{ID_FIELD}: {load_id}\r\n"
    )
    line = f"{load_id} " + "abcdefghij" * 6 + "\r\n"
    return (head + "\r\n" + line * max(1, body_size // len(line))).encode()


def read_log(path: Path) -> dict[str, str]:
    """The ids of a load's log with their recipients."""
    return dict(line.split(" ", 1) for line in path.read_text().splitlines())


def _octets(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
