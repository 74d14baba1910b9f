"""Logging in: slowed by failures of the address and the account, and hourly limits of who is logged in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from redis.exceptions import RedisError

from services.mta.client import Client
from services.mta.limits import Limits
from shared.directory import Account
from shared.errors import TemporaryFailure
from shared.maillog import MailLog
from shared.metrics import LOGINS
from shared.queue.throttle import LOGIN_DELAY_FIRST, LoginThrottle, Throttle
from shared.sasl.credentials import Credentials

HOUR = 3600.0
PROTOCOL = "smtp"


class Accounts(Protocol):
    """What is asked of the directory."""

    async def authenticate(self, login: str, password: str) -> Account | None: ...


class Logins:
    """Verifies passwords and counts; without Redis only this process's own delay slows a guesser."""

    def __init__(
        self,
        directory: Accounts,
        failures: LoginThrottle,
        messages: Throttle,
        limits: Limits,
        log: MailLog,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._directory = directory
        self._failures = failures
        self._messages = messages
        self._limits = limits
        self._log = log
        self._sleep = sleep

    async def login(self, ip: str, credentials: Credentials) -> Account | None:
        """Return the account if name and password are right; TemporaryFailure for one who guesses too much."""
        name = credentials.identity.lower()
        await self._slow_down(ip, name)
        account = await self._directory.authenticate(name, credentials.password)
        if account is None:
            LOGINS.labels(PROTOCOL, "failed").inc()
            self._log.login_failed(ip=ip, account=name, protocol=PROTOCOL)
            await self._count_failure(ip, name)
            return None
        LOGINS.labels(PROTOCOL, "ok").inc()
        self._log.login(ip=ip, account=account.address, protocol=PROTOCOL)
        await self._forget_failures(ip, name)
        return account

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

    async def _slow_down(self, ip: str, name: str) -> None:
        try:
            delay = await self._failures.delay(ip, name)
        except RedisError:
            return
        if delay is None:
            LOGINS.labels(PROTOCOL, "refused").inc()
            raise TemporaryFailure("Too many failed logins; try later", code=454, status="4.7.0")
        if delay:
            await self._sleep(delay)

    async def _count_failure(self, ip: str, name: str) -> None:
        try:
            await self._failures.failed(ip, name)
        except RedisError:
            await self._sleep(LOGIN_DELAY_FIRST)

    async def _forget_failures(self, ip: str, name: str) -> None:
        try:
            await self._failures.succeeded(ip, name)
        except RedisError as error:
            self._log.debug("login not remembered", error=str(error))
