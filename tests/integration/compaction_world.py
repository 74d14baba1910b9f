"""A volume and a mailbox for the compaction tests: deliver, settle, read back; also run as a worker to be killed."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from shared.db import Database, Query, Rows, Work, connect, load
from shared.directory.admin import add_account, add_domain
from shared.errors import PacketboatError
from shared.ids import new_id
from shared.imap.flags import FlagSet
from shared.journal.limits import Limits
from shared.journal.reader import Reader
from shared.journal.record import LargeFile
from shared.journal.reference import Reference
from shared.journal.scan import ScannedRecord
from shared.journal.segments import FileState, SegmentKind, list_segments
from shared.journal.writer import Writer
from shared.mailbox.appending import Appended, NewMessage, append
from shared.mailbox.blobs import NewBlob, lock_segments
from shared.mailbox.content import Content
from shared.mailbox.errors import SegmentRewritten
from shared.mailbox.mailbox import find
from shared.mailbox.maintenance import Policy, Progress, maintain
from shared.mailbox.messages import Messages, Want
from shared.message.envelope import Envelope, Kind, Lane, Recipient
from shared.message.rendered import render

BOB = "bob@b.test"
AT_ONCE = Policy(live_ratio=0.95, purge_age=0.0, small_count=2, grace=0.0, expunged_age=0.0, orphan_age=0.0, headroom=0)

recovery = load("recovery")
_LEDGER = Query(
    "insert_ledger",
    "INSERT INTO ledger (entry, recipient, target, outcome, at) VALUES (:entry, :recipient, '', 'delivered', 0)",
)
_PENDING = Query(
    "insert_pending",
    "INSERT INTO pending (entry, recipient, target, lane, segment_id, position, length, body, inline_size, size, large,"
    " due_at, first_at) VALUES (:entry, :recipient, '', 'relay', :segment_id, :position, :length, :body, :inline_size,"
    " :size, :large, 0, 0)",
)
_PENDING_REFERENCES = Query(
    "pending_references",
    "SELECT p.entry, s.name, p.position, p.length, p.body, p.inline_size, p.size, p.large"
    " FROM pending p JOIN segment s ON s.id = p.segment_id",
)
_SEGMENTS = Query("segments", "SELECT name, state, kind FROM segment ORDER BY id")


@dataclass
class World:
    """Bob's INBOX, and what must be in it."""

    database: Database
    root: Path
    writer: Writer
    reader: Reader
    messages: Messages
    account: int
    mailbox: int
    expected: dict[int, bytes] = field(default_factory=dict)  # by UID
    waiting: dict[str, bytes] = field(default_factory=dict)  # by entry

    async def deliver(self, body: bytes, *, large: bytes = b"") -> int:
        """Journal a message and deliver it; return its UID."""
        reference, entry = await self.journal(body, large=large)
        appended = await self.database.write(
            _deliver, self.account, self.mailbox, entry, reference, body + large, _now()
        )
        self.expected[appended.uid] = body + large
        return appended.uid

    async def append(self, body: bytes, *, pause: float = 0.0) -> int:
        """IMAP APPEND: journal, and then refer to it, again if compaction was faster."""
        while True:
            reference, entry = await self.journal(body, kind=Kind.APPEND)
            await asyncio.sleep(pause)
            try:
                done = await self.messages.append(
                    self.account, self.mailbox, entry, reference, render(body), FlagSet(), 0
                )
            except SegmentRewritten:
                continue
            self.expected[done.uid] = body
            return done.uid

    async def defer(self, body: bytes) -> str:
        """Journal a message that waits in `pending` for the relay."""
        reference, entry = await self.journal(body)
        await self.database.write(defer, entry, reference)
        self.waiting[entry] = body
        return entry

    async def journal(self, body: bytes, *, large: bytes = b"", kind: Kind = Kind.MESSAGE) -> tuple[Reference, str]:
        recipients = (Recipient(BOB, Lane.DELIVERY),) if kind is Kind.MESSAGE else ()
        envelope = Envelope(new_id(), "alice@a.test", recipients, 0, kind)
        return await self.writer.append(envelope, body, await self._upload(large)), envelope.id

    async def _upload(self, large: bytes) -> LargeFile | None:
        if not large:
            return None
        upload = self.writer.large(new_id())
        await upload.write(large)
        return await upload.finish()

    async def expunge(self, uid: int) -> None:
        del self.expected[uid]
        await self.messages.remove(self.account, self.mailbox, [(uid, uid)])

    async def settle(self) -> None:
        """Do the sweep's part: settle sealed segments whose recipients are all handled."""
        await settle(self.database, self.root, self.reader)

    async def maintain(self, policy: Policy = AT_ONCE, progress: Progress | None = None):  # type: ignore[no-untyped-def]
        return await maintain(self.database, self.root, self.reader, policy=policy, progress=progress)

    async def check(self) -> int:
        """Compare the mailbox and what waits with what must be there; return how many messages were read."""
        content, seen = Content(self.database, self.reader), 0
        expected = dict(self.expected)
        for low in expected:
            async for rows in self.messages.fetch_rows(self.mailbox, [(low, low)], Want.CONTENT):
                for row in rows:
                    assert await content.read(row) == expected[row["uid"]], row["uid"]
                    seen += 1
        assert seen == len(expected)
        for row in await self.database.read(_select, _PENDING_REFERENCES):
            assert self.reader.read(Reference(*tuple(row)[1:])) == self.waiting[row["entry"]]
        return seen

    async def segments(self) -> dict[str, str]:
        return {row["name"]: row["state"] for row in await self.database.read(_select, _SEGMENTS)}


