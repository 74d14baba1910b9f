"""The relay worker end to end: from the queue to a sink and into the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from shared.directory import admin
from shared.message.envelope import Kind, Lane, Recipient
from shared.queue.delivery import Item
from tests.integration.relay.conftest import BODY, Relay, until
from tests.tools.dnsserver import DnsServer, Failure
from tests.tools.sink import Rule, Sink

MakeSink = Callable[..., Sink]


async def outcomes(relay: Relay, entry: str, count: int = 1) -> dict[str, tuple[str, str]]:
    async def ask() -> Any:
        found = await relay.ledger(entry)
        return found if len(found) >= count else None

    return await until(ask)


async def waiting(relay: Relay, entry: str, attempts: int = 1) -> Any:
    async def ask() -> Any:
        rows = await relay.pending(entry)
        return rows if rows and all(row["attempts"] >= attempts for row in rows.values()) else None

    return await until(ask)


async def test_relayed(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink()
    await relay.start(relay_port=sink.port)
    entry = await relay.submit("bob@b.test", "carol@b.test", "dave@c.test")
    found = await outcomes(relay, entry, 3)
    assert {outcome for outcome, _ in found.values()} == {"relayed"}
    assert '"host":"mx.b.test"' in found["bob@b.test"][1]
    messages = {message.recipients: message for message in sink.messages}
    assert set(messages) == {("bob@b.test", "carol@b.test"), ("dave@c.test",)}
    assert all(message.data == BODY for message in messages.values())
    assert sink.messages[0].sender == "alice@a.test"
    assert sink.messages[0].helo == "relay.a.test"
    await until(lambda: _idle(relay))


async def _idle(relay: Relay) -> bool:
    stats = (await relay.queue.stats())[Lane.RELAY]
    keys = await relay.redis.keys("pb:relay:parts:*")
    return (stats.depth, stats.leased, stats.delayed, keys) == (0, 0, 0, [])


async def test_partial_failures(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink(
        Rule("RCPT", "550 5.1.1 no such user", "nobody@b.test"),
        Rule("RCPT", "451 4.2.1 later", "later@b.test", times=1),
    )
    await relay.start(relay_port=sink.port)
    entry = await relay.submit("bob@b.test", "nobody@b.test", "later@b.test")
    found = await outcomes(relay, entry, 2)
    assert {r: outcome for r, (outcome, _) in found.items()} == {"bob@b.test": "relayed", "nobody@b.test": "bounced"}
    row = (await waiting(relay, entry))["later@b.test"]
    assert row["reason"] == "mx.b.test: 451 4.2.1 later"
    await relay.make_due(entry)
    found = await outcomes(relay, entry, 3)
    assert found["later@b.test"][0] == "relayed"
    assert await relay.pending(entry) == {}
    assert [message.recipients for message in sink.messages] == [("bob@b.test",), ("later@b.test",)]


async def test_a_bounce_goes_back_to_a_local_sender_once(relay: Relay, make_sink: MakeSink) -> None:
    await relay.database.write(admin.add_domain, "a.test", 1)
    sink = make_sink(Rule("RCPT", "550 5.1.1 no such user"))
    await relay.start(relay_port=sink.port)
    entry = await relay.submit("nobody@b.test")
    found = await outcomes(relay, entry)
    ((envelope, body),) = await until(relay.children)
    assert envelope.sender == ""
    assert envelope.kind is Kind.BOUNCE
    assert (envelope.recipients[0].address, envelope.recipients[0].lane) == ("alice@a.test", Lane.DELIVERY)
    assert envelope.id in found["nobody@b.test"][1]
    assert b"Diagnostic-Code: smtp; 550 5.1.1 no such user" in body
    assert b"Remote-MTA: dns; mx.b.test" in body
    assert b"Subject: hello" in body
    assert b".first" not in body


async def test_a_failed_bounce_is_never_bounced(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink(Rule("RCPT", "550 5.1.1 no such user"))
    await relay.start(relay_port=sink.port)
    entry = await relay.submit("nobody@b.test", sender="")
    assert (await outcomes(relay, entry))["nobody@b.test"][0] == "failed"
    assert await relay.children() == []


async def test_notify_never_and_success(relay: Relay, make_sink: MakeSink) -> None:
    await relay.database.write(admin.add_domain, "a.test", 1)
    sink = make_sink(Rule("RCPT", "550 5.1.1 no", "never@b.test"), extensions=("8BITMIME",))
    await relay.start(relay_port=sink.port)
    never = Recipient("never@b.test", Lane.RELAY, notify="NEVER")
    success = Recipient("bob@b.test", Lane.RELAY, notify="SUCCESS", orcpt="rfc822;bob+40b.test")
    entry = await relay.submit(never, success)
    found = await outcomes(relay, entry, 2)
    assert found["never@b.test"][0] == "failed"
    ((_, body),) = await until(relay.children)
    assert b"Action: relayed" in body


async def test_dsn_parameters_are_passed_on(relay: Relay, make_sink: MakeSink) -> None:
    await relay.database.write(admin.add_domain, "a.test", 1)
    sink = make_sink()
    await relay.start(relay_port=sink.port)
    success = Recipient("bob@b.test", Lane.RELAY, notify="SUCCESS", orcpt="rfc822;bob+40b.test")
    entry = await relay.submit(success, ret="HDRS", envid="x+2By")
    await outcomes(relay, entry)
    assert "RET=HDRS ENVID=x+2By" in sink.messages[0].parameters[0]
    assert sink.messages[0].parameters[1] == "NOTIFY=SUCCESS ORCPT=rfc822;bob+40b.test"
    assert await relay.children() == []


@pytest.mark.parametrize(
    ("domain", "status"),
    [("null.test", "5.1.10"), ("private.test", "5.4.4"), ("no.b.test", "5.1.2"), ("[10.0.0.1]", "5.4.4")],
)
async def test_unroutable_fails_at_once(relay: Relay, domain: str, status: str) -> None:
    await relay.start()
    entry = await relay.submit(f"bob@{domain}")
    outcome, detail = (await outcomes(relay, entry))[f"bob@{domain}"]
    assert outcome == "bounced"
    assert status in detail


async def test_dns_trouble_defers(relay: Relay, dns: DnsServer, make_sink: MakeSink) -> None:
    sink = make_sink()
    dns.fail("b.test", Failure.SERVFAIL)
    await relay.start(relay_port=sink.port)
    entry = await relay.submit("bob@b.test")
    row = (await waiting(relay, entry))["bob@b.test"]
    assert "4.4.3" in row["reason"]
    dns.heal()
    relay.workers[0]._engine.router._resolver.forget()  # a failed look-up is remembered for seconds
    await relay.make_due(entry)
    assert (await outcomes(relay, entry))["bob@b.test"][0] == "relayed"


async def test_451_at_the_end_then_ok(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink(Rule("DOT", "451 4.3.0 disk", times=1))
    await relay.start(relay_port=sink.port)
    entry = await relay.submit("bob@b.test")
    await waiting(relay, entry)
    await relay.make_due(entry)
    assert (await outcomes(relay, entry))["bob@b.test"][0] == "relayed"


async def test_a_drop_after_data_is_tried_again(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink(Rule("DOT", drop=True, keep=True, times=1))
    await relay.start(relay_port=sink.port)
    entry = await relay.submit("bob@b.test")
    row = (await waiting(relay, entry))["bob@b.test"]
    assert "4.4.2" in row["reason"]
    await relay.make_due(entry)
    assert (await outcomes(relay, entry))["bob@b.test"][0] == "relayed"
    assert len(sink.messages) == 2  # at least once


async def test_unreachable_defers_all_and_backs_off(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink()
    port = sink.port
    sink.stop()
    entries = [await relay.submit("bob@b.test") for _ in range(50)]
    await relay.start(relay_port=port)
    for entry in entries:
        row = (await waiting(relay, entry))["bob@b.test"]
        assert row["attempts"] == 1
        assert "4.4.1" in row["reason"]
    (site,) = [site for site in await relay.workers[0]._engine.sites.stats() if site.paused_until] or [None]
    assert site is None or site.depth == 0


async def test_the_next_host_is_tried(relay: Relay, dns: DnsServer, make_sink: MakeSink) -> None:
    sink = make_sink()
    dns.set_zone("two.test", "@ MX 1 first\n@ MX 2 second\nfirst A 127.0.0.99\nsecond A 127.0.0.1")
    await relay.start(relay_port=sink.port)
    entry = await relay.submit("bob@two.test")
    assert "second.two.test" in (await outcomes(relay, entry))["bob@two.test"][1]


@pytest.mark.parametrize("greeting", ["554 5.7.1 go away", "421 4.3.2 busy"])
async def test_a_host_that_does_not_greet_defers(relay: Relay, make_sink: MakeSink, greeting: str) -> None:
    sink = make_sink(Rule("CONNECT", greeting, times=1))
    await relay.start(relay_port=sink.port)
    entry = await relay.submit("bob@b.test")
    row = (await waiting(relay, entry))["bob@b.test"]
    assert greeting in row["reason"]


async def test_tls_when_offered(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink(starttls=True)
    await relay.start(relay_port=sink.port)
    entry = await relay.submit("bob@b.test")
    await outcomes(relay, entry)
    assert sink.messages[0].tls


async def test_plain_text_when_tls_fails(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink(extensions=("STARTTLS",))  # it says so, and then refuses
    await relay.start(relay_port=sink.port)
    await outcomes(relay, await relay.submit("bob@b.test"))
    assert not sink.messages[0].tls


async def test_many_over_few_connections(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink()
    entries = [await relay.submit("bob@b.test") for _ in range(200)]
    await relay.start(relay_port=sink.port)
    for entry in entries:
        assert (await outcomes(relay, entry))["bob@b.test"][0] == "relayed"
    assert len(sink.messages) == 200
    assert sink.counts.connections <= 20


async def test_a_host_that_takes_three_a_connection(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink(Rule("MAIL", "421 4.7.0 enough", skip=3, times=1))
    entries = [await relay.submit("bob@b.test") for _ in range(8)]
    await relay.start(relay_port=sink.port, relay_concurrency=1)
    for entry in entries:
        assert (await outcomes(relay, entry))["bob@b.test"][0] == "relayed"
    assert sink.counts.connections == 2


async def test_without_pipelining_and_esmtp(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink(pipelining=False, esmtp=False)
    await relay.start(relay_port=sink.port)
    for entry in [await relay.submit("bob@b.test") for _ in range(3)]:
        await outcomes(relay, entry)
    assert sink.counts.pipelining_violations == 0


async def test_a_large_message_is_streamed(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink()
    await relay.start(relay_port=sink.port)
    body = BODY + b".\r\n" + b"x" * 70 + b"\r\n" + (b"." + b"y" * 76 + b"\r\n") * 60_000
    upload = relay.writer.large("test-large")
    await upload.write(body)
    large = await upload.finish()
    from shared.ids import new_id
    from shared.message.envelope import Envelope

    envelope = Envelope(new_id(), "alice@a.test", (Recipient("bob@b.test", Lane.RELAY),), 1_900_000_000_000_000)
    reference = await relay.writer.append(envelope, b"Received: x\r\n", large)
    await relay.queue.enqueue([Item(envelope.id, Lane.RELAY, reference.encode())])
    await outcomes(relay, envelope.id)
    assert sink.messages[0].data == b"Received: x\r\n" + body


async def test_bare_line_ends_are_never_sent(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink()
    await relay.start(relay_port=sink.port)
    entry = await relay.submit("bob@b.test", body=b"Subject: x\r\n\r\na\n.\nMAIL FROM:<>\r\n")
    outcome, detail = (await outcomes(relay, entry))["bob@b.test"]
    assert outcome == "bounced"
    assert "5.6.0" in detail
    assert sink.messages == []


async def test_expiry(relay: Relay, make_sink: MakeSink) -> None:
    await relay.database.write(admin.add_domain, "a.test", 1)
    sink = make_sink(Rule("RCPT", "451 4.2.1 later"))
    await relay.start(relay_port=sink.port)
    entry = await relay.submit("bob@b.test", age=5 * 86400 + 1)
    outcome, detail = (await outcomes(relay, entry))["bob@b.test"]
    assert outcome == "bounced"
    assert '"expired":true' in detail
    ((_, body),) = await until(relay.children)
    assert b"Status: 5.4.7" in body
    assert b"451 4.2.1 later" in body


async def test_a_delay_is_told_once(relay: Relay, make_sink: MakeSink) -> None:
    await relay.database.write(admin.add_domain, "a.test", 1)
    sink = make_sink(Rule("RCPT", "451 4.2.1 later"))
    await relay.start(relay_port=sink.port)
    entry = await relay.submit("bob@b.test", age=4 * 3600 + 1)
    ((_, body),) = await until(relay.children)
    assert b"Action: delayed" in body
    await waiting(relay, entry)
    await relay.make_due(entry)
    await waiting(relay, entry, attempts=2)
    assert await relay.children() == []


async def test_what_is_on_record_is_not_sent_again(relay: Relay, make_sink: MakeSink) -> None:
    """A worker that died between recording and finishing: the entry comes back and has nothing left to do."""
    sink = make_sink()
    await relay.start(relay_port=sink.port)
    entry, reference = await relay.journal("bob@b.test")
    await relay.queue.enqueue([Item(entry, Lane.RELAY, reference)])
    await outcomes(relay, entry)
    await until(lambda: _idle(relay))
    await relay.queue.enqueue([Item(entry, Lane.RELAY, reference)])
    await until(lambda: _idle(relay))
    assert len(sink.messages) == 1


async def test_an_entry_whose_workers_die_is_held(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink()
    entry = await relay.submit("bob@b.test")
    await relay.redis.hset("pb:site:tries", f"{entry}:b.test", 5)
    await relay.start(relay_port=sink.port)
    row = (await waiting(relay, entry))["bob@b.test"]
    assert row["held"] == 1
    assert sink.messages == []


async def test_drain_gives_back_what_is_not_sent(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink(Rule("DOT", delay=0.05))
    entries = [await relay.submit("bob@b.test") for _ in range(200)]
    await relay.start(relay_port=sink.port, relay_concurrency=1)
    await until(lambda: _seen(sink, 3))
    await asyncio.wait_for(relay.stop(), 5)
    sent = len(sink.messages)
    assert sent < 200
    sink.set_rules()
    await relay.start(relay_port=sink.port)
    for entry in entries:
        await outcomes(relay, entry)
    assert len(sink.messages) == 200


async def _seen(sink: Sink, count: int) -> bool:
    return len(sink.messages) >= count


async def test_smarthost_with_auth(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink(credentials=("user", "secret"))
    await relay.start(
        relay_smarthost=f"[127.0.0.1]:{sink.port}",
        relay_smarthost_user="user",
        relay_smarthost_password="secret",
        relay_smarthost_tls="never",
        relay_allow_private=[],
    )
    await outcomes(relay, await relay.submit("bob@anywhere.example"))
    assert sink.messages[0].user == "user"


async def test_smarthost_whose_certificate_is_not_trusted_gets_no_password(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink(credentials=("user", "secret"), starttls=True)
    await relay.start(
        relay_smarthost=f"[127.0.0.1]:{sink.port}", relay_smarthost_user="user", relay_smarthost_password="secret"
    )
    row = (await waiting(relay, await relay.submit("bob@anywhere.example")))["bob@anywhere.example"]
    assert "4.7.5" in row["reason"]
    assert sink.counts.commands["AUTH"] == 0


async def test_transport_of_a_domain(relay: Relay, make_sink: MakeSink) -> None:
    sink, other = make_sink(), make_sink()
    await relay.start(relay_port=sink.port, relay_transport={".b.test": f"[127.0.0.1]:{other.port}"})
    await outcomes(relay, await relay.submit("bob@sub.b.test"))
    await outcomes(relay, await relay.submit("bob@b.test"))
    assert (len(sink.messages), len(other.messages)) == (1, 1)


async def test_a_site_that_takes_few_connections_gets_all(relay: Relay, make_sink: MakeSink) -> None:
    """What others of us are refused is no reason to put the site's mail off."""
    sink = make_sink(Rule("CONNECT", "421 4.7.0 too many", skip=1), Rule("DOT", delay=0.01))
    entries = [await relay.submit("bob@b.test") for _ in range(150)]
    await relay.start(relay_port=sink.port, relay_concurrency=5)
    for entry in entries:
        assert (await outcomes(relay, entry))["bob@b.test"][0] == "relayed"
        assert await relay.pending(entry) == {}
    assert sink.counts.connections > 1


async def test_a_host_that_hangs_up_at_the_first_message_defers(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink(Rule("MAIL", "421 4.7.0 not now"))
    await relay.start(relay_port=sink.port)
    row = (await waiting(relay, await relay.submit("bob@b.test")))["bob@b.test"]
    assert "421 4.7.0 not now" in row["reason"]


async def test_a_drain_does_not_wait_for_slow_hosts(relay: Relay, make_sink: MakeSink) -> None:
    sink = make_sink(Rule("DOT", delay=30, times=1), Rule("CONNECT", delay=30, times=1, skip=1))
    entries = [await relay.submit(address) for address in ("bob@b.test", "bob@slow.test")]
    await relay.start(relay_port=sink.port, grace_period=3, relay_transport={"slow.test": f"[127.0.0.1]:{sink.port}"})
    await until(lambda: _connected(sink, 2))
    await asyncio.wait_for(relay.stop(), 3)
    assert [await relay.ledger(entry) for entry in entries] == [{}, {}]
    sink.set_rules()
    await relay.start()
    for entry in entries:
        await outcomes(relay, entry)


async def _connected(sink: Sink, count: int) -> bool:
    return sink.counts.connections >= count
