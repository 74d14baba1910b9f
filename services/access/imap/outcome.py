"""How a command ended: what its handler returns, and failures as such."""

from __future__ import annotations

from dataclasses import dataclass

from shared.errors import MailFailure, PacketboatError, PermanentFailure
from shared.imap import response
from shared.imap.response import Condition
from shared.imap.sequence import BadSequence
from shared.journal.errors import JournalFull
from shared.mailbox.errors import MailboxError


@dataclass(frozen=True, slots=True)
class Outcome:
    """The tagged response, less its tag; `untagged` ones are sent in one piece with it."""

    condition: Condition
    text: bytes
    code: bytes | None = None
    untagged: bytes = b""


def done(text: bytes, code: bytes | None = None, *, untagged: bytes = b"") -> Outcome:
    """The command succeeded."""
    return Outcome(Condition.OK, text, code, untagged)


def refused(text: bytes, code: bytes | None = None) -> Outcome:
    """The command failed."""
    return Outcome(Condition.NO, text, code)


def rejected(text: bytes, code: bytes | None = None) -> Outcome:
    """The command made no sense."""
    return Outcome(Condition.BAD, text, code)


# imaptest knows a FETCH or STORE of what others have expunged by "have been deleted"
EXPUNGED = refused(b"Some of the messages have been deleted and expunged", response.EXPUNGEISSUED)
READ_ONLY = refused(b"The mailbox is read-only", response.CANNOT)
BROKEN = refused(b"Internal error, see the server's log", response.SERVERBUG)


def of_failure(error: PacketboatError | BadSequence) -> Outcome:
    """Return what to answer when a command ended with one of our own errors."""
    match error:
        case BadSequence():
            return rejected(str(error).encode("ascii", "replace"))
        case MailboxError():
            return refused(str(error).encode("ascii", "replace"), error.code.encode("ascii"))
        case JournalFull():
            return refused(b"The mail volume is full; try later", response.UNAVAILABLE)
        case PermanentFailure():
            return refused(error.text.encode("ascii", "replace"))
        case MailFailure():
            return refused(b"Temporary failure; try later", response.UNAVAILABLE)
        case _:
            return BROKEN
