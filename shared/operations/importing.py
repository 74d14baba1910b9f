"""Bringing messages from elsewhere into an account: many at a time, and none twice.

An entry's id follows from the account, the mailbox, the message's octets and how often these came before, so
that an import that is repeated, or goes on after a crash, passes over what a message shows already (wherever
its user has moved it). Times that such ids seem to bear mean nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from shared.db import Database, Work, load
from shared.errors import PacketboatError
from shared.ids import encode
from shared.imap.flags import FlagSet
from shared.imap.mailbox_name import UnusableMailboxName, check_new_name
from shared.journal.record import LARGE_THRESHOLD
from shared.journal.reference import Reference
from shared.journal.writer import Writer
from shared.mailbox import mailboxes
from shared.mailbox.appending import Appended, NewMessage, append
from shared.mailbox.blobs import NewBlob
from shared.mailbox.errors import LimitReached, MailboxError, NoSuchMailbox, SegmentRewritten
from shared.mailbox.loose import Loose, Unusable
from shared.mailbox.mailbox import Mailbox, find
from shared.mailbox.mailbox import sql as mailbox_sql
from shared.message.envelope import Envelope, Kind, Origin
from shared.message.rendered import Rendered, render

PORTION = 128  # messages of one transaction
PORTION_BYTES = 16 * 1024 * 1024  # octets of messages in memory at a time, unless a single one is longer; two portions
REWRITES = 3  # times that compaction may be faster
UPLOAD_CHUNK = 1024 * 1024  # octets handed over at a time
MAX_TOLD = 1_000  # messages whose failure is kept
CLOCK_BITS = 40  # of an id's 48 bits of milliseconds: so that it stays a time before 2005

sql = load("importing")


@dataclass(slots=True)
class Report:
    """What became of messages."""

    imported: int = 0
    present: int = 0  # passed over: the account has them
    failed: int = 0
    without_keywords: int = 0  # imported with fewer keywords than they had
    failures: list[Unusable] = field(default_factory=list)  # the first ones

    def fail(self, origin: str, reason: str) -> None:
        """Count a message that can't be imported."""
        self.failed += 1
        if len(self.failures) < MAX_TOLD:
            self.failures.append(Unusable(origin, reason))


@dataclass(frozen=True, slots=True)
class _Known:
    """A message and the entry that it will be."""

    entry: str
    message: Loose