async def open_world(database: Database, root: Path, *, segment_size: int = 20_000) -> World:
    await database.write(add_domain, "b.test", _now())
    account = await database.write(add_account, BOB, "x", _now())
    mailbox = await database.read(find, account, "INBOX")
    writer = Writer(root, "mta-1", limits=Limits(reserve=0, segment_size=segment_size))
    await writer.open()
    return World(database, root, writer, Reader(root), Messages(database), account, mailbox.id)


async def settle(database: Database, root: Path, reader: Reader) -> None:
    files = await asyncio.to_thread(list_segments, root)
    for file in files:
        if file.state is FileState.SEALED and file.kind is SegmentKind.JOURNAL:
            if await database.read(_settled, file.name):
                continue
            found = [x for x in await asyncio.to_thread(list, reader.scan(file.name)) if isinstance(x, ScannedRecord)]
            if await database.read(_handled, [record.envelope for record in found]):
                await database.write(_settle, file.name, file.size)


def _deliver(account: int, mailbox: int, entry: str, reference: Reference, data: bytes, now: int) -> Work[Appended]:
    yield _LEDGER(entry=entry, recipient=BOB)
    message = NewMessage(account, mailbox, NewBlob(entry, reference, render(data)), FlagSet(), 0)
    (answer,) = yield from append((message,), now)
    if isinstance(answer, PacketboatError):
        raise answer  # so that the transaction is taken back
    return answer


def defer(entry: str, reference: Reference) -> Work[None]:
    segments = yield from lock_segments([reference.segment])
    yield _PENDING(
        entry=entry,
        recipient=BOB,
        segment_id=segments[reference.segment],
        position=reference.offset,
        length=reference.length,
        body=reference.body,
        inline_size=reference.inline,
        size=reference.size,
        large=reference.large,
    )


def _select(query: Query) -> Work[Rows]:
    rows = yield query()
    return rows


def _settled(name: str) -> Work[bool]:
    rows = yield recovery.settled(names=[name])
    return bool(rows)


def _settle(name: str, length: int) -> Work[None]:
    yield recovery.settle(name=name, length=length)


def _handled(envelopes: list[Envelope]) -> Work[bool]:
    entries = [envelope.id for envelope in envelopes]
    rows = yield recovery.handled(entries=entries, waiting=entries)
    handled = {(row["entry"], row["recipient"]) for row in rows}
    return all((e.id, r.address) in handled for e in envelopes for r in e.recipients)


def _now() -> int:
    return int(time.time() * 1_000_000)


async def _work_until_killed(url: str, root: Path) -> None:
    """Settle and compact without end; the parent kills it wherever it is."""
    database, reader, progress = await connect(url), Reader(root), Progress()
    while True:
        await settle(database, root, reader)
        report = await maintain(database, root, reader, policy=AT_ONCE, progress=progress)
        print(report.rewritten, report.removed, flush=True)
        await asyncio.sleep(random.uniform(0, 0.01))


if __name__ == "__main__":
    asyncio.run(_work_until_killed(sys.argv[1], Path(sys.argv[2])))
