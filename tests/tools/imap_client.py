"""A small asyncio IMAP client that shows every response as a value, and how to read one.

    client = await ImapClient.connect("127.0.0.1", 143)
    await client.ok("LOGIN alice secret")
    answer = await client.ok("FETCH 1 (UID FLAGS)")
    answer.untagged[0] == [1, b"FETCH", [b"UID", 7, b"FLAGS", [b"\\Seen"]]]

`on_response` is called with each untagged response as it comes, and with the command it came under.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

TIMEOUT = 60.0  # seconds for any answer
SAID = 400  # lines of a conversation that are kept …
SHOWN = 300  # … and octets of each
LINE_LIMIT = 16 * 1024 * 1024  # octets of one line
_LITERAL = re.compile(rb"~?\{(\d+)\}\r\n\Z")
_ATOM = re.compile(rb"[^ ()\"\[\]\r\n]*(?:\[[^\]]*\](?:<\d+>)?)?")
_STATUS = re.compile(rb"(OK|NO|BAD|BYE|PREAUTH) (?:\[([^\]]*)\] ?)?(.*)", re.DOTALL)

Value = Any  # int, bytes, None for NIL, or a list of values


class Disconnected(Exception):
    """The server has closed the connection."""


class CommandFailed(AssertionError):
    """A command wasn't answered with OK."""


@dataclass(frozen=True, slots=True)
class Status:
    """OK, NO, BAD or BYE with its response code (without brackets)."""

    condition: bytes
    code: bytes
    text: bytes

    def code_number(self, name: bytes) -> int | None:
        """The number of a response code such as HIGHESTMODSEQ, if this is that."""
        word, _, number = self.code.partition(b" ")
        return int(number) if word == name and number.isdigit() else None


@dataclass(slots=True)
class Answer:
    """What came for one command."""

    untagged: list[list[Value] | Status] = field(default_factory=list)
    status: Status = field(default_factory=lambda: Status(b"", b"", b""))

    def named(self, name: bytes) -> list[list[Value]]:
        """The data responses of one kind: `* 3 EXISTS`, `* SEARCH 1 2`."""
        return [one for one in self.untagged if isinstance(one, list) and kind_of(one) == name]

    def code_number(self, name: bytes) -> int | None:
        """The last number that a response code told, tagged or not."""
        statuses = [one for one in self.untagged if isinstance(one, Status)]
        found = [number for one in (*statuses, self.status) if (number := one.code_number(name)) is not None]
        return found[-1] if found else None


OnResponse = Callable[["list[Value] | Status", bytes], None]


class ImapClient:
    """One connection; commands get tags of their own and are answered one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._tag = 0
        self.greeting = Status(b"", b"", b"")
        self.on_response: OnResponse = lambda response, command: None
        self.said: deque[bytes] = deque(maxlen=SAID)  # the last lines of both sides, to be shown after a failure

    @classmethod
    async def connect(cls, host: str, port: int) -> ImapClient:
        """Connect and read the greeting."""
        reader, writer = await asyncio.open_connection(host, port, limit=LINE_LIMIT)
        client = cls(reader, writer)
        line = await client.line()
        client.greeting = read_status(line[2:])
        return client

    async def command(self, text: str | bytes, literal: bytes | None = None) -> Answer:
        """Send a command, a non-synchronising literal behind it; its answer."""
        tag = self.send(text, literal)
        await self._writer.drain()
        return await self.answer_to(tag, text if isinstance(text, bytes) else text.encode())

    async def ok(self, text: str | bytes, literal: bytes | None = None) -> Answer:
        """The same for a command that has to succeed."""
        answer = await self.command(text, literal)
        if answer.status.condition != b"OK":
            raise CommandFailed(f"{text!r}: {answer.status}")
        return answer

    def send(self, text: str | bytes, literal: bytes | None = None) -> bytes:
        """Send a command and don't wait; its tag."""
        self._tag += 1
        tag = b"t%d" % self._tag
        line = tag + b" " + (text if isinstance(text, bytes) else text.encode())
        self.said.append(b"C: " + line[:SHOWN])
        self._writer.write(line + (b"\r\n" if literal is None else b" {%d+}\r\n%b\r\n" % (len(literal), literal)))
        return tag

    async def answer_to(self, tag: bytes, command: bytes) -> Answer:
        """Read up to a command's tagged response."""
        answer = Answer()
        while True:
            line = await self.line()
            if line.startswith(tag + b" "):
                answer.status = read_status(line[len(tag) + 1 :])
                return answer
            if line.startswith(b"+"):
                continue
            answer.untagged.append(self._take(line, command))

    async def idle(self, until: Callable[[], bool], seconds: float) -> Answer:
        """IDLE until something is so, asked after each response, or for some seconds."""
        tag = self.send("IDLE")
        deadline = asyncio.get_running_loop().time() + seconds
        answer = Answer()
        while not until() and (left := deadline - asyncio.get_running_loop().time()) > 0:
            try:
                # a response must not be lost in the middle when the time is over
                line = await asyncio.wait_for(asyncio.shield(self._line_task()), left)
            except TimeoutError:
                break
            self._reading = None
            if not line.startswith(b"+"):
                answer.untagged.append(self._take(line, b"IDLE"))
        self._writer.write(b"DONE\r\n")
        ended = await self.answer_to(tag, b"IDLE")
        return Answer(answer.untagged + ended.untagged, ended.status)

    async def unasked(self, seconds: float) -> list[list[Value] | Status]:
        """What comes while no command is in progress, until nothing comes for some seconds (NOTIFY)."""
        found: list[list[Value] | Status] = []
        while True:
            try:
                line = await asyncio.wait_for(asyncio.shield(self._line_task()), seconds)
            except TimeoutError:
                return found
            self._reading = None
            found.append(self._take(line, b""))

    async def line(self) -> bytes:
        """The next response with its literals, without the last CRLF."""
        line = await asyncio.wait_for(self._line_task(), TIMEOUT)
        self._reading = None
        return line

    def abort(self) -> None:
        """Go away without a word."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Log out, if the server still listens."""
        with contextlib.suppress(Disconnected, ConnectionError):
            await self.command("LOGOUT")
        self._writer.close()

    _reading: asyncio.Task[bytes] | None = None

    def _line_task(self) -> asyncio.Task[bytes]:
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        return self._reading

    async def _read(self) -> bytes:
        whole = b""
        while True:
            line = await self._reader.readline()
            if not line.endswith(b"\n"):
                raise Disconnected(whole + line)
            whole += line
            literal = _LITERAL.search(line)
            if literal is None:
                self.said.append(b"S: " + whole[:SHOWN].rstrip())
                return whole.removesuffix(b"\r\n")
            try:
                whole += await self._reader.readexactly(int(literal[1]))
            except asyncio.IncompleteReadError:
                raise Disconnected(whole) from None

    def _take(self, line: bytes, command: bytes) -> list[Value] | Status:
        response = read_response(line)
        self.on_response(response, command)
        if isinstance(response, Status) and response.condition == b"BYE" and command != b"LOGOUT":
            raise Disconnected(line)
        return response


