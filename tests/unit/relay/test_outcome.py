"""What is recorded of an attempt."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from services.relay.outcome import Report, judge
from services.relay.schedule import Schedule
from services.relay.state import EntryState, Waiting
from shared.ids import new_id
from shared.journal.reference import Reference
from shared.message.dsn import DsnKind
from shared.message.envelope import DeliverBy, Envelope, Lane, Recipient
from shared.smtp.outcome import Deferred, Delivered, Failed, Outcome
from shared.smtp.reply import Reply

NOW = 1_000_000.0
REF = Reference("2026-11-23/mta-01KAR0000000000000000000000-1", 0, 100, 60, 30, 30)
OK, NO, LATER = Reply(250, ("2.0.0 ok",)), Reply(550, ("no such user",)), Reply(451, ("4.2.1 later",))


def report(outcome: Outcome, *, age: float = 0, sender: str = "a@a.test", notify: str = "", **values: Any) -> Report:
    recipient = Recipient("b@b.test", Lane.RELAY, notify=notify)
    by = values.pop("by", None)
    envelope = Envelope(new_id(), sender, (recipient,), int((NOW - age) * 1e6), deliver_by=by)
    return Report(envelope, REF, values.pop("state", EntryState()), ((recipient, outcome),), **values)


@pytest.mark.parametrize(
    ("outcome", "sender", "notify", "recorded", "notice"),
    [
        (Delivered(OK, "mx"), "a@a.test", "", "relayed", None),
        (Delivered(OK, "mx"), "a@a.test", "SUCCESS,FAILURE", "relayed", DsnKind.RELAYED),
        (Delivered(OK, "mx", dsn=True), "a@a.test", "SUCCESS", "relayed", None),
        (Delivered(OK, "mx"), "", "SUCCESS", "relayed", None),
        (Failed(NO, "mx"), "a@a.test", "", "bounced", DsnKind.FAILED),
        (Failed(NO, "mx"), "a@a.test", "FAILURE,DELAY", "bounced", DsnKind.FAILED),
        (Failed(NO, "mx"), "a@a.test", "SUCCESS", "failed", None),
        (Failed(NO, "mx"), "a@a.test", "NEVER", "failed", None),
        (Failed(NO, "mx"), "", "", "failed", None),
    ],
)
def test_final(outcome: Outcome, sender: str, notify: str, recorded: str, notice: DsnKind | None) -> None:
    verdicts = judge(report(outcome, sender=sender, notify=notify), Schedule(), NOW)
    (final,) = verdicts.finals
    assert final.outcome == recorded
    assert [one.kind for one in verdicts.notices()] == ([notice] if notice else [])
    assert verdicts.due is None
    detail = orjson.loads(final.row()[-1])
    assert detail["host"] == "mx"
    assert ("child" in detail) == (notice is not None)


def test_a_repeat_makes_the_same_child() -> None:
    one = report(Failed(NO, "mx"))
    children = {notice.child for _ in range(2) for notice in judge(one, Schedule(), NOW).notices()}
    assert len(children) == 1


def test_deferred() -> None:
    waiting = Waiting(3, NOW - 1, False, False, REF)
    one = report(Deferred(LATER, "mx"), state=EntryState(waiting={"b@b.test": waiting}), age=600)
    verdicts = judge(one, Schedule(), NOW)
    (wait,) = verdicts.waits
    assert (wait.attempts, wait.reason, wait.warned) == (4, "mx: 451 4.2.1 later", False)
    assert NOW + 480 <= wait.due_at <= NOW + 480 * 1.1
    assert verdicts.due == wait.due_at
    assert wait.row(7)[4] == 7


@pytest.mark.parametrize(
    ("warned", "notify", "told"),
    [(False, "", True), (False, "DELAY", True), (False, "FAILURE", False), (True, "", False)],
)
def test_a_delay_is_told_once(warned: bool, notify: str, told: bool) -> None:
    state = EntryState(waiting={"b@b.test": Waiting(9, NOW, warned, False, REF)})
    verdicts = judge(report(Deferred(LATER, "mx"), age=5 * 3600, notify=notify, state=state), Schedule(), NOW)
    assert [one.kind for one in verdicts.notices()] == ([DsnKind.DELAYED] if told else [])
    assert verdicts.waits[0].warned


def test_expired() -> None:
    verdicts = judge(report(Deferred(LATER, "mx"), age=5 * 86400), Schedule(), NOW)
    (final,) = verdicts.finals
    assert final.outcome == "bounced"
    assert final.notice is not None
    assert final.notice.status == "5.4.7"
    assert verdicts.waits == []


def test_held_neither_expires_nor_comes_back() -> None:
    verdicts = judge(report(Deferred(LATER), age=6 * 86400, held=True), Schedule(), NOW)
    assert verdicts.finals == []
    assert verdicts.due is None
    assert list(verdicts.notices()) == []


def by(seconds: float, mode: str = "N", *, trace: bool = False) -> DeliverBy:
    return DeliverBy(int((NOW + seconds) * 1e6), mode, trace)


def test_what_has_to_be_delivered_in_time_is_tried_once_more_at_the_end() -> None:
    for mode in "NR":
        (wait,) = judge(report(Deferred(LATER, "mx"), by=by(10, mode)), Schedule(), NOW).waits
        assert wait.due_at == NOW + 10 and wait.notice is None


def test_after_its_time_it_goes_back_or_its_sender_is_told_once() -> None:
    (final,) = judge(report(Deferred(LATER, "mx"), by=by(-1, "R")), Schedule(), NOW).finals
    assert final.outcome == "bounced" and final.notice is not None and final.notice.status == "5.4.7"
    (wait,) = judge(report(Deferred(LATER, "mx"), by=by(-1)), Schedule(), NOW).waits
    assert wait.warned and wait.notice is not None and wait.notice.kind is DsnKind.DELAYED
    waiting = EntryState(waiting={"b@b.test": Waiting(3, NOW - 1, True, False, REF)})
    (again,) = judge(report(Deferred(LATER, "mx"), by=by(-1), state=waiting), Schedule(), NOW).waits
    assert again.notice is None


def test_a_traced_message_is_reported_at_each_relay() -> None:
    traced = by(60, trace=True)
    (final,) = judge(report(Delivered(OK, "mx", dsn=True), by=traced), Schedule(), NOW).finals
    assert final.notice is not None and final.notice.kind is DsnKind.RELAYED
    for others in ({"sender": ""}, {"notify": "NEVER"}):
        (final,) = judge(report(Delivered(OK, "mx"), by=traced, **others), Schedule(), NOW).finals
        assert final.notice is None
