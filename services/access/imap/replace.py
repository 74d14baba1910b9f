"""REPLACE: which message a new one takes the place of (RFC 8508)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.access.imap.outcome import READ_ONLY, refused
from services.access.imap.upload import Refused

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession
    from shared.imap import command as commands

_NO_MESSAGE = refused(b"There is no such message")


@dataclass(frozen=True, slots=True)
class Replaced:
    """A message of the selected mailbox."""

    account_id: int
    mailbox_id: int
    uid: int


def to_be_replaced(session: ImapSession, command: commands.Replace) -> Replaced:
    """Return what goes; Refused, or NotPermitted, or BadSequence for a sequence number that no message has."""
    selected = session.the_selected()
    if selected.read_only:
        raise Refused(READ_ONLY)
    selected.require("te")
    ranges = selected.resolve(command.message, uid=command.uid)
    if not ranges:
        raise Refused(_NO_MESSAGE)
    return Replaced(selected.account_id, selected.mailbox_id, ranges[0][0])
