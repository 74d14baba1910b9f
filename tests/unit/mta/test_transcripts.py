"""SMTP sessions as they go over the wire: tests/transcripts/smtp/*.txt, fed whole and octet by octet.

# key: value      role (mx, submission, lmtp), ip, trusted (a network), plaintext_auth (yes), limit NAME=VALUE
C: text           the client sends a line; lines without S: between them are sent as one piece
C! text           … octets with Python's escapes, and no CRLF added
S: text           the server's next line; * stands for anything
J: number         that many messages are in the journal now
X:                the server has closed the connection
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from services.mta.client import Role
from services.mta.limits import Limits
from tests.unit.mta.fakes import FakeMta, Wire

FOLDER = Path(__file__).resolve().parents[2] / "transcripts" / "smtp"
TRANSCRIPTS = sorted(FOLDER.glob("*.txt"))


@dataclass
class Transcript:
    """A file's settings and steps."""

    settings: dict[str, str] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    steps: list[tuple[str, str]] = field(default_factory=list)

    def mta(self) -> FakeMta:
        trusted = self.settings.get("trusted")
        return FakeMta(
            limits=Limits(**self.limits),  # type: ignore[arg-type]
            trusted=(trusted,) if trusted else (),
            plaintext_auth=self.settings.get("plaintext_auth") == "yes",
        )

    def connect(self, mta: FakeMta) -> Wire:
        return mta.connect(Role(self.settings.get("role", "mx")), self.settings.get("ip", "192.0.2.7"))


def read(path: Path) -> Transcript:
    transcript = Transcript()
    for line in path.read_text().splitlines():
        setting = re.match(r"# (\w+): (.*)", line)
        limit = re.match(r"# limit (\w+)=([\d.]+)", line)
        if limit:
            number = float(limit[2])
            transcript.limits[limit[1]] = int(number) if number.is_integer() else number
        elif setting:
            transcript.settings[setting[1]] = setting[2]
        elif re.match(r"(C[:!]|S:|J:|X:)", line):
            transcript.steps.append((line[:2], line[3:]))
        else:
            assert not line.strip() or line.startswith("#"), line
    return transcript


@pytest.mark.parametrize("size", [0, 1, 3], ids=["whole", "octets", "threes"])
@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
async def test_transcript(path: Path, size: int) -> None:
    transcript = read(path)
    mta = transcript.mta()
    wire = transcript.connect(mta)
    lines = (await wire.settle()).split(b"\r\n")[:-1]
    pending = b""
    for number, (kind, text) in enumerate(transcript.steps):
        where = f"{path.name}, step {number}: {kind} {text}"
        if kind in ("C:", "C!"):
            pending += text.encode() + b"\r\n" if kind == "C:" else _unescaped(text)
            continue
        if pending:
            assert lines == [], f"{where}: not expected: {lines}"
            lines = (await _send(wire, pending, size)).split(b"\r\n")[:-1]
            pending = b""
        if kind == "S:":
            assert lines, f"{where}: the server says nothing"
            assert fnmatchcase(lines[0].decode(), text.replace("[", "[[]")), f"{where}: got {lines[0]!r}"
            lines = lines[1:]
        elif kind == "J:":
            assert len(mta.journal.entries) == int(text), where
        else:
            assert wire.transport.closed, where
    assert lines == [], f"{path.name}: the server says more: {lines}"
    await wire.hang_up()
    assert mta.desk.sessions == set() and mta.desk.gate.open == 0


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) >= 10


async def _send(wire: Wire, data: bytes, size: int) -> bytes:
    if not size:
        return await wire.send(data)
    for at in range(0, len(data), size):
        if not wire.transport.closed:
            wire.session.data_received(data[at : at + size])
        for _ in range(4):
            await asyncio.sleep(0)
    return await wire.settle()


def _unescaped(text: str) -> bytes:
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape").encode("latin-1")
