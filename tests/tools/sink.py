"""An SMTP sink for tests: it records what it is sent and answers as its rules say.

    rules = [Rule("RCPT", reply="451 4.3.0 later", times=3), Rule("DOT", match="x@*", drop=True)]
    with Sink(rules=rules) as sink:
        ...  # send to sink.host, sink.port
        sink.wait_for(1)[0].data

A sink started with `SinkProcess` is a process of its own that can be killed with SIGKILL: it appends
each message to a journal and fdatasyncs it before its 250, so it loses nothing it said 250 to.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import fnmatch
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from tests.tools.certificates import self_signed

MAX_LINE = 4096
MAX_MESSAGE = 256 * 1024 * 1024
READ_SIZE = 256 * 1024
EXTENSIONS = ("8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8", f"SIZE {MAX_MESSAGE}")


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens at one point of a session, instead of the usual reply.

    `verb` is a command, or CONNECT (before the greeting), or DOT (after the message's last line).
    `match` is a shell pattern for the recipient at RCPT, any of the recipients at DOT and DATA, the
    sender at MAIL. The rule applies `times` times to each such address, after the first `skip`.
    """

    verb: str
    reply: str | None = None  # "451 4.3.0 text"; lines separated by \n
    match: str = "*"
    times: int | None = None
    skip: int = 0
    delay: float = 0.0  # seconds, before the reply
    drop: bool = False  # close the connection instead of replying
    keep: bool = False  # at DOT: record the message although the reply is no 250 (a lost reply)


