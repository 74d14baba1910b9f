"""The retry schedule, without a clock."""

import pytest

from services.relay.schedule import JITTER, Schedule, Step

HOUR, DAY = 3600.0, 86400.0
SCHEDULE = Schedule()


def test_pauses_double_up_to_four_hours() -> None:
    minutes = [SCHEDULE.pause(attempts) / 60 for attempts in range(1, 11)]
    assert minutes == [1, 2, 4, 8, 16, 32, 64, 128, 240, 240]
    assert SCHEDULE.pause(10**6) == 4 * HOUR
    assert SCHEDULE.pause(0) == 60


def test_spread_lengthens_only_a_little() -> None:
    assert SCHEDULE.pause(1, 1.0) == pytest.approx(60 * (1 + JITTER))


@pytest.mark.parametrize(
    ("age", "warned", "null_sender", "step"),
    [
        (0, False, False, Step.WAIT),
        (4 * HOUR - 1, False, False, Step.WAIT),
        (4 * HOUR, False, False, Step.WARN),
        (4 * HOUR, True, False, Step.WAIT),
        (4 * HOUR, False, True, Step.WAIT),
        (DAY, False, True, Step.EXPIRE),
        (5 * DAY - 1, True, False, Step.WAIT),
        (5 * DAY, False, False, Step.EXPIRE),
    ],
)
def test_after_a_failure(age: float, warned: bool, null_sender: bool, step: Step) -> None:
    assert SCHEDULE.after_failure(1000, 1000 + age, warned=warned, null_sender=null_sender) is step


def test_the_last_attempt_is_made_at_the_expiry() -> None:
    now = 1000 + 5 * DAY - 600
    assert SCHEDULE.next_attempt(1000, now, 20, null_sender=False, spread=0) == 1000 + 5 * DAY
    assert SCHEDULE.next_attempt(1000, 1060, 1, null_sender=False, spread=0) == 1120


def test_no_warning_when_it_is_off() -> None:
    assert Schedule(warning=0).after_failure(0, DAY, warned=False, null_sender=False) is Step.WAIT
