"""Logging in by password or SASL exchange: verified by the directory, slowed by failures of network and account."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from redis.exceptions import RedisError

from shared.directory.model import Account
from shared.errors import TemporaryFailure
from shared.maillog import MailLog
from shared.metrics import LOGINS
from shared.queue.throttle import LOGIN_DELAY_FIRST, LoginThrottle
from shared.sasl.credentials import Credentials
from shared.sasl.exchange import Exchange
from shared.sasl.mechanism import Challenge, Lookup, Proven, Reason, Refused, Step
from shared.sasl.scram import Verifier

TRUSTED_TIME = 30.0  # seconds after a good login in which Redis isn't asked again for the same network and account
TRUSTED_SIZE = 10_000


class Accounts(Protocol):
    """What is asked of the directory."""

    async def authenticate(self, login: str, password: str) -> Account | None: ...

    async def verifiers(self, login: str, algorithm: str) -> Sequence[tuple[int, Verifier]]: ...

    async def proven(self, credential: int) -> Account | None: ...


class Logins:
    """Verifies passwords; without Redis only this process's own delay slows a guesser.

    Who logged in a moment ago isn't looked up in Redis again; one failure here ends that at once.
    """

    def __init__(
        self,
        directory: Accounts,
        failures: LoginThrottle,
        log: MailLog,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._failures = failures
        self._log = log
        self._sleep = sleep
        self._clock = clock
        self._trusted: OrderedDict[tuple[str, str], float] = OrderedDict()

    async def login(self, protocol: str, ip: str, credentials: Credentials) -> Account | None:
        """Return the account if name and password are right; TemporaryFailure for one who guesses too much."""
        name = credentials.identity.lower()
        if not self._trusts(ip, name):
            await self._slow_down(protocol, ip, name)
        account = await self._directory.authenticate(name, credentials.password)
        return await self._conclude(protocol, ip, name, account)

    async def answer(self, protocol: str, ip: str, exchange: Exchange, step: Step) -> Challenge | Refused | Account:
        """Follow a SASL exchange until the client has to speak again or it is decided; TemporaryFailure as `login`."""
        while isinstance(step, Lookup):
            name = step.identity.lower()
            if not self._trusts(ip, name):
                await self._slow_down(protocol, ip, name)
            step = exchange.provide(await self._directory.verifiers(name, step.algorithm))
        match step:
            case Credentials():
                account = await self.login(protocol, ip, step)
            case Proven():
                found = await self._directory.proven(step.credential)
                account = await self._conclude(protocol, ip, step.identity.lower(), found)
            case Refused(Reason.WRONG_PROOF):
                account = await self._conclude(protocol, ip, step.identity.lower(), None)
            case _:
                return step
        return Refused(Reason.WRONG_PROOF) if account is None else account

    def _trusts(self, ip: str, name: str) -> bool:
        return self._trusted.get((ip, name), 0.0) > self._clock()

    async def _conclude(self, protocol: str, ip: str, name: str, account: Account | None) -> Account | None:
        """Count, log and remember how a login ended."""
        if account is None:
            LOGINS.labels(protocol, "failed").inc()
            self._log.login_failed(ip=ip, account=name, protocol=protocol)
            self._trusted.pop((ip, name), None)
            await self._count_failure(ip, name)
            return None
        LOGINS.labels(protocol, "ok").inc()
        self._log.login(ip=ip, account=account.address, protocol=protocol)
        if not self._trusts(ip, name):
            await self._forget_failures(ip, name)
        return account

    async def _slow_down(self, protocol: str, ip: str, name: str) -> None:
        try:
            delay = await self._failures.delay(ip, name)
        except RedisError:
            return
        if delay is None:
            LOGINS.labels(protocol, "refused").inc()
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
            return
        self._trusted[ip, name] = self._clock() + TRUSTED_TIME
        self._trusted.move_to_end((ip, name))
        if len(self._trusted) > TRUSTED_SIZE:
            self._trusted.popitem(last=False)
