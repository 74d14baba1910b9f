"""The queue over the API: listing, filters, paging, retry, hold, release, drop, sites, workers."""

from __future__ import annotations

import time
from typing import Any

from shared.message.envelope import Kind, Lane
from shared.queue.delivery import Place
from tests.integration.admin.conftest import Stack


async def listed(stack: Stack, token: str, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    for _ in range(100):
        answer = await stack.call("GET", f"/queue?limit=2&cursor={cursor}{query}", token)
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        cursor = answer.json()["next"]
        if not cursor:
            return found
    raise AssertionError("the pages have no end")


async def act(stack: Stack, token: str, action: str, **how: Any) -> int:
    answer = await stack.call("POST", "/queue/actions", token, {"action": action, **how})
    return int(answer.json()["recipients"]) if answer.status_code == 200 else -answer.status_code


async def test_what_waits_and_what_is_fresh_are_listed_once(stack: Stack) -> None:
    token = await stack.token()
    waiting = [await stack.accept("x@b.test", "y@c.test") for _ in range(3)]
    for envelope in waiting:
        await stack.defer(envelope)
    fresh = [await stack.accept("z@c.test") for _ in range(3)]
    local = await stack.accept("me@a.test", lane=Lane.DELIVERY)
    found = await listed(stack, token)
    assert [(one["entry"], one["state"]) for one in found if one["state"] == "waiting"] == sorted(
        (envelope.id, "waiting") for envelope in waiting for _ in range(2)
    )
    queued = {(one["entry"], one["lane"]) for one in found if one["state"] == "queued"}
    assert queued == {(envelope.id, "relay") for envelope in fresh} | {(local.id, "delivery")}
    assert len(found) == 10
    assert await listed(stack, token, "&state=held") == []
    assert len(await listed(stack, token, "&recipient=@c.test")) == 6
    assert len(await listed(stack, token, "&recipient=X@b.test")) == 3
    assert len(await listed(stack, token, "&sender=me@a.test&state=waiting")) == 6
    assert len(await listed(stack, token, "&site=mx.b.test&reason=LATER")) == 6
    assert await listed(stack, token, "&reason=%25") == []
    assert len(await listed(stack, token, "&lane=delivery")) == 1
    assert (await stack.call("GET", "/queue?state=nonsense", token)).status_code == 422


async def test_an_entry_is_shown(stack: Stack) -> None:
    token = await stack.token()
    envelope = await stack.accept("x@b.test")
    await stack.defer(envelope)
    view = (await stack.call("GET", f"/queue/{envelope.id.lower()}", token)).json()
    assert view["sender"] == "me@a.test" and view["recipients"][0]["address"] == "x@b.test"
    assert "Subject: hello" in view["header"] and view["origin"]["tls"] == "TLSv1.3"
    assert view["waiting"][0]["reason"] == "451 later"
    assert (await stack.call("GET", "/queue/01KAR3N5D9T7Q8W2E4R6T8Y0ZA", token)).status_code == 404
    assert (await stack.call("GET", "/queue/nonsense", token)).status_code == 422


async def test_retry_makes_it_due_now(stack: Stack) -> None:
    token = await stack.token()
    envelope = await stack.accept("x@b.test")
    await stack.defer(envelope)
    assert await act(stack, token, "retry", entries=[envelope.id]) == 1
    [row] = await stack.query("SELECT due_at FROM pending")
    assert row["due_at"] / 1e6 <= time.time()
    await stack.queue.promote(time.time() + 1, 10)
    assert [lease.item.entry for lease in await stack.queue.read(Lane.RELAY, 10, 0)] == [envelope.id]
    assert await act(stack, token, "retry", entries=["01KAR3N5D9T7Q8W2E4R6T8Y0ZA"]) == -404
    assert await act(stack, token, "retry", entries=["nonsense"]) == -422
    assert await act(stack, token, "retry") == -422
    assert await act(stack, token, "retry", filter={}) == -422


async def test_hold_and_release_of_waiting_and_fresh_mail(stack: Stack) -> None:
    token = await stack.token()
    waiting = await stack.accept("x@b.test")
    await stack.defer(waiting)
    fresh = await stack.accept("z@c.test")
    assert await act(stack, token, "hold", all=True) == 2
    held = (await stack.call("GET", "/queue/held", token)).json()["items"]
    assert {one["entry"] for one in held} == {waiting.id, fresh.id}
    assert await stack.queue.places(fresh.id, Lane.RELAY) == set()
    assert [one["state"] for one in await listed(stack, token)] == ["held", "held"]
    assert await act(stack, token, "release", filter={"recipient": "@c.test"}) == 1
    assert await stack.queue.places(fresh.id, Lane.RELAY) == {Place.QUEUED}
    assert [one["entry"] for one in await listed(stack, token, "&state=held")] == [waiting.id]
    assert await act(stack, token, "release", entries=[fresh.id]) == -404


async def test_drop_is_on_record_and_out_of_the_queue(stack: Stack) -> None:
    token = await stack.token()
    envelopes = [await stack.accept("x@b.test"), await stack.accept("y@b.test"), await stack.accept("z@c.test")]
    await stack.defer(envelopes[0])
    assert await act(stack, token, "drop", filter={"recipient": "@b.test"}) == 2
    assert await act(stack, token, "drop", entries=[envelopes[2].id]) == 1
    assert await listed(stack, token) == []
    ledger = (await stack.call("GET", "/ledger?outcome=dropped", token)).json()["items"]
    assert {row["entry"] for row in ledger} == {envelope.id for envelope in envelopes}
    assert all(row["detail"]["origin"]["ip"] == "192.0.2.7" for row in ledger)
    assert (await stack.queue.stats())[Lane.RELAY].depth == 0
    assert stack.put == []
    assert await act(stack, token, "drop", entries=[envelopes[0].id]) == -404


async def test_drop_with_a_bounce_tells_the_sender_once(stack: Stack) -> None:
    token = await stack.token()
    envelope = await stack.accept("x@b.test", "y@b.test")
    await stack.defer(envelope)
    null = await stack.accept("z@b.test", sender="")
    assert await act(stack, token, "drop", entries=[envelope.id, null.id], bounce=True) == 3
    events = (await stack.call("GET", f"/trace?what={envelope.id}", token)).json()
    children = {event["child"] for event in events if event["what"] == "bounced"}
    assert len(children) == 2
    ledger = (await stack.call("GET", f"/ledger?entry={null.id}", token)).json()["items"]
    assert [row["outcome"] for row in ledger] == ["dropped"]
    found = [item async for item in _outstanding(stack)]
    assert {item.envelope.id for item in found} == children
    assert {item.envelope.kind for item in found} == {Kind.BOUNCE}
    assert {item.recipients[0].address for item in found} == {"me@a.test"}


def _outstanding(stack: Stack) -> Any:
    from shared.queue.outstanding import outstanding

    return outstanding(stack.database, stack.office.journal, stack.reader)


async def test_a_domain_administrator_drops_only_its_own_recipients(stack: Stack) -> None:
    envelope = await stack.accept("x@a.test", "y@b.test", sender="out@c.test")
    await stack.defer(envelope)
    token = await stack.token(domains=("b.test",))
    assert await act(stack, token, "drop", all=True) == 1
    left = await listed(stack, await stack.token())
    assert [one["recipient"] for one in left] == ["x@a.test"]
    events = (await stack.call("GET", f"/trace?what={envelope.id}", token)).json()
    assert not any(event.get("recipient") == "x@a.test" for event in events)


async def test_statistics_sites_and_workers(stack: Stack) -> None:
    token = await stack.token()
    for _ in range(3):
        await stack.defer(await stack.accept("x@b.test"))
    await stack.accept("y@b.test")
    statistics = (await stack.call("GET", "/queue/statistics", token)).json()
    relay = next(lane for lane in statistics["lanes"] if lane["lane"] == "relay")
    assert (relay["queued"], relay["waiting"], relay["held"]) == (1, 3, 0)
    assert statistics["sites"][0]["site"] == "mx.b.test" and statistics["sites"][0]["recipients"] == 3
    assert statistics["reasons"][0]["reason"] == "451 later"
    leases = await stack.queue.read(Lane.RELAY, 10, 0)
    workers = (await stack.call("GET", "/workers", token)).json()
    [busy] = [one for one in workers if one["leases"]]
    assert busy["alive"] and [one["entry"] for one in busy["entries"]] == [lease.item.entry for lease in leases]

    changed = await stack.call("PATCH", "/sites/mx.b.test,mx2.b.test", token, {"paused": True, "connections": 3})
    assert changed.json()["paused"] is True
    [site] = (await stack.call("GET", "/sites", token)).json()
    assert (site["site"], site["paused"], site["max_connections"]) == ("mx.b.test,mx2.b.test", True, 3)
    await stack.call("PATCH", "/sites/mx.b.test,mx2.b.test", token, {"paused": False, "connections": 0})
    assert (await stack.call("GET", "/sites", token)).json() == []


async def test_what_operators_set_outlives_redis(stack: Stack) -> None:
    import asyncio

    from shared.operations.sites import Throttles

    await stack.operator.throttle("mx.b.test", paused=True, connections=2)
    await stack.redis.flushall()
    throttles = Throttles(20)
    assert stack.office.sites is not None
    reading = asyncio.create_task(throttles.keep_reading(stack.database, stack.office.sites))
    for _ in range(100):
        await asyncio.sleep(0.02)
        if throttles.connections("mx.b.test") == 2 and await stack.office.sites.stats():
            break
    reading.cancel()
    assert throttles.connections("mx.b.test") == 2 and throttles.connections("other") == 20
    assert [one.stopped for one in await stack.office.sites.stats()] == [True]


async def test_addresses_are_found_without_regard_to_case(stack: Stack) -> None:
    token = await stack.token()
    envelope = await stack.accept("You@C.test", sender="Me@A.test")
    await stack.defer(envelope)
    for query in ("recipient=you@c.TEST", "sender=me@a.test", "recipient=@c.test"):
        found = (await stack.call("GET", f"/queue?state=waiting&{query}", token)).json()["items"]
        assert [one["entry"] for one in found] == [envelope.id]
    for what in ("you@c.test", "me@a.test"):
        events = (await stack.call("GET", f"/trace?what={what}", token)).json()
        assert {event["entry"] for event in events} == {envelope.id}
