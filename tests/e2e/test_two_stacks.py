"""Two stacks that find each other by MX look-ups, other people's servers that misbehave, and the operator's tools."""

from __future__ import annotations

import email
import email.policy
import json
import re
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage, Message
from pathlib import Path

import pytest

from tests.e2e.running import running
from tests.e2e.sessions import eventually, fetch, imap, message, mx, quoted, received, search, submission, wait_for
from tests.tools.dnsserver import DnsServer
from tests.tools.sink import Rule, Sink, SinkOptions
from tests.tools.stack import Stack, free_port_base, run_cli

A, B, ELSEWHERE = "127.0.0.2", "127.0.0.3", "127.0.0.4"
ALICE, BOB = "alice@a.test", "bob@b.test"
PASSWORDS = {ALICE: "wonderland", BOB: "builder"}
LOOPBACK = '["127.0.0.0/8"]'
LATER = "451 4.7.1 greylisted, come back"
ZONES = {
    "a.test": f"@ MX 10 mx\nmx A {A}",
    "b.test": f"@ MX 10 mx\nmx A {B}",
    "implicit.test": f"@ A {ELSEWHERE}",
    "slow.test": f"@ MX 10 mx\nmx A {ELSEWHERE}",
    "backup.test": f"@ MX 10 dead\n@ MX 20 mx\ndead A 127.0.0.99\nmx A {ELSEWHERE}",
    "null.test": "@ MX 0 .",
    "private.test": "@ MX 10 mx\nmx A 10.11.12.13",
    "nomail.test": '@ TXT "nothing here"',
}