def kind_of(response: list[Value]) -> bytes:
    """The name of a data response, which a number may come before."""
    word = response[1] if isinstance(response[0], int) and len(response) > 1 else response[0]
    return word.upper() if isinstance(word, bytes) else b""


def read_response(line: bytes) -> list[Value] | Status:
    """Read an untagged response: a status, or the words of a data response."""
    assert line.startswith(b"* "), line
    if _STATUS.match(line, 2):
        return read_status(line[2:])
    return read_values(line[2:])


def read_status(line: bytes) -> Status:
    """Read `OK [CODE] text`."""
    found = _STATUS.fullmatch(line)
    assert found is not None, line
    return Status(found[1], found[2] or b"", found[3])


def read_values(text: bytes) -> list[Value]:
    """Read words, numbers, strings and lists, separated by spaces."""
    values, end = _read_list(text, 0)
    assert end == len(text), text
    return values


def _read_list(text: bytes, at: int) -> tuple[list[Value], int]:
    values: list[Value] = []
    while at < len(text) and text[at : at + 1] != b")":
        if text[at : at + 1] == b" ":
            at += 1
            continue
        value, at = _read_value(text, at)
        values.append(value)
    return values, at


def _read_value(text: bytes, at: int) -> tuple[Value, int]:
    match text[at : at + 1]:
        case b"(":
            inner, at = _read_list(text, at + 1)
            return inner, at + 1
        case b'"':
            return _read_quoted(text, at)
        case b"{" | b"~":
            end = text.index(b"\r\n", at)
            size = int(text[text.index(b"{", at) + 1 : text.index(b"}", at)])
            return text[end + 2 : end + 2 + size], end + 2 + size
        case _:
            atom = _ATOM.match(text, at)
            assert atom is not None
            assert atom.end() > at, text[at : at + 40]
            return _atom(atom[0]), atom.end()


def _read_quoted(text: bytes, at: int) -> tuple[bytes, int]:
    whole = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL).match(text, at)
    assert whole is not None, text[at : at + 40]
    return re.sub(rb"\\(.)", rb"\1", whole[1]), whole.end()


def _atom(word: bytes) -> Value:
    if word.isdigit():
        return int(word)
    return None if word.upper() == b"NIL" else word


def numbers_of(text: bytes | int) -> list[int]:
    """The numbers of a set such as `1:3,7`."""
    found: list[int] = []
    for element in (b"%d" % text if isinstance(text, int) else text).split(b","):
        low, _, high = element.partition(b":")
        found += range(int(low), int(high or low) + 1)
    return found


def pairs_of(values: list[Value]) -> dict[bytes, Value]:
    """The items of a FETCH response by name."""
    return {
        values[n].upper() if isinstance(values[n], bytes) else values[n]: values[n + 1]
        for n in range(0, len(values), 2)
    }