@dataclass(frozen=True, slots=True)
class SinkMessage:
    """One message as it was sent: `data` is unstuffed, with CRLF line ends."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    helo: str
    tls: bool
    parameters: tuple[str, ...]  # of MAIL and of each RCPT, as sent
    session: int
    received: float  # seconds since the epoch
    user: str = ""

    def to_json(self) -> dict[str, Any]:
        """The journal's form."""
        return asdict(self) | {"data": base64.b64encode(self.data).decode()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> SinkMessage:
        """Inverse of `to_json`."""
        record["data"] = base64.b64decode(record["data"])
        record["recipients"] = tuple(record["recipients"])
        record["parameters"] = tuple(record["parameters"])
        return cls(**record)


@dataclass(slots=True)
class SinkCounts:
    """What the sink saw."""

    connections: int = 0
    open: int = 0
    most_open: int = 0
    messages: int = 0
    messages_by_session: Counter[int] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    pipelining_violations: int = 0


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """How the sink presents itself."""

    host: str = "127.0.0.1"
    port: int = 0
    hostname: str = "sink.test"
    extensions: tuple[str, ...] = EXTENSIONS
    pipelining: bool = True
    starttls: bool = False
    esmtp: bool = True  # False: EHLO gets 502
    credentials: tuple[str, str] | None = None  # AUTH PLAIN user and password, then required
    journal: Path | None = None  # messages are appended here and fdatasynced before their 250
    control: Path | None = None  # JSON list of rules, read again when it changes


class Sink:
    """An SMTP server in a thread of its own."""

    def __init__(self, options: SinkOptions | None = None, *, rules: Iterable[Rule] = ()) -> None:
        self.options = options or SinkOptions()
        self.host = self.options.host
        self.port = self.options.port
        self.counts = SinkCounts()
        self.messages: list[SinkMessage] = []
        self.script = Script(list(rules), self.options.control)
        self.certificate = Path(tempfile.mkdtemp(prefix="sink-")) if self.options.starttls else None
        self._tls = (
            self_signed(self.certificate, self.options.hostname, "localhost").server_context()
            if self.certificate
            else None
        )
        self._journal = _open_journal(self.options.journal) if self.options.journal else None
        self._loop = asyncio.new_event_loop()
        self._arrived = threading.Condition()
        self._started = threading.Event()
        self._error: OSError | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="sink", daemon=True)

    def start(self) -> Self:
        """Listen; raises OSError if the address can't be bound."""
        self._thread.start()
        self._started.wait()
        if self._error is not None:
            raise self._error
        return self

    def stop(self) -> None:
        """Close every connection and join the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        if self._journal is not None:
            self._journal.close()

    __enter__ = start

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def set_rules(self, *rules: Rule) -> None:
        """Replace all rules; their counters start again."""
        self.script.replace(list(rules))

    def wait_for(
        self, count: int, timeout: float = 30.0, where: Callable[[SinkMessage], bool] = lambda _: True
    ) -> list[SinkMessage]:
        """The messages that satisfy `where`, once there are `count`; raises TimeoutError."""
        deadline = time.monotonic() + timeout
        with self._arrived:
            while True:
                found = [message for message in self.messages if where(message)]
                if len(found) >= count:
                    return found
                if not self._arrived.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"{len(found)} of {count} messages after {timeout} s")

    def record(self, message: SinkMessage) -> None:
        """Make a message durable (if there is a journal) and visible."""
        if self._journal is not None:
            self._journal.write(json.dumps(message.to_json()).encode() + b"\n")
            self._journal.flush()
            os.fdatasync(self._journal.fileno())
        with self._arrived:
            self.counts.messages += 1
            self.counts.messages_by_session[message.session] += 1
            self.messages.append(message)
            self._arrived.notify_all()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            server = self._loop.run_until_complete(
                asyncio.start_server(self._serve, self.host, self.port, limit=READ_SIZE)
            )
        except OSError as error:
            self._error = error
            self._started.set()
            return
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        self._loop.run_forever()
        server.close()
        for task in self._tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        counts = self.counts
        counts.connections += 1
        counts.open += 1
        counts.most_open = max(counts.most_open, counts.open)
        try:
            await _Session(self, reader, writer, counts.connections, self._tls).run()
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError, _Dropped):
            pass  # the peer or a rule ended the session: that is recorded by what is missing
        finally:
            counts.open -= 1
            self._tasks.discard(task)
            writer.close()


class Script:
    """The rules in force and how often each has applied."""

    def __init__(self, rules: list[Rule], control: Path | None = None) -> None:
        self._control = control
        self._control_read = 0
        self.replace(rules)

    def replace(self, rules: list[Rule]) -> None:
        """Put other rules in force."""
        self._rules = rules
        self._seen: Counter[tuple[int, str]] = Counter()

    def find(self, verb: str, subjects: Sequence[str]) -> Rule | None:
        """The first rule that applies now, counting the occasion for every rule that matches."""
        self._read_control()
        chosen = None
        for number, rule in enumerate(self._rules):
            if rule.verb != verb:
                continue
            for subject in subjects:
                if not fnmatch.fnmatchcase(subject.lower(), rule.match.lower()):
                    continue
                self._seen[number, subject] += 1
                occasion = self._seen[number, subject] - rule.skip
                if chosen is None and occasion > 0 and (rule.times is None or occasion <= rule.times):
                    chosen = rule
        return chosen

    def _read_control(self) -> None:
        if self._control is None:
            return
        with contextlib.suppress(FileNotFoundError):
            changed = self._control.stat().st_mtime_ns
            if changed != self._control_read:
                self._control_read = changed
                self.replace([Rule(**item) for item in json.loads(self._control.read_text())])


class _Dropped(Exception):
    """A rule or QUIT ended the session."""


class _Session:
    """One connection: a line is read, its verb's method answers."""

    def __init__(
        self,
        sink: Sink,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        number: int,
        tls: Any,
    ) -> None:
        self._sink = sink
        self._options = sink.options
        self._reader = reader
        self._writer = writer
        self._number = number
        self._tls_context = tls
        self._buffer = bytearray()
        self._tls = False
        self._helo = ""
        self._user = ""
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._parameters: list[str] = []
        self._verbs = {
            "EHLO": self._ehlo,
            "HELO": self._helo_verb,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": self._noop,
            "QUIT": self._quit,
        }

    async def run(self) -> None:
        """Serve until the peer or a rule closes the connection."""
        await self._answer("CONNECT", "*", f"220 {self._options.hostname} ESMTP sink")
        while True:
            line = (await self._line()).decode("utf-8", "surrogateescape")
            verb, _, argument = line.partition(" ")
            verb = verb.upper()
            self._sink.counts.commands[verb] += 1
            if self._buffer and not self._options.pipelining:
                self._sink.counts.pipelining_violations += 1
            handler = self._verbs.get(verb)
            if handler is None:
                await self._send("500 5.5.2 unknown command")
            else:
                await handler(argument)

    async def _ehlo(self, argument: str) -> None:
        if not self._options.esmtp:
            await self._send("502 5.5.1 EHLO is not implemented")
            return
        self._helo = argument
        offers = list(self._options.extensions)
        offers += ["PIPELINING"] if self._options.pipelining else []
        offers += ["STARTTLS"] if self._tls_context and not self._tls else []
        offers += ["AUTH PLAIN"] if self._options.credentials else []
        await self._answer("EHLO", argument, "\n".join([f"250 {self._options.hostname}", *offers]))

    async def _helo_verb(self, argument: str) -> None:
        self._helo = argument
        await self._answer("HELO", argument, f"250 {self._options.hostname}")

    async def _starttls(self, _argument: str) -> None:
        if self._tls_context is None:
            await self._send("502 5.5.1 no TLS here")
        elif await self._answer("STARTTLS", "*", "220 2.0.0 go ahead"):
            self._buffer.clear()
            await self._writer.start_tls(self._tls_context)
            self._tls = True
            self._reset()

    async def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() != "PLAIN" or self._options.credentials is None:
            await self._send("504 5.5.4 unknown mechanism")
            return
        if not initial:
            await self._send("334 ")
            initial = (await self._line()).decode()
        _, user, password = base64.b64decode(initial).decode().split("\0")
        if (user, password) != self._options.credentials:
            await self._answer("AUTH", user, "535 5.7.8 wrong credentials")
        elif await self._answer("AUTH", user, "235 2.7.0 welcome"):
            self._user = user

    async def _mail(self, argument: str) -> None:
        address, parameters = _path(argument)
        if self._options.credentials and not self._user:
            await self._send("530 5.7.0 authentication required")
        elif await self._answer("MAIL", address, "250 2.1.0 sender ok"):
            self._sender = address
            self._parameters.append(parameters)

    async def _rcpt(self, argument: str) -> None:
        address, parameters = _path(argument)
        if self._sender is None:
            await self._send("503 5.5.1 MAIL first")
        elif await self._answer("RCPT", address, "250 2.1.5 recipient ok"):
            self._recipients.append(address)
            self._parameters.append(parameters)

    async def _data(self, _argument: str) -> None:
        if not self._recipients:
            await self._send("554 5.5.1 no valid recipients")
            return
        if not await self._answer("DATA", self._recipients, "354 go ahead"):
            self._reset()
            return
        message = self._message(await self._body())
        rule = self._sink.script.find("DOT", self._recipients)
        refused = rule is not None and (rule.drop or not (rule.reply or "250").startswith("2"))
        if not refused or (rule is not None and rule.keep):
            self._sink.record(message)
        self._reset()
        await self._apply(rule, "250 2.0.0 recorded")

    async def _rset(self, _argument: str) -> None:
        self._reset()
        await self._answer("RSET", "*", "250 2.0.0 reset")

    async def _noop(self, _argument: str) -> None:
        await self._answer("NOOP", "*", "250 2.0.0 ok")

    async def _quit(self, _argument: str) -> None:
        await self._answer("QUIT", "*", "221 2.0.0 bye")
        raise _Dropped

    def _reset(self) -> None:
        self._sender = None
        self._recipients = []
        self._parameters = []

    def _message(self, data: bytes) -> SinkMessage:
        return SinkMessage(
            sender=self._sender or "",
            recipients=tuple(self._recipients),
            data=data,
            helo=self._helo,
            tls=self._tls,
            parameters=tuple(self._parameters),
            session=self._number,
            received=time.time(),
            user=self._user,
        )

    async def _answer(self, verb: str, subjects: str | Sequence[str], usual: str) -> bool:
        """Reply as the rules or as usual; True if the reply was positive."""
        names = [subjects] if isinstance(subjects, str) else subjects
        return await self._apply(self._sink.script.find(verb, names), usual)

    async def _apply(self, rule: Rule | None, usual: str) -> bool:
        reply = usual
        if rule is not None:
            await asyncio.sleep(rule.delay)
            if rule.drop:
                self._writer.transport.abort()
                raise _Dropped
            reply = rule.reply or usual
        await self._send(reply)
        if reply.startswith("421"):
            raise _Dropped
        return reply[0] in "23"

    async def _send(self, reply: str) -> None:
        code, lines = reply[:3], reply[4:].split("\n")
        wire = [f"{code}-{line}\r\n" for line in lines[:-1]] + [f"{code} {lines[-1]}\r\n"]
        self._writer.write("".join(wire).encode())
        await self._writer.drain()

    async def _line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_LINE:
                raise ConnectionError("command line too long")
            await self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.rstrip(b"\r")

    async def _body(self) -> bytes:
        self._buffer[:0] = b"\r\n"  # so that an empty message ends like any other
        searched = 0
        while (end := self._buffer.find(b"\r\n.\r\n", searched)) < 0:
            searched = max(0, len(self._buffer) - 4)
            if searched > MAX_MESSAGE:
                raise ConnectionError("message too long")
            await self._fill()
        body = bytes(self._buffer[: end + 2]).replace(b"\r\n.", b"\r\n")[2:]
        del self._buffer[: end + 5]
        return body

    async def _fill(self) -> None:
        data = await self._reader.read(READ_SIZE)
        if not data:
            raise ConnectionError("closed by peer")
        self._buffer += data


