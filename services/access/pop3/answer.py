"""Failures as negative responses (RFC 2449 §8, RFC 3206)."""

from __future__ import annotations

from shared.errors import MailFailure, PacketboatError
from shared.pop3 import response
from shared.pop3.maildrop import NoSuchMessage

GONE = response.err(b"The message was removed meanwhile", response.SYS_TEMP)


def of_failure(error: PacketboatError | NoSuchMessage) -> bytes:
    """Return what to answer when a command ended with one of our own errors."""
    match error:
        case NoSuchMessage():
            return response.err(b"No such message")
        case MailFailure():
            return response.err(b"Temporary failure; try later", response.SYS_TEMP)
        case _:
            return response.err(str(error).encode("ascii", "replace"))
