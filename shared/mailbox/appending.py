"""APPEND: what many clients add at once goes into one transaction, each message on its own terms.

A batch takes more messages until its transaction begins; so while one is being committed, the next gathers. It is
handed over a turn of the event loop after its first message came, since what the journal made durable comes together.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.db import Database, DatabaseUnavailable, Work, load
from shared.errors import PacketboatError
from shared.imap.flags import DELETED, SEEN, FlagSet
from shared.mailbox.blobs import NewBlob, chunked, insert_blobs, lock_segments
from shared.mailbox.blobs import sql as message_sql
from shared.mailbox.errors import MailboxError, MessageGone, NoSuchMailbox, OverQuota, SegmentRewritten
from shared.mailbox.keywords import learn
from shared.mailbox.mailbox import Mailbox, lock, next_modseq
from shared.mailbox.mailbox import sql as mailbox_sql
from shared.mailbox.transfer import remove
from shared.mailbox.usage import Room

BATCH_LIMIT = 128  # messages of one transaction

sql = load("deliver")


@dataclass(frozen=True, slots=True)
class Appended:
    """What APPENDUID tells."""

    uidvalidity: int
    uid: int
    modseq: int


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message that is in the journal, and where it shall go: `internal_date` in Unix seconds.

    With a `mailbox_name` the mailbox must still be called so: NoSuchMailbox. So who knows its id need not look again.
    """

    account_id: int
    mailbox_id: int
    blob: NewBlob
    flags: FlagSet
    internal_date: int
    mailbox_name: str = ""

    @property
    def size(self) -> int:
        """Octets."""
        return self.blob.reference.size


class Appender:
    """Gathers the messages of a process; `now` gives microseconds."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now
        self._batch: _Batch | None = None

    async def append(self, message: NewMessage) -> Appended:
        """Add a message; OverQuota, NoSuchMailbox, LimitReached, SegmentRewritten, DatabaseUnavailable."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Appended | PacketboatError] = loop.create_future()
        if self._batch is None or not self._batch.join(message, answer):
            self._batch = batch = _Batch(message, answer)
            loop.call_soon(self._hand_over, batch)
        try:
            appended = await answer
        except DatabaseUnavailable:
            raise
        except Exception:  # noqa: BLE001 - SQL refused one of them: it may be another one
            appended = (await self._database.write(append, (message,), self._now()))[0]
        if isinstance(appended, PacketboatError):
            raise appended
        return appended

    def _hand_over(self, batch: _Batch) -> None:
        batch.task = asyncio.ensure_future(self._database.write(_append_batch, batch, self._now()))
        batch.task.add_done_callback(batch.answer)


class _Batch:
    """Messages that share a transaction; they come from the event loop, SQLite's thread takes them."""

    task: asyncio.Future[list[Appended | PacketboatError]]

    def __init__(self, first: NewMessage, answer: asyncio.Future[Appended | PacketboatError]) -> None:
        self._messages = [first]
        self._answers = [answer]
        self._has_begun = False
        self._lock = threading.Lock()

    def join(self, message: NewMessage, answer: asyncio.Future[Appended | PacketboatError]) -> bool:
        """Add a message, False if the batch is full or under way."""
        with self._lock:
            if self._has_begun or len(self._messages) >= BATCH_LIMIT:
                return False
            self._messages.append(message)
            self._answers.append(answer)
            return True

    def answer(self, done: asyncio.Future[list[Appended | PacketboatError]]) -> None:
        """Tell each client what became of its message; those that have left are passed over."""
        failure = _failure_of(done)
        for place, answer in enumerate(self._answers):
            if answer.done():
                continue
            if failure is not None:
                answer.set_exception(failure)
            else:
                answer.set_result(done.result()[place])

    def begin(self) -> Sequence[NewMessage]:
        """Return the messages, to which none is added any more."""
        with self._lock:
            self._has_begun = True
            return self._messages


def _failure_of(done: asyncio.Future[list[Appended | PacketboatError]]) -> BaseException | None:
    return DatabaseUnavailable("the process ends") if done.cancelled() else done.exception()


def _append_batch(batch: _Batch, now: int) -> Work[list[Appended | PacketboatError]]:
    return (yield from append(batch.begin(), now))


def append_all(messages: Sequence[NewMessage], now: int) -> Work[list[Appended]]:
    """Add all messages or, by the first one's error, none (RFC 3502); `now` in microseconds."""
    places = yield from _lock(messages, now)
    answers: list[Appended] = []
    for message in messages:
        answers.append((yield from _place(places, message, now)))
    yield from _insert(places)
    return answers


