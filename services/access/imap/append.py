"""APPEND: the message goes into the journal as it arrives, then into the mailbox (RFC 3501 §6.3.11)."""

from __future__ import annotations

import asyncio
import mmap
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from services.access.imap.outcome import Outcome, done, refused, rejected
from shared.ids import new_id
from shared.imap import command as commands
from shared.imap import response
from shared.imap.command_parser import BadCommand, parse_append
from shared.imap.receive import LiteralRequest
from shared.imap.state import is_allowed
from shared.journal.record import LARGE_THRESHOLD, LargeFile
from shared.journal.reference import large_path
from shared.journal.writer import LargeUpload
from shared.mailbox.errors import NoSuchMailbox, SegmentRewritten
from shared.mailbox.messages import Appended
from shared.message.envelope import Envelope, Kind, Origin
from shared.message.lineends import to_crlf
from shared.message.rendered import Rendered, render

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

RENDER_INLINE = 32 * 1024  # octets of a message beyond which another thread parses it
REWRITES = 3  # times that compaction may be faster than an APPEND


@dataclass(slots=True)
class Upload:
    """An APPEND whose message is arriving; `large` holds it when it is over LARGE_THRESHOLD."""

    command: commands.Append
    mailbox_id: int
    entry: str
    large: LargeUpload | None = None
    small: bytearray = field(default_factory=bytearray)
    after_cr: bool = False  # the last chunk ended with CR
    failure: Exception | None = None

    async def take(self, chunk: bytes) -> None:
        """Take octets, with bare LF made CRLF; PermanentFailure for NUL, JournalFull, JournalFailed."""
        held = b"\r" if self.after_cr else b""
        self.after_cr = chunk.endswith(b"\r")
        data = to_crlf(held + chunk)[len(held) :]
        if self.large is None:
            self.small += data
        else:
            await self.large.write(data)


async def begin(session: ImapSession, request: LiteralRequest) -> Outcome | None:
    """Look at what comes before the message; None to take it. BadCommand, NoSuchMailbox."""
    command = parse_append(request.text)
    if not is_allowed(command, session.state):
        raise BadCommand(command.tag, "Not allowed now")
    if command.binary:
        raise BadCommand(command.tag, "A literal8 needs BINARY")
    if not command.size:
        return refused(b"An empty message can't be stored", response.CANNOT)
    if command.size > session.desk.limits.message_size:
        return refused(b"The message is too large", response.TOOBIG)
    account = session.the_account().id
    try:
        mailbox = await session.desk.mailboxes.get(account, command.mailbox)
    except NoSuchMailbox:
        return refused(b"There is no such mailbox", response.TRYCREATE)
    upload = Upload(command, mailbox.id, new_id())
    if command.size > LARGE_THRESHOLD:
        usage = await session.desk.messages.usage(account)
        if usage.quota_bytes and usage.used_bytes + command.size > usage.quota_bytes:
            return refused(b"There is not enough room in the account", response.OVERQUOTA)
        upload.large = session.desk.journal.large(upload.entry)
    session.upload = upload
    return None


async def append_whole(session: ImapSession, command: commands.Append) -> Outcome:
    """Refuse a message that came in the place of a mailbox's name: others are streamed."""
    return rejected(b"Expected a message as a literal")


async def take_chunk(session: ImapSession, data: bytes) -> None:
    """Take a piece of the message; after a failure the rest is passed over."""
    upload = session.upload
    assert upload is not None
    if upload.failure is None:
        try:
            await upload.take(data)
        except Exception as error:  # noqa: BLE001 - answered when the command is whole
            upload.failure = error


async def finish(session: ImapSession, upload: Upload, tail: bytes) -> Outcome:
    """Make the message durable and add it to its mailbox."""
    if upload.failure is not None:
        raise upload.failure
    if tail:
        return rejected(b"Only one message at a time")
    now = time.time()
    if upload.large is None:
        data = bytes(upload.small)
        rendered = render(data) if len(data) <= RENDER_INLINE else await asyncio.to_thread(render, data)
        appended = await _store(session, upload, rendered, data, None, now)
    else:
        file = await upload.large.finish()
        rendered = await asyncio.to_thread(_render_file, large_path(session.desk.volume, file.name))
        appended = await _store(session, upload, rendered, b"", file, now)
    code = response.code_appenduid(appended.uidvalidity, [(appended.uid, appended.uid)])
    return done(b"APPEND completed", code)


def give_up(session: ImapSession) -> None:
    """Forget what has arrived of a message."""
    upload, session.upload = session.upload, None
    if upload is not None and upload.large is not None:
        session.desk.clean_up(upload.large.abort())


async def _store(
    session: ImapSession, upload: Upload, rendered: Rendered, data: bytes, file: LargeFile | None, now: float
) -> Appended:
    account, command, desk = session.the_account(), upload.command, session.desk
    origin = Origin(service="access", ip=session.connection.ip, protocol="IMAP", account=account.address)
    envelope = Envelope(
        upload.entry,
        "",
        (),
        int(now * 1_000_000),
        kind=Kind.APPEND,
        message_id=rendered.message_id,
        origin=origin,
    )
    internal_date = int(command.internal_date.timestamp() if command.internal_date else now)
    for attempt in range(REWRITES):
        reference = await desk.journal.append(envelope, data, file)
        try:
            return await desk.messages.append(
                account.id, upload.mailbox_id, upload.entry, reference, rendered, command.flags, internal_date
            )
        except SegmentRewritten:
            if attempt == REWRITES - 1:
                raise
    raise AssertionError("unreachable")


def _render_file(path: Path) -> Rendered:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return render(data)
