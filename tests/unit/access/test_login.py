"""Logging in: slowed by failures, and trusted for a moment after success."""

from __future__ import annotations

import pytest
from redis.exceptions import RedisError

from shared.directory import Account
from shared.directory.logins import TRUSTED_TIME, Logins
from shared.errors import TemporaryFailure
from shared.maillog import MailLog
from shared.sasl.credentials import Credentials

ALICE = Account(1, "alice@a.test", True, 0, 0, 0)
IP = "192.0.2.1"
GOOD, BAD = Credentials("Alice@a.test", "right"), Credentials("alice@a.test", "wrong")


class _Directory:
    async def authenticate(self, login: str, password: str) -> Account | None:
        return ALICE if (login, password) == ("alice@a.test", "right") else None


class _Throttle:
    def __init__(self) -> None:
        self.delays: float | None = 0.0
        self.calls: list[str] = []
        self.away = False

    async def delay(self, ip: str, account: str) -> float | None:
        self._call("delay")
        return self.delays

    async def failed(self, ip: str, account: str) -> None:
        self._call("failed")

    async def succeeded(self, ip: str, account: str) -> None:
        self._call("succeeded")

    def _call(self, name: str) -> None:
        if self.away:
            raise RedisError("away")
        self.calls.append(name)


class _World:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []
        self.throttle = _Throttle()
        self.logins = Logins(
            _Directory(),
            self.throttle,  # type: ignore[arg-type]
            MailLog("test"),
            sleep=self._sleep,
            clock=lambda: self.now,
        )

    async def login(self, credentials: Credentials) -> Account | None:
        return await self.logins.login("imap", IP, credentials)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def test_a_good_login_is_trusted_for_a_moment() -> None:
    world = _World()
    assert await world.login(GOOD) is ALICE
    assert await world.login(GOOD) is ALICE
    assert world.throttle.calls == ["delay", "succeeded"]
    world.now += TRUSTED_TIME + 0.1
    assert await world.login(GOOD) is ALICE
    assert world.throttle.calls == ["delay", "succeeded"] * 2


async def test_one_failure_ends_the_trust() -> None:
    world = _World()
    await world.login(GOOD)
    assert await world.login(BAD) is None
    await world.login(BAD)
    assert world.throttle.calls == ["delay", "succeeded", "failed", "delay", "failed"]


async def test_failures_slow_and_then_refuse() -> None:
    world = _World()
    world.throttle.delays = 4.0
    assert await world.login(GOOD) is ALICE
    assert world.slept == [4.0]
    world = _World()
    world.throttle.delays = None
    with pytest.raises(TemporaryFailure):
        await world.login(GOOD)


async def test_without_redis_logins_go_on_and_failures_wait() -> None:
    world = _World()
    world.throttle.away = True
    assert await world.login(GOOD) is ALICE
    assert world.slept == []
    assert await world.login(BAD) is None
    assert world.slept == [1.0]
