"""Passwords, those who guess them, and hourly limits."""

from __future__ import annotations

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from services.mta.client import Client, Role
from services.mta.limits import Limits
from shared.errors import MailFailure
from shared.sasl.credentials import Credentials
from tests.unit.mta.fakes import ALICE, FakeFailures, FakeMta, FakeThrottle

GOOD = Credentials("Alice@A.test", "secret")
BAD = Credentials("alice@a.test", "wrong")


class Away:
    """Redis is away: every call fails."""

    def __getattr__(self, name: str) -> object:
        async def fail(*args: object, **kwargs: object) -> None:
            raise RedisConnectionError("away")

        return fail


async def test_login() -> None:
    mta = FakeMta()
    assert await mta.desk.logins.login("smtp", "192.0.2.7", BAD) is None
    assert mta.failures.failed_for == [("192.0.2.7", "alice@a.test")]
    assert await mta.desk.logins.login("smtp", "192.0.2.7", GOOD) == ALICE
    assert mta.failures.failed_for == [] and mta.slept == []


async def test_guessers_wait_and_are_refused_in_the_end() -> None:
    mta = FakeMta()
    mta.failures.wait = 4.0
    assert await mta.desk.logins.login("smtp", "192.0.2.7", GOOD) == ALICE
    assert mta.slept == [4.0]
    mta.failures.wait = None
    with pytest.raises(MailFailure, match=r"454 4\.7\.0"):
        await mta.desk.logins.login("smtp", "192.0.2.8", GOOD)


async def test_without_redis() -> None:
    mta = FakeMta(failures=Away(), throttle=Away())  # type: ignore[arg-type]
    assert await mta.desk.logins.login("smtp", "192.0.2.7", GOOD) == ALICE
    assert await mta.desk.logins.login("smtp", "192.0.2.7", BAD) is None
    assert mta.slept == [1.0]
    await mta.desk.allowance.count_message(Client("192.0.2.7", Role.SUBMISSION, account=ALICE))


async def test_messages_of_an_hour() -> None:
    throttle = FakeThrottle()
    mta = FakeMta(limits=Limits(messages_per_hour=2), failures=FakeFailures(), throttle=throttle)
    alice = Client("192.0.2.7", Role.SUBMISSION, account=ALICE)
    await mta.desk.allowance.count_message(alice)
    await mta.desk.allowance.count_message(alice)
    with pytest.raises(MailFailure, match=r"450 4\.7\.1 .*again in 21 min"):
        await mta.desk.allowance.count_message(alice)
    await mta.desk.allowance.count_message(Client("192.0.2.7", Role.SUBMISSION, trusted=True))
    assert throttle.used == {ALICE.address: 2}