@dataclass(frozen=True, slots=True)
class World:
    """Stack a retries after a second, stack b after a minute as everybody does."""

    a: Stack
    b: Stack
    sink: Sink
    dns: DnsServer

    def passwords(self, address: str) -> tuple[Stack, str]:
        return (self.a if address == ALICE else self.b), PASSWORDS[address]

    def send(self, sender: str, *recipients: str, subject: str, text: str = "hello\n") -> str:
        """Submit a message; return its entry's id."""
        stack, password = self.passwords(sender)
        with submission(stack, sender, password) as client:
            client.mail(sender)
            for recipient in recipients:
                code, said = client.rcpt(recipient)
                assert code == 250, said
            code, said = client.data(message(subject, sender, recipients[0], text).as_bytes(policy=email.policy.SMTP))
        assert code == 250, said
        return said.decode().rpartition(" ")[2]

    def trace(self, stack: Stack, what: str) -> list[dict[str, str]]:
        """The story of an entry, oldest first."""
        return [
            json.loads(line) for line in stack.cli("trace", what, "--json", check=False).splitlines() if "{" in line
        ]

    def outcome(self, stack: Stack, entry: str, what: str) -> dict[str, str]:
        """The event of this kind in an entry's story, once it is there."""
        return eventually(
            lambda: next((event for event in self.trace(stack, entry) if event["what"] == what), None),
            f"{what} of {entry}",
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    base = free_port_base([A, B, ELSEWHERE])
    with DnsServer() as dns, Sink(SinkOptions(host=ELSEWHERE, port=25 + base)) as sink:
        for name, zone in ZONES.items():
            dns.set_zone(name, zone)
        with (
            running(
                folder / "a", port_base=base, **_options(A, "mx.a.test", dns, base, PACKETBOAT_RELAY_RETRY_FIRST="1")
            ) as a,
            running(folder / "b", port_base=base, **_options(B, "mx.b.test", dns, base)) as b,
        ):
            for stack, domain, address in ((a, "a.test", ALICE), (b, "b.test", BOB)):
                stack.cli("domain", "add", domain)
                stack.add_account(address, PASSWORDS[address])
            yield World(a, b, sink, dns)


def _options(host: str, name: str, dns: DnsServer, base: int, **env: str) -> dict[str, object]:
    return {
        "listen": [host],
        "resolver": dns.address,
        "relay_port": 25 + base,
        "env": {"PACKETBOAT_HOSTNAME": name, "PACKETBOAT_RELAY_ALLOW_PRIVATE": LOOPBACK, **env},
    }


@pytest.fixture(autouse=True)
def obedient_sink(request: pytest.FixtureRequest) -> None:
    """Every test begins with a sink that takes everything."""
    request.getfixturevalue("world").sink.set_rules()


def bounce_in(stack: Stack, address: str, original: str) -> EmailMessage:
    """The report about the message with this subject, once it is in the sender's INBOX."""
    with imap(stack, address, PASSWORDS[address]) as client:
        [uid] = wait_for(client, "HEADER", "Content-Type", "delivery-status", "TEXT", quoted(original))
        parsed = email.message_from_bytes(fetch(client, uid), policy=email.policy.default)
        client.uid("STORE", uid, "+FLAGS", r"(\Deleted)")
        client.expunge()
    assert isinstance(parsed, EmailMessage)
    return parsed


def report_of(bounce: EmailMessage) -> tuple[Message, Message]:
    """The fields about the message, and about its one recipient (RFC 3464)."""
    assert bounce.get_content_type() == "multipart/report"
    assert bounce.get_param("report-type") == "delivery-status"
    status = list(bounce.iter_parts())[1]
    assert status.get_content_type() == "message/delivery-status"
    about_message, about_recipient = status.get_payload()
    return about_message, about_recipient


# Mail that arrives


def test_a_message_arrives_with_its_headers(world: World) -> None:
    entry = world.send(ALICE, BOB, subject="from a to b")
    data = received(world.b, BOB, "from a to b", password=PASSWORDS[BOB])
    parsed = email.message_from_bytes(data, policy=email.policy.default)
    assert parsed["Return-Path"] == f"<{ALICE}>"
    assert parsed["Delivered-To"] == BOB
    second, first = parsed.get_all("Received")
    assert re.search(rf"by mx\.a\.test with ESMTPSA \(TLSv1\.3 \S+\) id {entry} ", " ".join(first.split()))
    assert second.startswith("from mx.a.test ([127.0.0.1])") and "by mx.b.test" in second
    assert "with ESMTPS" in second  # opportunistic TLS with a self-signed certificate
    assert parsed["Date"] and parsed["Message-ID"]
    keys = [key.lower() for key in parsed]
    assert keys[:4] == ["return-path", "delivered-to", "received", "received"]
    assert parsed.get_content().strip() == "hello"


def test_trace_tells_both_halves(world: World) -> None:
    entry = world.send(ALICE, BOB, subject="traced")
    relayed = world.outcome(world.a, entry, "relayed")
    assert relayed["recipient"] == BOB
    assert relayed["host"] == "mx.b.test"
    there = re.search(r"queued as (\w{26})", relayed["reply"])
    assert there is not None
    assert world.outcome(world.b, there[1], "delivered")["mailbox"] == "INBOX"
    printed = world.a.cli("trace", ALICE)
    assert entry in printed and "relayed" in printed
    with imap(world.b, BOB, PASSWORDS[BOB]) as client:
        [uid] = wait_for(client, "SUBJECT", "traced")
        message_id = email.message_from_bytes(fetch(client, uid))["Message-ID"]
    assert {event["what"] for event in world.trace(world.a, message_id)} == {"accepted", "relayed"}
    assert {event["what"] for event in world.trace(world.b, message_id)} == {"accepted", "delivered"}


def test_several_recipients_near_and_far(world: World) -> None:
    subject = "near and far"
    world.send(ALICE, ALICE, BOB, "x@implicit.test", "y@slow.test", "z@slow.test", subject=subject)
    received(world.a, ALICE, subject, password=PASSWORDS[ALICE])
    received(world.b, BOB, subject, password=PASSWORDS[BOB])
    found = world.sink.wait_for(2, where=lambda m: subject.encode() in m.data)
    assert sorted(m.recipients for m in found) == [("x@implicit.test",), ("y@slow.test", "z@slow.test")]
    assert {m.helo for m in found} == {"mx.a.test"}
    assert not any(b"Return-Path" in m.data or b"Delivered-To" in m.data for m in found)


def test_a_backup_mx_takes_what_the_first_does_not(world: World) -> None:
    world.send(ALICE, "x@backup.test", subject="over the backup")
    world.sink.wait_for(1, where=lambda m: b"over the backup" in m.data)


def test_utf8_addresses_and_8_bit_text(world: World) -> None:
    stack, password = world.passwords(ALICE)
    letter = EmailMessage(policy=email.policy.SMTPUTF8)
    letter["From"], letter["To"], letter["Subject"] = ALICE, "grüße@slow.test", "Grüße"
    letter.set_content("äöü\n", cte="8bit")
    with submission(stack, ALICE, password) as client:
        client.sendmail(ALICE, ["grüße@slow.test"], bytes(letter), ["SMTPUTF8", "BODY=8BITMIME"])
    [got] = world.sink.wait_for(1, where=lambda m: m.recipients == ("grüße@slow.test",))
    assert "SMTPUTF8" in got.parameters[0]
    assert got.data.endswith(bytes(letter))


# Mail that fails


def test_an_unknown_recipient_bounces_into_the_senders_inbox(world: World) -> None:
    entry = world.send(ALICE, "nobody@b.test", subject="to nobody")
    bounce = bounce_in(world.a, ALICE, "to nobody")
    assert bounce["Return-Path"] == "<>"
    assert bounce["To"].addresses[0].addr_spec == ALICE
    assert bounce["Auto-Submitted"].startswith("auto-replied")
    about_message, about_recipient = report_of(bounce)
    assert about_message["Reporting-MTA"] == "dns; mx.a.test"
    assert about_recipient["Final-Recipient"] == "rfc822; nobody@b.test"
    assert about_recipient["Action"] == "failed"
    assert about_recipient["Status"] == "5.1.1"
    assert about_recipient["Remote-MTA"] == "dns; mx.b.test"
    assert "550 5.1.1" in about_recipient["Diagnostic-Code"]
    text, _, original = bounce.iter_parts()
    assert "nobody@b.test" in text.get_content() and "550 5.1.1" in text.get_content()
    assert "Subject: to nobody" in original.as_string()
    story = world.trace(world.a, entry)
    assert [event["what"] for event in story if event["entry"] == entry] == ["accepted", "bounced"]
    child = next(event["child"] for event in story if event["what"] == "bounced")
    assert any(event["entry"] == child and event["what"] == "delivered" for event in story)


@pytest.mark.parametrize(
    ("domain", "status"),
    [("null.test", "5.1.10"), ("private.test", "5.4.4"), ("nomail.test", "5.4.4"), ("missing.a.test", "5.1.2")],
)
def test_domains_without_a_usable_server_fail_at_once(world: World, domain: str, status: str) -> None:
    subject = f"to {domain}"
    world.send(ALICE, f"x@{domain}", subject=subject)
    _, about_recipient = report_of(bounce_in(world.a, ALICE, subject))
    assert about_recipient["Action"] == "failed"
    assert about_recipient["Status"] == status
    assert about_recipient["Remote-MTA"] is None
    assert "smtp" not in (about_recipient["Diagnostic-Code"] or "").split(";")[0]


def test_only_the_recipient_that_failed_is_reported(world: World) -> None:
    world.sink.set_rules(Rule("RCPT", match="bad@*", reply="550 5.7.1 we don't like you"))
    world.send(ALICE, "good@slow.test", "bad@slow.test", subject="half of it")
    world.sink.wait_for(1, where=lambda m: b"half of it" in m.data and m.recipients == ("good@slow.test",))
    _, about_recipient = report_of(bounce_in(world.a, ALICE, "half of it"))
    assert about_recipient["Final-Recipient"] == "rfc822; bad@slow.test"
    assert about_recipient["Diagnostic-Code"] == "smtp; 550 5.7.1 we don't like you"


def test_the_null_sender_is_never_bounced(world: World) -> None:
    world.a.cli("alias", "add", "away@a.test", "nobody@b.test")
    with mx(world.a) as client:
        client.mail("<>")
        assert client.rcpt("away@a.test")[0] == 250
        code, said = client.data(b"Subject: from nobody\r\n\r\nx\r\n")
        assert code == 250
    entry = said.decode().rpartition(" ")[2]
    redirected = world.outcome(world.a, entry, "redirected")
    failed = world.outcome(world.a, redirected["child"], "failed")
    assert "550 5.1.1" in failed["reply"]
    assert "child" not in failed
    assert world.a.cli("queue", "list").strip() == "the queue is empty"


def test_notify_never_is_obeyed_and_success_reported(world: World) -> None:
    stack, password = world.passwords(ALICE)
    with submission(stack, ALICE, password) as client:
        client.mail(ALICE, ["RET=HDRS", "ENVID=unique-1"])
        client.rcpt("nobody@b.test", ["NOTIFY=NEVER"])
        _, said = client.data(b"Subject: never tell\r\n\r\nx\r\n")
        client.mail(ALICE, ["RET=HDRS", "ENVID=unique-2"])
        client.rcpt(ALICE, ["NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;{ALICE}"])
        client.data(b"Subject: tell of success\r\n\r\nthe body\r\n")
    failed = world.outcome(world.a, said.decode().rpartition(" ")[2], "failed")
    assert "child" not in failed
    bounce = bounce_in(world.a, ALICE, "tell of success")
    about_message, about_recipient = report_of(bounce)
    assert about_message["Original-Envelope-Id"] == "unique-2"
    assert about_recipient["Action"] == "delivered"
    assert b"the body" not in bytes(bounce)


# Mail that waits


def test_deferred_mail_is_retried_and_arrives(world: World) -> None:
    world.sink.set_rules(Rule("RCPT", match="grey@slow.test", reply=LATER, times=2))
    entry = world.send(ALICE, "grey@slow.test", subject="greylisted")
    waiting = world.outcome(world.a, entry, "waiting")
    assert "451 4.7.1 greylisted" in waiting["reason"]
    [got] = world.sink.wait_for(1, where=lambda m: b"greylisted" in m.data)
    assert got.recipients == ("grey@slow.test",)
    assert world.outcome(world.a, entry, "relayed")["reply"].startswith("250")
    assert entry not in world.a.cli("queue", "list")


def test_a_resolver_that_fails_defers(world: World) -> None:
    from tests.tools.dnsserver import Failure

    world.dns.fail("slow.test", Failure.SERVFAIL)
    world.dns.set_zone("later.test", f"@ MX 10 mx\nmx A {ELSEWHERE}")
    world.dns.fail("later.test", Failure.SERVFAIL)
    entry = world.send(ALICE, "x@later.test", subject="DNS is away")
    assert "can't be looked up" in world.outcome(world.a, entry, "waiting")["reason"]
    world.dns.heal()
    world.sink.wait_for(1, where=lambda m: b"DNS is away" in m.data)


def _deferred(world: World, local: str) -> str:
    """A message of stack b that waits a minute for its next attempt."""
    world.sink.set_rules(Rule("RCPT", match=f"{local}@slow.test", reply=LATER))
    entry = world.send(BOB, f"{local}@slow.test", subject=f"for {local}")
    world.outcome(world.b, entry, "waiting")
    return entry


def test_the_queue_on_a_running_stack(world: World) -> None:
    retried, dropped = _deferred(world, "first"), _deferred(world, "second")
    listed = {item["entry"]: item for item in map(json.loads, world.b.cli("queue", "list", "--json").splitlines())}
    assert set(listed) == {retried, dropped}
    assert listed[retried]["recipient"] == "first@slow.test"
    assert (listed[retried]["state"], listed[retried]["attempts"]) == ("waiting", 1)
    assert LATER in listed[retried]["reason"]
    shown = world.b.cli("queue", "show", retried)
    assert f"<{BOB}>" in shown and "first@slow.test" in shown and "Subject: for first" in shown and LATER in shown
    world.sink.set_rules()
    assert "1 recipient" in world.b.cli("queue", "retry", retried)
    world.sink.wait_for(1, timeout=10, where=lambda m: b"for first" in m.data)
    assert "dropped 1 recipient" in world.b.cli("queue", "drop", dropped)
    assert [event["what"] for event in world.trace(world.b, dropped)] == ["accepted", "deferred", "dropped"]
    eventually(lambda: "the queue is empty" in world.b.cli("queue", "list"), "an empty queue")
    for command in ("show", "retry", "drop"):
        assert "wait" in world.b.cli("queue", command, dropped, check=False)


def test_the_queue_on_a_stopped_stack(world: World) -> None:
    retried, dropped = _deferred(world, "third"), _deferred(world, "fourth")
    world.b.stop()
    assert set(re.findall(r"\b01\w{24}\b", world.b.cli("queue", "list"))) == {retried, dropped}
    assert "Subject: for third" in world.b.cli("queue", "show", retried)
    assert "1 recipient" in world.b.cli("queue", "retry", retried)
    assert "dropped 1 recipient" in world.b.cli("queue", "drop", dropped)
    assert "waiting" in world.b.cli("trace", retried)
    world.sink.set_rules()
    world.b.start()
    world.sink.wait_for(1, timeout=10, where=lambda m: b"for third" in m.data)
    assert not [m for m in world.sink.messages if b"for fourth" in m.data]
    assert world.outcome(world.b, retried, "relayed")


def test_mail_that_waits_survives_the_loss_of_redis(world: World) -> None:
    entry = _deferred(world, "fifth")
    world.b.stop()
    for path in (world.b.data / "redis").rglob("*"):
        if path.is_file():
            path.unlink()
    world.sink.set_rules()
    world.b.start()
    world.b.cli("queue", "retry", "all")
    world.sink.wait_for(1, where=lambda m: b"for fifth" in m.data)
    assert world.outcome(world.b, entry, "relayed")


# Loops


def test_forwards_in_a_circle_end(world: World) -> None:
    world.a.cli("alias", "add", "circle@a.test", "circle@b.test")
    world.b.cli("alias", "add", "circle@b.test", "circle@a.test")
    world.send(ALICE, "circle@a.test", subject="round and round")
    _, about_recipient = report_of(bounce_in(world.a, ALICE, "round and round"))
    assert about_recipient["Status"] == "5.4.6"


def test_the_journal_of_no_stack_is_open_to_relaying(world: World, tmp_path: Path) -> None:
    for stack in (world.a, world.b):
        with mx(stack) as client, pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail(ALICE, ["victim@slow.test"], b"Subject: relay me\r\n\r\nx\r\n")
    assert "there is no stack" in run_cli(tmp_path / "none", "queue", "list", check=False)
    with imap(world.a, ALICE, PASSWORDS[ALICE]) as client:
        client.select("INBOX")
        assert search(client, "SUBJECT", quoted("relay me")) == []
