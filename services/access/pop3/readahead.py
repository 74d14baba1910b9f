"""Messages read a few ahead of the client, which asks for one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.access.desk import Desk
from shared.imap.sequence import compact
from shared.mailbox.content import Failure
from shared.mailbox.errors import MessageGone
from shared.mailbox.messages import Want

AHEAD_MESSAGES = 32
AHEAD_BYTES = 512 * 1024  # octets kept for one session, unless a single message is longer
LONG = 1024 * 1024  # octets from which on a message is sent in pieces

Row = Any


class ReadAhead:
    """A few messages of one mailbox; each is given out once."""

    __slots__ = ("_desk", "_kept", "_mailbox_id")

    def __init__(self, desk: Desk, mailbox_id: int) -> None:
        self._desk = desk
        self._mailbox_id = mailbox_id
        self._kept: dict[int, bytes | Failure] = {}

    async def take(self, uids: Sequence[int]) -> bytes | Row:
        """Return the first of these messages, or its row when it is LONG; MessageGone, RecordUnavailable."""
        found = self._kept.pop(uids[0], None)
        if found is None:
            self._kept.clear()
            rows = await self._rows(uids[:AHEAD_MESSAGES])
            if not rows or rows[0]["uid"] != uids[0]:
                raise MessageGone("The message was expunged")
            if rows[0]["size"] >= LONG:
                return rows[0]
            found = await self._read(rows)
        if isinstance(found, bytes):
            return found
        raise found

    async def _rows(self, uids: Sequence[int]) -> list[Row]:
        rows: list[Row] = []
        ranges = compact(uids)
        async for chunk in self._desk.messages.fetch_rows(self._mailbox_id, ranges, Want.CONTENT):
            rows += chunk
        return rows

    async def _read(self, rows: Sequence[Row]) -> bytes | Failure:
        """Read messages while there is room, keep all but the first, and return that."""
        batch = [rows[0]]
        size = rows[0]["size"]
        for row in rows[1:]:
            size += row["size"]
            if size > AHEAD_BYTES:
                break
            batch.append(row)
        first, *others = await self._desk.content.read_many(batch)
        self._kept = {row["uid"]: message for row, message in zip(batch[1:], others, strict=True)}
        return first
