"""The mail log: structured events, one method each, always with the entry id where there is one.

Never a password, never a body.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from select import PIPE_BUF
from typing import Any, BinaryIO

import orjson
import structlog


def configure(level: str = "info", style: str = "json") -> None:
    """Send structured logs to standard error: JSON lines, or text for people."""
    if style == "json":
        renderer: Any = structlog.processors.JSONRenderer(serializer=orjson.dumps)
        lines = _Lines(sys.stderr.buffer)
        os.register_at_fork(before=lines.flush)
        factory: Any = lambda *_: lines  # noqa: E731 - one for all loggers: their lines keep their order
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
        factory = structlog.PrintLoggerFactory(sys.stderr)
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(
        processors=[_complete, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)


class _Lines:
    """A line for each event; what only informs is written at the end of the loop's turn, many lines at once.

    A commit group ends many messages in one turn, and a write for each costs more than making its line. No write is
    longer than what a pipe takes whole: processes share it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._waiting: list[bytes] = []
        self._size = 0  # octets of those

    def info(self, line: bytes) -> None:
        """Write a line soon: at once where no loop runs."""
        loop = asyncio._get_running_loop()  # get_running_loop raises where there is none, as in a thread
        with self._lock:
            if self._size + len(line) >= PIPE_BUF:
                self._write()
            if not self._waiting and loop is not None:
                loop.call_soon(self.flush)
            self._waiting.append(line)
            self._size += len(line) + 1
            if loop is None:
                self._write()

    def error(self, line: bytes) -> None:
        """Write a line now, behind those that wait: the process may end."""
        self.info(line)
        self.flush()

    debug = warning = critical = error

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        if self._waiting:
            self._file.write(b"\n".join(self._waiting) + b"\n")
            self._file.flush()
            self._waiting.clear()
            self._size = 0


def _complete(logger: Any, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Add level, time and traceback in one step: each message is logged, and structlog's own steps add up."""
    event["level"] = "warning" if method == "warn" else method
    seconds, fraction = divmod(time.time_ns() // 1_000_000, 1000)
    event["at"] = f"{_clock_of(seconds)}.{fraction:03d}Z"
    if "exc_info" in event:
        return structlog.processors.ExceptionRenderer()(logger, method, dict(event))
    return event


@lru_cache(maxsize=2)
def _clock_of(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


class MailLog:
    """The events of a message's life, and of the service that tells them."""

    def __init__(self, service: str) -> None:
        self._log = structlog.get_logger().bind(service=service)

    def accepted(self, entry: str, *, sender: str, recipients: int, size: int, ip: str, account: str = "") -> None:
        """A message is durable and got its 250."""
        self._log.info("accepted", entry=entry, sender=sender, recipients=recipients, size=size, ip=ip, account=account)

    def rejected(self, *, ip: str, sender: str, recipient: str, reply: str) -> None:
        """A command or a message was refused with `reply`."""
        self._log.info("rejected", ip=ip, sender=sender, recipient=recipient, reply=reply)

    def delivered(self, entry: str, *, recipient: str, account: str, mailbox: str, uid: int) -> None:
        """A message is in a mailbox."""
        self._log.info("delivered", entry=entry, recipient=recipient, account=account, mailbox=mailbox, uid=uid)

    def relayed(self, entry: str, *, recipient: str, host: str, reply: str) -> None:
        """Another server took over."""
        self._log.info("relayed", entry=entry, recipient=recipient, host=host, reply=reply)

    def redirected(self, entry: str, *, recipient: str, target: str, child: str) -> None:
        """A recipient's mail goes on to another address as entry `child`."""
        self._log.info("redirected", entry=entry, recipient=recipient, target=target, child=child)

    def deferred(self, entry: str, *, recipient: str, reason: str, until: float) -> None:
        """Another attempt is due at `until` (Unix seconds)."""
        self._log.info("deferred", entry=entry, recipient=recipient, reason=reason, until=until)

    def bounced(self, entry: str, *, recipient: str, reason: str, child: str) -> None:
        """A recipient failed for good; the report is entry `child` ("" when none may be sent)."""
        self._log.info("bounced", entry=entry, recipient=recipient, reason=reason, child=child)

    def filtered(self, entry: str, *, recipient: str, what: str, **details: str) -> None:
        """A filter discarded a message, answered it or told somebody of it."""
        self._log.info("filtered", entry=entry, recipient=recipient, what=what, **details)

    def quarantined(self, entry: str, *, recipient: str, reason: str) -> None:
        """A recipient's mail was kept back, or thrown away, as a scanner wanted."""
        self._log.info("quarantined", entry=entry, recipient=recipient, reason=reason)

    def login(self, *, ip: str, account: str, protocol: str) -> None:
        """Somebody logged in."""
        self._log.info("login", ip=ip, account=account, protocol=protocol)

    def login_failed(self, *, ip: str, account: str, protocol: str) -> None:
        """A login failed."""
        self._log.warning("login_failed", ip=ip, account=account, protocol=protocol)

    def trouble(self, what: str, **details: Any) -> None:
        """Something that the operator should know of."""
        self._log.error("trouble", what=what, **details)

    def info(self, event: str, **details: Any) -> None:
        """An event of the service itself: started, draining, stopped."""
        self._log.info(event, **details)

    def debug(self, event: str, **details: Any) -> None:
        """Details for a developer."""
        self._log.debug(event, **details)
