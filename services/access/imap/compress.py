"""COMPRESS=DEFLATE between the session and its connection: inside of TLS, whenever that began (RFC 4978)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.access.imap.outcome import Outcome, done, refused, rejected
from shared.imap import command as commands
from shared.imap import response
from shared.imap.deflate import BadDeflate, Deflater, Inflater

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

PIECE = 64 * 1024  # octets that are decompressed at a time, however small they arrived
_UNKNOWN = rejected(b"The only mechanism is DEFLATE")
_ACTIVE = refused(b"DEFLATE is active already", response.COMPRESSIONACTIVE)


class Compression:
    """Both directions of a session."""

    __slots__ = ("deflater", "inflater")

    def __init__(self) -> None:
        self.deflater = Deflater()
        self.inflater = Inflater()


async def compress(session: ImapSession, command: commands.Compress) -> Outcome | None:
    """Begin to compress after the answer; the client does with its next command."""
    if command.mechanism != b"DEFLATE":
        return _UNKNOWN
    if session.compression is not None:
        return _ACTIVE
    await session.finish(command, done(b"DEFLATE active"))
    session.compression = Compression()
    session.compression.inflater.feed(session.buffer.take_pending())
    return None


def read_more(session: ImapSession) -> bool:
    """Decompress more of what has arrived, now that all commands before are answered; False if there is nothing."""
    compression = session.compression
    if compression is None or not compression.inflater.has_more:
        return False
    try:
        session.buffer.feed(compression.inflater.read(PIECE))
    except BadDeflate:
        session.end(b"That isn't DEFLATE")
    return True


def rest(session: ImapSession) -> None:
    """Give memory back: there is nothing to do until more arrives."""
    compression = session.compression
    if compression is None:
        return
    if compression.inflater.ended:
        session.end(b"The compressed stream has ended")
    compression.deflater.rest()
    if session.buffer.is_at_rest:
        compression.inflater.rest()