class Importer:
    """Imports into one account; `clock` gives Unix seconds, `advance` is told of each message that is dealt with."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        account_id: int,
        account: str,
        *,
        clock: Callable[[], float],
        advance: Callable[[int], object] = lambda amount: None,
    ) -> None:
        self._database = database
        self._writer = writer
        self._account_id = account_id
        self._account = account
        self._clock = clock
        self._advance = advance
        self.report = Report()

    async def bring(self, name: str, messages: Iterator[Loose | Unusable]) -> None:
        """Import messages into a mailbox, which is made if it is missing.

        DatabaseUnavailable, JournalFull and JournalFailed end it: what was reported by then is durable.
        UnusableMailboxName, LimitReached or NotAllowed for the mailbox.
        """
        mailbox = await self._database.write(_mailbox, self._account_id, check_new_name(name), self._now())
        seen: Counter[bytes] = Counter()
        portions = _portions(messages)
        coming = asyncio.ensure_future(asyncio.to_thread(self._prepare, portions, mailbox.name, seen))
        try:
            while (portion := await coming) is not None:
                coming = asyncio.ensure_future(asyncio.to_thread(self._prepare, portions, mailbox.name, seen))
                await self._bring_portion(mailbox.id, portion)
        finally:
            await asyncio.wait({coming})  # the thread uses the caller's files
            if not coming.cancelled():
                coming.exception()  # it is raised above already

    def _prepare(
        self, portions: Iterator[list[Loose | Unusable]], name: str, seen: Counter[bytes]
    ) -> list[_Known | Unusable] | None:
        """Read the next portion, in a thread."""
        portion = next(portions, None)
        if portion is None:
            return None
        return [
            one if isinstance(one, Unusable) else _Known(_entry(self._account_id, name, one.data, seen), one)
            for one in portion
        ]

    async def _bring_portion(self, mailbox_id: int, portion: Sequence[_Known | Unusable]) -> None:
        known = [one for one in portion if isinstance(one, _Known)]
        present = await self._database.read(_present, self._account_id, [one.entry for one in known])
        missing = [one for one in known if one.entry not in present]
        self.report.present += len(known) - len(missing)
        for one in portion:
            if isinstance(one, Unusable):
                self.report.fail(one.origin, one.reason)
        await self._add(mailbox_id, missing)
        self._advance(sum(one.message.advance if isinstance(one, _Known) else one.advance for one in portion))

    async def _add(self, mailbox_id: int, missing: Sequence[_Known]) -> None:
        rendered = await asyncio.to_thread(lambda: [render(one.message.data) for one in missing])
        left = list(zip(missing, rendered, strict=True))
        for attempt in range(REWRITES):
            if not left:
                return
            rows = await asyncio.gather(*(self._journal(mailbox_id, one, how) for one, how in left))
            answers = await self._database.write(append, rows, self._now())
            again = []
            for pair, row, answer in zip(left, rows, answers, strict=True):
                if isinstance(answer, SegmentRewritten) and attempt < REWRITES - 1:
                    again.append(pair)
                else:
                    await self._settle(pair[0].message, row, answer)
            left = again

    async def _settle(self, message: Loose, row: NewMessage, answer: Appended | PacketboatError) -> None:
        if isinstance(answer, LimitReached):  # the mailbox can't learn its keywords: better without than not at all
            plain = replace(row, flags=FlagSet(row.flags.system))
            answer = (await self._database.write(append, [plain], self._now()))[0]
            self.report.without_keywords += isinstance(answer, Appended)
        if isinstance(answer, Appended):
            self.report.imported += 1
        else:
            self.report.fail(message.origin, str(answer))

    async def _journal(self, mailbox_id: int, known: _Known, rendered: Rendered) -> NewMessage:
        """Make a message durable."""
        message = known.message
        origin = Origin(service="import", account=self._account)
        envelope = Envelope(
            known.entry, "", (), self._now(), kind=Kind.APPEND, message_id=rendered.message_id, origin=origin
        )
        reference = await _store(self._writer, envelope, message.data)
        blob = NewBlob(known.entry, reference, rendered)
        return NewMessage(self._account_id, mailbox_id, blob, message.flags, message.internal_date)

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)


def describe(error: Exception) -> str | None:
    """Return what to tell of a mailbox that can't be imported; None for an error that ends the import."""
    return str(error) if isinstance(error, (MailboxError, UnusableMailboxName)) else None


def _portions(messages: Iterable[Loose | Unusable]) -> Iterator[list[Loose | Unusable]]:
    portion: list[Loose | Unusable] = []
    octets = 0
    for message in messages:
        size = message.size if isinstance(message, Loose) else 0
        if portion and (len(portion) >= PORTION or octets + size > PORTION_BYTES):
            yield portion
            portion, octets = [], 0
        portion.append(message)
        octets += size
    if portion:
        yield portion


def _entry(account_id: int, mailbox: str, data: bytes, seen: Counter[bytes]) -> str:
    digest = hashlib.sha256(data).digest()
    occurrence = seen[digest]
    seen[digest] += 1
    text = f"{account_id}\0{mailbox}\0{occurrence}\0".encode() + digest
    value = int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "big")
    return encode(value & ((1 << 80 + CLOCK_BITS) - 1))


def _mailbox(account_id: int, name: str, now: int) -> Work[Mailbox]:
    try:
        return (yield from find(account_id, name))
    except NoSuchMailbox:
        made = yield from mailboxes.create(account_id, name, now)
        yield mailbox_sql.subscribe(account_id=account_id, name=name)
        return made


def _present(account_id: int, entries: list[str]) -> Work[set[str]]:
    if not entries:
        return set()
    rows = yield sql.live_entries(account_id=account_id, entries=entries)
    return {row["entry"] for row in rows}


async def _store(writer: Writer, envelope: Envelope, data: bytes) -> Reference:
    """Append a message, a long one to a file of its own; JournalFull, JournalFailed."""
    if len(data) <= LARGE_THRESHOLD:
        return await writer.append(envelope, data)
    upload = writer.large(envelope.id)
    try:
        view = memoryview(data)
        for start in range(0, len(data), UPLOAD_CHUNK):
            await upload.write(bytes(view[start : start + UPLOAD_CHUNK]))
        return await writer.append(envelope, b"", await upload.finish())
    except BaseException:
        await upload.abort()
        raise
