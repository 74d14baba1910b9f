"""Timelines, refused mail, the ledger's pages, and their end."""

from __future__ import annotations

import time
from typing import Any

from shared import ids
from shared.db import Query, Work
from shared.operations.pruning import DAY, Ages, prune_history
from shared.operations.rejections import Rejection, RejectionRecorder
from tests.integration.admin.conftest import Stack

LEDGER = Query(
    "ledger",
    "INSERT INTO ledger (entry, recipient, target, outcome, at, sender, message_id, detail) VALUES :rows...",
)
ATTEMPT = Query("attempt", "INSERT INTO attempt (entry, recipient, at, detail) VALUES :rows...")


async def record(stack: Stack, query: Query, rows: list[tuple[Any, ...]]) -> None:
    def work() -> Work[None]:
        yield query(rows=rows)

    await stack.database.write(work)


def outcome(days: float, number: int = 0, entry: str = "") -> tuple[Any, ...]:
    at = int((time.time() - days * DAY) * 1e6) + number
    detail = '{"mailbox":"INBOX","origin":{"ip":"192.0.2.7","tls":"TLSv1.3"}}'
    return (
        entry or ids.new_id(at // 1000),
        f"u{number}@a.test",
        "me@a.test",
        "delivered",
        at,
        "x@c.test",
        "<m@c>",
        detail,
    )


async def test_a_timeline_survives_the_message(stack: Stack) -> None:
    row = outcome(2)
    await record(stack, LEDGER, [row])
    await record(stack, ATTEMPT, [(row[0], row[1], row[4] - 10, '{"host":"mx","reply":"451 later","seconds":0.1}')])
    events = await stack.operator.trace(row[0], 10)
    assert [event["what"] for event in events] == ["accepted", "deferred", "delivered"]
    assert events[0]["ip"] == "192.0.2.7" and events[0]["tls"] == "TLSv1.3" and events[0]["from"] == "x@c.test"
    assert events[1]["host"] == "mx" and events[1]["seconds"] == 0.1
    assert events[2]["mailbox"] == "INBOX"


async def test_an_address_is_found_however_it_was_written(stack: Stack) -> None:
    await record(stack, LEDGER, [(*outcome(2)[:1], "Me@a.test", *outcome(2)[2:5], "Boss@C.test", *outcome(2)[6:])])
    token = await stack.token()
    for asked in ("me@a.test", "ME@A.test", "boss@c.test"):
        events = await stack.operator.trace(asked, 10)
        assert [event["what"] for event in events] == ["accepted", "delivered"], asked
    for query in ("recipient=mE@a.test", "sender=boss@c.test"):
        assert len((await stack.call("GET", f"/ledger?{query}", token)).json()["items"]) == 1


async def test_refused_mail_is_traced(stack: Stack) -> None:
    recorder = RejectionRecorder(stack.database)
    recorder.put(Rejection(time.time(), "mx", "192.0.2.1", "550 5.1.1 no", sender="x@c.test", recipient="Gone@a.test"))
    recorder.put(Rejection(time.time(), "mx", "192.0.2.2", "554 5.7.1 no", sender="y@c.test", recipient="z@d.test"))
    await recorder.flush()
    [event] = await stack.operator.trace("gone@a.test", 10)
    assert (event["what"], event["from"], event["reply"], event["ip"]) == (
        "rejected", "x@c.test", "550 5.1.1 no", "192.0.2.1",
    )  # fmt: skip
    token = await stack.token()
    items = (await stack.call("GET", "/rejections", token)).json()["items"]
    assert [one["ip"] for one in items] == ["192.0.2.2", "192.0.2.1"]
    assert len((await stack.call("GET", "/rejections?ip=192.0.2.2", token)).json()["items"]) == 1
    own = await stack.token(domains=("a.test",))
    assert [one["ip"] for one in (await stack.call("GET", "/rejections", own)).json()["items"]] == ["192.0.2.1"]


async def test_the_ledger_is_paged_and_filtered(stack: Stack) -> None:
    await record(stack, LEDGER, [outcome(number / 10, number) for number in range(25)])
    token = await stack.token()
    found: list[str] = []
    cursor = ""
    while True:
        page = (await stack.call("GET", f"/ledger?limit=10&cursor={cursor}", token)).json()
        found += [row["recipient"] for row in page["items"]]
        cursor = page["next"]
        if not cursor:
            break
    assert found == [f"u{number}@a.test" for number in range(25)]
    since, until = time.time() - 1.05 * DAY, time.time() - 0.45 * DAY
    rows = (await stack.call("GET", f"/ledger?since={since}&until={until}", token)).json()["items"]
    assert [row["recipient"] for row in rows] == [f"u{number}@a.test" for number in range(5, 11)]
    rows = (await stack.call("GET", "/ledger?recipient=u3@a.test", token)).json()["items"]
    assert len(rows) == 1
    assert (await stack.call("GET", "/ledger?outcome=bounced", token)).json()["items"] == []


async def test_old_history_goes_and_what_is_needed_stays(stack: Stack) -> None:
    waiting = await stack.accept("x@b.test")
    await stack.defer(waiting)
    ages = Ages(trace=90 * DAY, rejected=10 * DAY, audit=400 * DAY)
    needed = outcome(120, 1, entry=waiting.id)  # another recipient of the entry waits
    old, recent = outcome(120, 2), outcome(60, 3)
    await record(stack, LEDGER, [needed, old, recent])
    await record(stack, ATTEMPT, [(old[0], old[1], old[4], "{}"), (recent[0], recent[1], recent[4], "{}")])
    recorder = RejectionRecorder(stack.database)
    recorder.put(Rejection(time.time() - 11 * DAY, "mx", "192.0.2.1", "550 no"))
    recorder.put(Rejection(time.time(), "mx", "192.0.2.1", "550 no"))
    await recorder.flush()
    gone = await prune_history(stack.database, stack.office.journal, ages)
    assert (gone["ledger"], gone["attempts"], gone["rejections"]) == (1, 1, 1)
    left = {row["recipient"] for row in await stack.query("SELECT recipient FROM ledger")}
    assert left == {"u1@a.test", "u3@a.test"}
    assert len(await stack.query("SELECT 1 FROM rejection")) == 1


async def test_outcomes_stay_while_a_segment_of_their_time_is_unsettled(stack: Stack) -> None:
    await stack.accept("x@b.test")  # an unsettled segment of today
    await record(stack, LEDGER, [outcome(6, 1), outcome(30, 2)])
    gone = await prune_history(stack.database, stack.office.journal, Ages(trace=1 * DAY))
    assert gone["ledger"] == 1
    assert [row["recipient"] for row in await stack.query("SELECT recipient FROM ledger")] == ["u1@a.test"]
