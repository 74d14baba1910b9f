"""The report to a sender whose message the operator gave up (RFC 3464)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from shared.journal.reader import Reader
from shared.journal.reference import Reference
from shared.journal.writer import Writer
from shared.message.dsn import DsnKind
from shared.message.envelope import Envelope, Lane, Recipient
from shared.operations.notice import Notice, Notifier
from shared.queue.delivery import Item
from shared.smtp.reply import Reply

STATUS = "5.7.0"
GIVEN_UP = Reply(550, ("An operator of this system returned the message",))


class Bounces:
    """Journals reports; `put` hands one to the queue once its parent's outcome is committed."""

    def __init__(
        self,
        writer: Writer,
        reader: Reader,
        hostname: str,
        is_local: Callable[[str], Awaitable[bool]],
        put: Callable[[Item], None],
    ) -> None:
        self._notifier = Notifier("admin", writer, reader, hostname, is_local)
        self.put = put

    async def journal(self, envelope: Envelope, reference: Reference, recipient: str) -> Item:
        """Make a report durable; JournalFull, JournalFailed, RecordUnavailable.

        Its id is the one that the relay's report would have: the sender gets one at most.
        """
        known = next((one for one in envelope.recipients if one.address == recipient), Recipient(recipient, Lane.RELAY))
        notice = Notice(DsnKind.FAILED, envelope, reference, known, GIVEN_UP, "", STATUS, time.time())
        return await self._notifier.journal(notice)