def _open_journal(path: Path) -> BinaryIO:
    """Open for appending; a torn last line (we were killed) is ended first."""
    journal = path.open("ab+")
    if journal.seek(0, os.SEEK_END) and os.pread(journal.fileno(), 1, journal.tell() - 1) != b"\n":
        journal.write(b"\n")
    return journal


def _path(argument: str) -> tuple[str, str]:
    """The address and the parameters of `FROM:<a@b> X=Y` or `TO:<a@b>`."""
    _, _, rest = argument.partition(":")
    address, _, parameters = rest.strip().partition(">")
    return address.lstrip("<"), parameters.strip()


def read_journal(path: Path) -> list[SinkMessage]:
    """Every message recorded in a journal; a torn line was never acknowledged and is left out."""
    messages = []
    for line in path.read_bytes().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            messages.append(SinkMessage.from_json(json.loads(line)))
    return messages


class SinkProcess:
    """A sink as a child process with a journal and a control file in `folder`; may be killed any time."""

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0, *arguments: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.host = host
        self.port = port
        self.journal = folder / "messages.jsonl"
        self._control = folder / "rules.json"
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        """Start (again, on the same port); raises RuntimeError if it ends at once."""
        command = [sys.executable, "-m", "tests.tools.sink", "--listen", f"{self.host}:{self.port}"]
        command += ["--journal", str(self.journal), "--control", str(self._control), *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_repository())
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("listening on"):
            raise RuntimeError(f"the sink did not start: {line!r}")
        self.port = int(line.rpartition(":")[2])
        return self

    def set_rules(self, *rules: Rule) -> None:
        """Replace its rules, from its next command on."""
        fresh = self._control.with_suffix(".new")
        fresh.write_text(json.dumps([asdict(rule) for rule in rules]))
        fresh.rename(self._control)

    def messages(self) -> list[SinkMessage]:
        """Every message it said 250 to, in all its lives."""
        return read_journal(self.journal) if self.journal.exists() else []

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM."""
        self._end(signal.SIGTERM)

    __enter__ = start

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


def _repository() -> Path:
    return Path(__file__).resolve().parents[2]


def main() -> None:
    """Run a sink until SIGTERM."""
    options = _parser().parse_args()
    host, _, port = options.listen.rpartition(":")
    sink = Sink(
        SinkOptions(
            host=host.strip("[]"),
            port=int(port),
            hostname=options.hostname,
            pipelining=not options.no_pipelining,
            starttls=options.starttls,
            journal=options.journal,
            control=options.control,
        )
    )
    with sink:
        print(f"listening on {sink.host}:{sink.port}", flush=True)
        signal.sigwait({signal.SIGTERM, signal.SIGINT})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--listen", default="127.0.0.1:0")
    parser.add_argument("--hostname", default="sink.test")
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--control", type=Path)
    parser.add_argument("--starttls", action="store_true")
    parser.add_argument("--no-pipelining", action="store_true")
    return parser


if __name__ == "__main__":
    # Blocked before any thread starts, so that sigwait in the main thread gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
