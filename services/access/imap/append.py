"""APPEND and REPLACE: messages go into the journal as they arrive, then all at once into their mailbox.

RFC 3501 §6.3.11, several messages (RFC 3502), pieces of others (RFC 4469), binary (RFC 3516), UTF-8 (RFC 6855),
in the place of another (RFC 8508).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from services.access.imap import enable, namespace
from services.access.imap.catenate import copy_url
from services.access.imap.outcome import Outcome, done, refused
from services.access.imap.replace import Replaced, to_be_replaced
from services.access.imap.upload import EMPTY, TOO_LARGE, Arrived, Arriving, Refused
from shared.ids import new_id
from shared.imap import command as commands
from shared.imap import response
from shared.imap.acl import changeable_flags, restrict
from shared.imap.append import AppendParser, EndOfMessage, NewMessage, Octets, Step, Url
from shared.imap.command_parser import BadCommand, append_command, begin_append, end_append, go_on_with_append
from shared.imap.receive import LiteralRequest
from shared.imap.sequence import compact
from shared.imap.state import is_allowed
from shared.journal.record import LARGE_THRESHOLD
from shared.mailbox.appending import NewMessage as NewRow
from shared.mailbox.blobs import NewBlob
from shared.mailbox.errors import NoSuchMailbox, SegmentRewritten
from shared.mailbox.messages import Appended
from shared.message.envelope import Envelope, Kind, Origin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.access.imap.session import ImapSession

ATTEMPTS = 3  # times that compaction or a RENAME may be faster than an APPEND
NAMES = frozenset((b"APPEND", b"REPLACE", b"UID REPLACE"))
_NO_MAILBOX = refused(b"There is no such mailbox", response.TRYCREATE)
_NO_ROOM = refused(b"There is not enough room in the account", response.OVERQUOTA)
_NOT_ASCII = refused(b"ENABLE UTF8=ACCEPT before appending a header that isn't ASCII", response.CANNOT)


class Literal(Enum):
    """What to do with a literal that is announced."""

    BUFFERED = auto()  # it is a mailbox's name or a URL
    STREAMED = auto()  # it is of a message


@dataclass(frozen=True, slots=True)
class Target:
    """A mailbox that the client appends to; one's own is remembered, and asked when adding whether it is still that."""

    asked: str  # the client's name for it
    account_id: int  # the mailbox's owner
    mailbox_id: int
    name: str  # its owner's name for it
    settable: int  # flags that the account may set there


@dataclass(slots=True)
class Upload:
    """A command whose messages are arriving."""

    command: commands.Append | commands.Replace
    parser: AppendParser
    target: Target
    replaced: Replaced | None
    began: float
    messages: list[Arrived] = field(default_factory=list)
    message: Arriving | None = None
    utf8: bool = False  # the current message came in UTF8 (…)
    binary: bool = False  # the literal that arrives is a literal8
    failure: Exception | None = None

    @property
    def held(self) -> int:
        """Octets in memory."""
        arriving = self.message.held if self.message is not None else 0
        return arriving + sum(len(message.data) for message in self.messages)


# What the session calls: for commands without a streamed literal, and else for each literal and the end


async def append(session: ImapSession, command: commands.Append | commands.Replace) -> Outcome:
    """Add messages that are made of stored ones only (CATENATE with URLs); all others are streamed."""
    try:
        session.upload = upload = await _open(session, command, AppendParser())
        await _follow(session, upload, command.steps)
        return await _commit(session, upload)
    except Refused as refusal:
        return refusal.outcome
    finally:
        give_up(session)


async def announce(session: ImapSession, request: LiteralRequest) -> Literal | Outcome:
    """Look at what comes before a literal's octets; BadCommand, or whatever the mailbox and the journal raise."""
    try:
        steps = await _read(session, request)
        if steps is None:
            return Literal.BUFFERED
        upload = session.upload
        assert upload is not None
        if upload.failure is not None:
            return _outcome_of(session, upload.failure)
        await _follow(session, upload, steps)
    except Refused as refusal:
        return refusal.outcome
    return Literal.STREAMED


async def _read(session: ImapSession, request: LiteralRequest) -> list[Step] | None:
    """Parse what comes before a literal; None if that is an argument and not a message's."""
    if session.upload is not None:
        return go_on_with_append(session.upload.parser, request.tag, request.text)
    parser, steps = begin_append(request.text, utf8=session.utf8)
    if steps is None:
        return None
    command = append_command(parser, request.tag)
    if not is_allowed(command, session.state):
        raise BadCommand(command.tag, "Not allowed now")
    if (objection := enable.objection(session, command)) is not None:
        raise Refused(objection)
    session.upload = await _open(session, command, parser)
    return steps


async def take_chunk(session: ImapSession, data: bytes) -> None:
    """Take a piece of a message; after a failure the rest is passed over."""
    upload = session.upload
    assert upload is not None
    assert upload.message is not None
    if upload.failure is None:
        try:
            await upload.message.take(data, binary=upload.binary)
        except Exception as error:  # noqa: BLE001 - answered when the command is whole
            upload.failure = error


async def finish(session: ImapSession, upload: Upload, tail: bytes) -> Outcome:
    """Make the messages durable and add them to their mailbox."""
    steps = end_append(upload.parser, upload.command.tag, tail)
    if upload.failure is not None:
        raise upload.failure
    try:
        await _follow(session, upload, steps)
        return await _commit(session, upload)
    except Refused as refusal:
        return refusal.outcome


def give_up(session: ImapSession) -> None:
    """Forget what has arrived of messages."""
    upload, session.upload = session.upload, None
    if upload is not None and upload.message is not None:
        upload.message.give_up()


# The command


