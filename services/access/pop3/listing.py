"""STAT, LIST and UIDL (RFC 1939 §5, §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.pop3 import command as commands
from shared.pop3 import response

if TYPE_CHECKING:
    from services.access.pop3.session import Pop3Session


async def stat(session: Pop3Session, command: commands.Stat) -> bytes:
    """Tell how many messages there are, and their size."""
    return response.stat(session.maildrop.count, session.maildrop.octets)


async def scan(session: Pop3Session, command: commands.List) -> bytes:
    """Tell the size of one message or of all."""
    if command.number is not None:
        return response.scan(command.number, session.maildrop.size(command.number))
    return response.scan_listing(session.maildrop.sizes())


async def unique_ids(session: Pop3Session, command: commands.Uidl) -> bytes:
    """Tell the id of one message or of all."""
    validity = session.uidvalidity
    if command.number is not None:
        uid = session.maildrop.uid(command.number)
        return response.uid(command.number, response.unique_id(validity, uid))
    return response.uid_listing((number, response.unique_id(validity, uid)) for number, uid in session.maildrop.uids())
