"""Fuzzes a ManageSieve session: whatever a client sends, each command gets one answer and nothing breaks."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.access.connection import Connection
from services.access.limits import Limits
from services.access.managesieve.session import SieveSession
from shared.directory import Account
from shared.operations.actor import NotFound
from shared.operations.scripts import BadScript, QuotaReached, StoredScript
from shared.sieve import SieveError

FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
PLAIN = b'AUTHENTICATE "PLAIN" "AGEAYg=="\r\n'
PIECES = st.lists(
    st.sampled_from(
        [
            PLAIN,
            b'AUTHENTICATE "PLAIN"\r\n',
            b'"AGEAYg=="\r\n',
            b'"*"\r\n',
            b"CAPABILITY\r\n",
            b"LISTSCRIPTS\r\n",
            b'PUTSCRIPT "a" {5+}\r\nkeep;\r\n',
            b'PUTSCRIPT "a" {3+}\r\nfoo\r\n',
            b'GETSCRIPT "a"\r\n',
            b'SETACTIVE ""\r\n',
            b'HAVESPACE "a" 99\r\n',
            b'NOOP "x"\r\n',
            b"UNAUTHENTICATE\r\n",
            b"LOGOUT\r\n",
            b"\r\n",
            b'"',
            b"{",
            b"{3+}\r\n",
            b"\x00\xff",
            b"{99999999+}\r\n",
        ]
    )
    | st.binary(max_size=12),
    max_size=25,
)


class Wire:
    """The connection as a session sees it."""

    is_tls, ip, mechanisms = True, "192.0.2.1", (b"PLAIN",)

    def __init__(self) -> None:
        self.sent = b""
        self.closed = False
        self.bindings: dict[str, bytes] = {}

    def write(self, data: bytes) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def end_of_work(self) -> bool:
        return self.closed

    def expect_within(self, seconds: float) -> None:
        assert seconds > 0

    async def drain(self) -> None:
        await asyncio.sleep(0)

    answer_all = Connection.answer_all


class FakeScripts:
    """Scripts in memory, with every kind of failure."""

    async def check(self, content: bytes) -> None:
        if content != b"keep;":
            raise BadScript([SieveError(1, 1, "unknown command\r\n\0")])

    async def check_space(self, owner: Any, name: str, size: int) -> None:
        raise QuotaReached("scripts", "too many")

    async def put(self, owner: Any, name: str, content: bytes) -> None:
        await self.check(content)

    async def listing(self, owner: Any) -> list[StoredScript]:
        return [StoredScript(1, 'a "b" \\', True, 5, "", 0)]

    async def get(self, owner: Any, name: str) -> bytes:
        raise NotFound("none")

    async def activate(self, owner: Any, name: str) -> None:
        return None


class FakeLogins:
    async def answer(self, protocol: str, ip: str, exchange: Any, step: Any) -> Any:
        return Account(1, "a@b.test", True, 0, 0, 0) if type(step).__name__ == "Credentials" else step


class Log:
    def trouble(self, what: str, **details: Any) -> None:
        raise AssertionError(f"{what}: {details}")


async def talk(pieces: list[bytes]) -> Wire:
    wire = Wire()
    desk = SimpleNamespace(limits=Limits(), plaintext_auth=False, logins=FakeLogins(), scripts=FakeScripts(), log=Log())
    session = SieveSession(desk, wire)  # type: ignore[arg-type]
    session.greet()
    for piece in pieces:
        if not wire.closed:
            session.feed(piece)
            await session.work()
    session.closed()
    return wire


@FUZZ
@given(PIECES)
def test_nothing_breaks(pieces: list[bytes]) -> None:
    wire = asyncio.run(talk(pieces))
    assert wire.sent.startswith(b'"IMPLEMENTATION"') and wire.sent.endswith(b"\r\n")
    whole = asyncio.run(talk([b"".join(pieces)]))
    assert whole.sent == wire.sent