async def _open(session: ImapSession, command: commands.Append | commands.Replace, parser: AppendParser) -> Upload:
    replaced = None
    if isinstance(command, commands.Replace):
        replaced = to_be_replaced(session, command)
    return Upload(command, parser, await _find(session, command.mailbox), replaced, time.perf_counter())


async def _find(session: ImapSession, name: str) -> Target:
    """Return where messages go; Refused."""
    target, account = session.target, session.the_account()
    if target is not None and (target.asked, target.account_id) == (name, account.id):
        return target
    try:
        found = await namespace.find(session, name, "i")
    except NoSuchMailbox:
        raise Refused(_NO_MAILBOX) from None
    mailbox = found.mailbox
    target = Target(name, mailbox.account_id, mailbox.id, mailbox.name, changeable_flags(found.rights))
    session.target = target if mailbox.account_id == account.id else None
    return target


def _outcome_of(session: ImapSession, failure: Exception) -> Outcome:
    return failure.outcome if isinstance(failure, Refused) else session.failure(failure, "Append")


async def _follow(session: ImapSession, upload: Upload, steps: Sequence[Step]) -> None:
    for step in steps:
        match step:
            case NewMessage(flags, internal_date):
                limit = session.desk.limits.message_size
                allowed = restrict(flags, upload.target.settable)
                upload.message = Arriving(session.desk, new_id(), allowed, internal_date, limit)
                upload.utf8 = False
            case Octets():
                await _expect(session, upload, step)
            case Url(text):
                await copy_url(session, _message(upload), text, upload.held)
            case EndOfMessage():
                await _end_message(session, upload)


def _message(upload: Upload) -> Arriving:
    assert upload.message is not None
    return upload.message


async def _expect(session: ImapSession, upload: Upload, octets: Octets) -> None:
    message = _message(upload)
    if octets.size > message.limit:
        raise Refused(TOO_LARGE)
    if not octets.size and not message.size and not upload.parser.in_catenate:
        raise Refused(EMPTY)
    if octets.size > LARGE_THRESHOLD:
        usage = await session.desk.messages.usage(upload.target.account_id)
        if upload.replaced is None and usage.quota_bytes and usage.used_bytes + octets.size > usage.quota_bytes:
            raise Refused(_NO_ROOM)
    await message.expect(octets.size, upload.held)
    upload.binary = octets.binary
    upload.utf8 = upload.utf8 or octets.utf8
    if octets.data is not None:
        await message.take(octets.data, binary=octets.binary)


async def _end_message(session: ImapSession, upload: Upload) -> None:
    arrived = await _message(upload).finish()
    upload.message = None
    strict = session.desk.limits.ascii_headers and not session.utf8
    if strict and not arrived.ascii_header:
        raise Refused(_NOT_ASCII)
    upload.messages.append(arrived)


# Into the journal and the mailbox


async def _commit(session: ImapSession, upload: Upload) -> Outcome:
    now = time.time()
    for attempt in range(ATTEMPTS):
        rows = await _journal_all(session, upload, now)
        try:
            return await _store(session, upload, rows)
        except SegmentRewritten:
            if attempt == ATTEMPTS - 1:
                raise
        except NoSuchMailbox:
            if attempt == ATTEMPTS - 1 or not await _find_again(session, upload):
                raise
    raise AssertionError("unreachable")


async def _journal_all(session: ImapSession, upload: Upload, now: float) -> list[NewRow]:
    """Make all messages durable, together; one alone needs no task."""
    if len(upload.messages) == 1:
        return [await _journal(session, upload, upload.messages[0], now)]
    return await asyncio.gather(*[_journal(session, upload, message, now) for message in upload.messages])


async def _find_again(session: ImapSession, upload: Upload) -> bool:
    """Look again for a mailbox that was remembered, by its name; Refused, False if none was."""
    if session.target is None:
        return False
    session.target = None
    upload.target = await _find(session, upload.command.mailbox)
    return True


async def _journal(session: ImapSession, upload: Upload, message: Arrived, now: float) -> NewRow:
    """Make a message durable."""
    account = session.the_account()
    origin = Origin(service="access", ip=session.connection.ip, protocol="IMAP", account=account.address)
    envelope = Envelope(
        message.entry,
        "",
        (),
        int(now * 1_000_000),
        kind=Kind.APPEND,
        message_id=message.rendered.message_id,
        origin=origin,
    )
    reference = await session.desk.journal.append(envelope, message.data, message.file)
    blob = NewBlob(message.entry, reference, message.rendered)
    internal_date = int(message.internal_date.timestamp() if message.internal_date else now)
    target = upload.target
    name = target.name if target.account_id == account.id else ""
    return NewRow(target.account_id, target.mailbox_id, blob, message.flags, internal_date, name)


async def _store(session: ImapSession, upload: Upload, rows: Sequence[NewRow]) -> Outcome:
    messages = session.desk.messages
    if upload.replaced is not None:
        replaced = upload.replaced
        appended = await messages.replace(rows[0], replaced.account_id, replaced.mailbox_id, replaced.uid)
        # before the EXPUNGE (RFC 8508 §4.3)
        session.write(response.untagged_status(response.Condition.OK, b"The replacement", _code([appended])))
        return done(b"REPLACE completed")
    if len(rows) == 1:
        appended = await messages.append_message(rows[0])
        session.desk.note_transfer(0, rows[0].mailbox_id, (appended.uid,))
        return done(b"APPEND completed", _code([appended]))
    return done(b"APPEND completed", _code(await messages.append_all(rows)))


def _code(appended: Sequence[Appended]) -> bytes:
    return response.code_appenduid(appended[0].uidvalidity, compact([one.uid for one in appended]))
