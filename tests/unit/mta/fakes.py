"""In-memory parts for the mta's tests: directory, journal, transport, a session over them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from services.mta.accept import Acceptance
from services.mta.allowance import Allowance
from services.mta.client import Role
from services.mta.desk import Desk
from services.mta.limits import Limits
from services.mta.lmtp import LmtpSession
from services.mta.prompt import PromptSession
from services.mta.recipients import Recipients
from services.mta.session import MailSession
from shared.address import Address
from shared.directory import Account, Verdict
from shared.directory.logins import Logins
from shared.errors import TemporaryFailure
from shared.journal.record import LargeFile
from shared.journal.reference import Reference
from shared.maillog import MailLog
from shared.message.envelope import Envelope
from shared.net import ConnectionGate, Networks
from shared.queue.delivery import Item
from shared.queue.throttle import Verdict as Count

NOW = 1_795_406_400.0  # Mon, 23 Nov 2026 04:00:00 UTC
SEGMENT = "2026-11-23/mta-0-01M83AEFQKGVM4BHG04Y13W1KF-1"
ALICE = Account(1, "alice@a.test", True, 0, 0, 0)
BOB = Account(2, "bob@a.test", True, 0, 0, 0)


class FakeDirectory:
    """a.test with alice, bob and some who can't get mail; everybody's password is `secret`."""

    verdicts: ClassVar[dict[str, Verdict]] = {
        "alice@a.test": Verdict.LOCAL,
        "bob@a.test": Verdict.LOCAL,
        "postmaster@a.test": Verdict.LOCAL,
        "full@a.test": Verdict.OVER_QUOTA,
        "gone@a.test": Verdict.DISABLED,
    }

    def __init__(self) -> None:
        self.away = False

    async def verify(self, address: Address) -> Verdict:
        if self.away:
            raise TemporaryFailure("The database is away")
        known = self.verdicts.get(address.without_tag().key)
        return known or (Verdict.UNKNOWN if address.domain == "a.test" else Verdict.NOT_LOCAL)

    def verified(self, address: Address) -> Verdict | None:
        return None if self.away else self.verdicts.get(address.without_tag().key)

    async def may_send_as(self, account: Account, address: Address) -> bool:
        return address.without_tag().key == account.address

    async def authenticate(self, login: str, password: str) -> Account | None:
        accounts = {account.address: account for account in (ALICE, BOB)}
        return accounts.get(login) if password == "secret" else None


class FakeUpload:
    """A large body in memory."""

    def __init__(self, journal: FakeJournal, entry: str) -> None:
        self.journal, self.name = journal, f"{entry}-0000"
        self.pieces: list[bytes] = []
        self.aborted = False

    async def write(self, data: bytes) -> None:
        if self.journal.upload_failure is not None:
            raise self.journal.upload_failure
        self.pieces.append(data)

    async def finish(self) -> LargeFile:
        return LargeFile(self.name, sum(map(len, self.pieces)), 0)

    async def abort(self) -> None:
        self.aborted = True


@dataclass
class FakeJournal:
    """Remembers what was appended; fails when told to."""

    entries: list[tuple[Envelope, bytes]] = field(default_factory=list)
    uploads: list[FakeUpload] = field(default_factory=list)
    failure: TemporaryFailure | None = None
    full: TemporaryFailure | None = None
    upload_failure: TemporaryFailure | None = None
    gate: asyncio.Event | None = None

    async def append(
        self, envelope: Envelope, body: bytes | Sequence[bytes], large: LargeFile | None = None
    ) -> Reference:
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        inline = body if isinstance(body, bytes) else b"".join(body)
        rest = b"".join(self.uploads[-1].pieces) if large is not None else b""
        self.entries.append((envelope, inline + rest))
        size = len(inline) + len(rest)
        return Reference(SEGMENT, 0, len(inline) + 100, 50, len(inline), size, large.name if large else "")

    def large(self, entry_id: str) -> FakeUpload:
        self.uploads.append(FakeUpload(self, entry_id))
        return self.uploads[-1]

    @property
    def has_space(self) -> bool:
        return self.full is None

    async def check_space(self) -> None:
        if self.full is not None:
            raise self.full


class FakeFailures:
    """Login failures, without Redis."""

    wait: float | None = 0.0

    def __init__(self) -> None:
        self.failed_for: list[tuple[str, str]] = []

    async def delay(self, ip: str, account: str) -> float | None:
        return self.wait

    async def failed(self, ip: str, account: str) -> None:
        self.failed_for.append((ip, account))

    async def succeeded(self, ip: str, account: str) -> None:
        self.failed_for = [pair for pair in self.failed_for if pair != (ip, account)]


class FakeThrottle:
    """Messages of an hour, without Redis."""

    def __init__(self) -> None:
        self.used: dict[str, int] = {}

    async def count(self, name: str, subject: str, *, limit: int, window: float, amount: int = 1) -> Count:
        used = self.used.get(subject, 0)
        if used + amount > limit:
            return Count(False, used, 1200.0)
        self.used[subject] = used + amount
        return Count(True, used + amount, 0.0)


class FakeTransport(asyncio.Transport):
    """What a session writes."""

    def __init__(self, ip: str = "192.0.2.7") -> None:
        super().__init__({"peername": (ip, 40000)})
        self.written = b""
        self.closed = False
        self.reading = True
        self.protocol: MailSession | None = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self.closed:
            self.written += bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            if self.protocol is not None:
                asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@dataclass
class FakeMta:
    """All a session needs, in memory."""

    limits: Limits = field(default_factory=Limits)
    trusted: tuple[str, ...] = ()
    plaintext_auth: bool = False
    directory: FakeDirectory = field(default_factory=FakeDirectory)
    journal: FakeJournal = field(default_factory=FakeJournal)
    failures: FakeFailures = field(default_factory=FakeFailures)
    throttle: FakeThrottle = field(default_factory=FakeThrottle)
    items: list[Item] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        log = MailLog("mta-test")
        self.desk = Desk(
            hostname="mail.a.test",
            limits=self.limits,
            gate=ConnectionGate(self.limits.connections, self.limits.connections_per_ip),
            tls=None,
            recipients=Recipients(self.directory, "mail.a.test", self.limits),
            acceptance=Acceptance(self.journal, self.items.append, "mail.a.test", lambda: NOW),
            logins=Logins(self.directory, self.failures, log, sleep=sleep),
            allowance=Allowance(self.throttle, self.limits, log),
            log=log,
            is_trusted=Networks(self.trusted).__contains__,
            plaintext_auth=self.plaintext_auth,
        )

    def connect(self, role: Role = Role.MX, ip: str = "192.0.2.7", *, prompt: bool = True) -> Wire:
        """A client's connection; `prompt` as the doors have it, obeying at once what can be."""
        transport = FakeTransport(ip)
        kind = LmtpSession if role is Role.LMTP else PromptSession if prompt else MailSession
        session = kind(self.desk, role)
        transport.protocol = session
        session.connection_made(transport)
        return Wire(session, transport)


@dataclass
class Wire:
    """The client's end."""

    session: MailSession
    transport: FakeTransport

    async def settle(self) -> bytes:
        """Let the session do what it can, and return what it has written since."""
        for _ in range(30):
            await asyncio.sleep(0)
        written, self.transport.written = self.transport.written, b""
        return written

    async def send(self, data: bytes) -> bytes:
        """Send octets as one piece, return the replies."""
        if not self.transport.closed:
            self.session.data_received(data)
        return await self.settle()

    async def dialogue(self, *lines: bytes) -> list[bytes]:
        """Send line by line, return the codes of the replies; the greeting's comes first."""
        replies = [await self.settle()]
        replies += [await self.send(line + b"\r\n") for line in lines]
        return [reply[:3] for reply in replies]

    async def hang_up(self) -> None:
        """Close the connection from outside."""
        self.session.connection_lost(None)
        await self.settle()