def replace(message: NewMessage, account_id: int, mailbox_id: int, uid: int, now: int) -> Work[Appended]:
    """Add a message and expunge another one, whose room it may use (RFC 8508); MessageGone if that isn't there."""
    yield from lock_segments([message.blob.reference.segment])
    yield sql.lock_accounts(ids=sorted({message.account_id, account_id}))
    yield from lock(message.mailbox_id, mailbox_id)
    expunged = yield from remove(account_id, mailbox_id, ((uid, uid),), now)
    if not expunged.uids:
        raise MessageGone("The message to be replaced was expunged")
    return (yield from append_all((message,), now))[0]


# The transaction. Lock order: segments, accounts, mailboxes, each sorted.


@dataclass(slots=True)
class _Target:
    """A locked mailbox, and what the batch adds to it."""

    mailbox: Mailbox
    modseq: int
    messages: int = 0
    unseen: int = 0
    deleted: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Places:
    """All that is locked, and the rows to insert."""

    segments: dict[str, int]
    rooms: dict[int, Room]
    targets: dict[int, _Target]
    blobs: list[NewBlob] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)


def append(messages: Sequence[NewMessage], now: int) -> Work[list[Appended | PacketboatError]]:
    """Add messages, `now` in microseconds; return for each where it is, or why it was refused."""
    places = yield from _lock(messages, now)
    answers: list[Appended | PacketboatError] = []
    for message in messages:
        try:
            answers.append((yield from _place(places, message, now)))
        except (MailboxError, SegmentRewritten) as error:
            answers.append(error)
    yield from _insert(places)
    return answers


def _lock(messages: Iterable[NewMessage], now: int) -> Work[_Places]:
    segments = yield from lock_segments(message.blob.reference.segment for message in messages)
    accounts = yield sql.lock_accounts(ids=sorted({message.account_id for message in messages}))
    mailboxes = yield mailbox_sql.lock_mailboxes(ids=sorted({message.mailbox_id for message in messages}))
    return _Places(
        segments,
        {row["id"]: Room.from_row(row) for row in accounts},
        {row["id"]: _Target(Mailbox.from_row(row), next_modseq(row["modseq"], now)) for row in mailboxes},
    )


def _place(places: _Places, message: NewMessage, now: int) -> Work[Appended]:
    """Give a message its room and its UID."""
    if message.blob.reference.segment not in places.segments:
        raise SegmentRewritten(f"segment {message.blob.reference.segment} was rewritten")
    room, target = places.rooms.get(message.account_id), places.targets.get(message.mailbox_id)
    if room is None or not room.fits(message.size):
        raise OverQuota("There is not enough room in the account")
    if target is None or message.mailbox_name not in ("", target.mailbox.name):
        raise NoSuchMailbox("The mailbox was deleted")
    flags = yield from _mask(message)
    room.take(message.size)
    uid = target.mailbox.uidnext + target.messages
    target.messages += 1
    target.unseen += not flags & SEEN
    target.deleted += bool(flags & DELETED)
    target.bytes += message.size
    places.blobs.append(message.blob)
    tail = (target.modseq, flags, message.internal_date, now // 1_000_000, message.size, b"")
    places.rows.append((message.mailbox_id, uid, message.blob.entry, *tail))
    return Appended(target.mailbox.uidvalidity, uid, target.modseq)


def _mask(message: NewMessage) -> Work[int]:
    """Return the flags as the mailbox's bits; LimitReached if it can't learn another keyword."""
    if not message.flags.keywords:
        return message.flags.system
    keywords = yield from learn(message.mailbox_id, message.flags)
    return keywords.mask(message.flags)


def _insert(places: _Places) -> Work[None]:
    if not places.rows:
        return
    rooms = sorted(item for item in places.rooms.items() if item[1].messages)
    yield sql.use_room.many([{"id": key, "bytes": room.bytes, "messages": room.messages} for key, room in rooms])
    targets = sorted((target for target in places.targets.values() if target.messages), key=lambda t: t.mailbox.id)
    yield sql.give_uids.many([_counts(target) for target in targets])
    blobs = yield from insert_blobs(places.blobs, places.segments)
    for chunk in chunked([(*row[:2], blobs[row[2]], *row[3:]) for row in places.rows]):
        yield message_sql.insert_messages(rows=chunk)


def _counts(target: _Target) -> dict[str, int]:
    return {
        "id": target.mailbox.id,
        "uidnext": target.mailbox.uidnext + target.messages,
        "modseq": target.modseq,
        "messages": target.messages,
        "unseen": target.unseen,
        "deleted": target.deleted,
        "bytes": target.bytes,
    }
