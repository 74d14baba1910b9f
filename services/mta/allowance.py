"""How many messages an hour a logged-in account may send."""

from __future__ import annotations

from redis.exceptions import RedisError

from services.mta.client import Client
from services.mta.limits import Limits
from shared.errors import TemporaryFailure
from shared.maillog import MailLog
from shared.queue.throttle import Throttle

HOUR = 3600.0


class Allowance:
    """Counts the messages of accounts; without Redis nothing is refused."""

    def __init__(self, messages: Throttle, limits: Limits, log: MailLog) -> None:
        self._messages = messages
        self._limits = limits
        self._log = log

    async def count_message(self, client: Client) -> None:
        """Count a message of a logged-in account; TemporaryFailure beyond its hourly limit."""
        if client.account is None:
            return
        try:
            verdict = await self._messages.count(
                "messages", client.account.address, limit=self._limits.messages_per_hour, window=HOUR
            )
        except RedisError as error:
            self._log.trouble("hourly limit not checked", account=client.account.address, error=str(error))
            return
        if not verdict.allowed:
            minutes = int(verdict.retry_after // 60) + 1
            text = f"More than {self._limits.messages_per_hour} messages an hour; again in {minutes} min"
            raise TemporaryFailure(text, code=450, status="4.7.1")
