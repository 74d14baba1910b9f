"""Conversations as they look on the wire: tests/transcripts/imap and pop3.

    C: what the client sends            S: what the server must send; `...` stands for anything in a line
    S~: what the server must send after any lines
    C2: S2: another client of the same account        # a comment
    X: octets that the client sends, \\r \\n \\0 and \\x.. for some of them, and no line end
    D: name    deliver a message of MESSAGES to alice, as the MDA does
    {{name}}   a number, the same wherever the name is used again
    F:         forget all expunges, as maintenance does after a day

The greeting is read before the first line, so that a transcript begins with a command.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.mailbox.pruning import prune_expunged
from tests.integration.access.conftest import RunningAccess
from tests.integration.access.messages import MESSAGES
from tests.integration.access.wire import Client

FOLDER = Path(__file__).parents[2] / "transcripts"
NEVER = 1 << 62  # microseconds: all expunges are older
_ESCAPE = re.compile(rb"\\(?:x([0-9a-f]{2})|([rn0]))")
_STEP = re.compile(r"(C|S|D|X|F)(\d?)(~?): ?(.*)")
_NUMBER = re.compile(r"\{\{(\w+)\}\}")
_ESCAPED_NUMBER = re.compile(r"\\\{\\\{(\w+)\\\}\\\}")


@pytest.mark.parametrize("path", sorted(FOLDER.glob("imap/*.txt")), ids=lambda path: path.stem)
def test_imap(path: Path, access: RunningAccess) -> None:
    _play(path, access, access.imap)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("imap/*.txt")), ids=lambda path: path.stem)
def test_imap_on_postgres(path: Path, access_on_postgres: RunningAccess) -> None:
    _play(path, access_on_postgres, access_on_postgres.imap)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("pop3/*.txt")), ids=lambda path: path.stem)
def test_pop3(path: Path, access: RunningAccess) -> None:
    _play(path, access, access.pop3)


def _play(path: Path, access: RunningAccess, port: int) -> None:
    clients: dict[str, Client] = {}
    numbers: dict[str, str] = {}
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not text or text.startswith("#"):
            continue
        step = _STEP.fullmatch(text)
        assert step is not None, f"{path.name}:{number}: {text}"
        kind, who, later, line = step.groups()
        if kind == "D":
            access.deliver(MESSAGES[line])
            continue
        if kind == "F":
            access.call(lambda: prune_expunged(access.worker._database, NEVER))
            continue
        line = _NUMBER.sub(lambda name, known=numbers: known.get(name[1], name[0]), line)
        if who not in clients:
            clients[who] = access.connect(port)
        if kind == "C":
            clients[who].send(line.encode() + b"\r\n")
            continue
        if kind == "X":
            clients[who].send(_ESCAPE.sub(_octet, line.encode()))
            continue
        got = clients[who].file.readline().decode("utf-8", "backslashreplace")
        while later and got and not _match(line, got.removesuffix("\r\n")):
            got = clients[who].file.readline().decode("utf-8", "backslashreplace")
        found = _match(line, got.removesuffix("\r\n"))
        assert found is not None, f"{path.name}:{number}: expected {line!r}, got {got!r}"
        numbers |= found.groupdict()
    assert clients
    for client in clients.values():
        client.close()


def _match(expected: str, got: str) -> re.Match[str] | None:
    literal = ".*".join(map(re.escape, expected.split("...")))
    return re.fullmatch(_ESCAPED_NUMBER.sub(r"(?P<\1>[0-9]+)", literal), got)


def _octet(escape: re.Match[bytes]) -> bytes:
    return bytes.fromhex(escape[1].decode()) if escape[1] else {b"r": b"\r", b"n": b"\n", b"0": b"\0"}[escape[2]]
