"""Sieve at delivery: what scripts decide, and that it happens once."""

from __future__ import annotations

import time

import orjson
import pytest

from services.mda import sieving
from services.mda.courier import Stuck
from shared.address import parse_address
from shared.directory import admin
from shared.journal.reference import Reference
from shared.message.envelope import DeliverBy, Kind, Lane, Recipient
from shared.operations.actor import Actor
from shared.operations.scripts import Owner, Place, Scripts
from shared.operations.suites import Shelf
from tests.integration.mda.conftest import DOMAIN, MESSAGE

ADDRESSED = MESSAGE.replace(b"Subject:", b"To: bob@b.test\r\nSubject:")


class Desk:
    """Scripts for the accounts of an office."""

    def __init__(self, office):
        self.office = office
        self.scripts = Scripts(office.database)

    async def use(self, name: str, text: str, script: str = "main") -> int:
        account = await self.office.directory.account(f"{name}@{DOMAIN}")
        number = account.id if account else await self.office.account(name)
        owner = Owner.account(number, f"{name}@{DOMAIN}")
        await self.scripts.put(owner, script, text.encode())
        await self.scripts.activate(owner, script)
        return number

    async def details(self, entry: str) -> dict[str, dict]:
        rows = await self.office.query("SELECT target, outcome, detail FROM ledger WHERE entry = :e", e=entry)
        return {row["target"]: {"outcome": row["outcome"], **orjson.loads(row["detail"])} for row in rows}


@pytest.fixture
async def desk(office):
    return Desk(office)


async def again(office, item):
    """Have an entry worked on as if nobody had finished it in Redis."""
    await office.redis.flushall()
    await office.queue.setup()
    await office.queue.enqueue([item])
    await office.work()


async def flags(office, name, mailbox):
    account = await office.directory.account(f"{name}@{DOMAIN}")
    box = await office.mailboxes.get(account.id, mailbox)
    rows = await office.query("SELECT flags FROM message WHERE mailbox_id = :id ORDER BY uid", id=box.id)
    names = await office.query("SELECT bit, name FROM keyword WHERE mailbox_id = :id", id=box.id)
    return [(row["flags"] & 31, {n["name"] for n in names if row["flags"] >> n["bit"] & 1}) for row in rows]


async def test_filed_with_flags_into_a_mailbox_that_is_made(office, desk):
    await desk.use(
        "bob",
        'require ["fileinto", "mailbox", "imap4flags", "copy"];\n'
        'fileinto :create :flags ["\\\\Seen", "$Work"] "Lists/Packetboat";\nfileinto :copy "Archive";\nkeep;\n',
    )
    item = await office.accept("bob")
    await office.work()
    for mailbox in ("Lists/Packetboat", "Archive", "INBOX"):
        assert len(await office.inbox("bob", mailbox)) == 1
    assert await flags(office, "bob", "Lists/Packetboat") == [(1, {"$Work"})]
    detail = (await desk.details(item.entry))["bob@b.test"]
    assert (detail["outcome"], detail["mailbox"], detail["copies"]) == (
        "delivered",
        "Lists/Packetboat",
        ["Archive", "INBOX"],
    )
    assert detail["filter"] == "sieve main"
    account = await office.directory.account("bob@b.test")
    assert account.used_messages == 3


async def test_what_is_missing_falls_into_the_inbox(office, desk):
    await desk.use("bob", 'require "fileinto"; fileinto "Nowhere";')
    item = await office.accept("bob")
    await office.work()
    assert len(await office.inbox("bob")) == 1
    assert (await desk.details(item.entry))["bob@b.test"]["wanted"] == "Nowhere"


async def test_special_use_and_mailbox_ids(office, desk):
    number = await office.account("bob")
    archive = await office.mailboxes.get(number, "Archive")
    await office.mailboxes.rename(number, "Junk", "Rubbish")
    await desk.use(
        "bob",
        'require ["fileinto", "special-use", "mailboxid", "mailbox", "copy"];\n'
        'if specialuse_exists "\\\\Junk" { fileinto :copy :specialuse "\\\\Junk" "Junk"; }\n'
        f'fileinto :mailboxid "{archive.object_id}" "Other";\n'
        'if mailboxexists "Rubbish" { fileinto :copy :create :specialuse "\\\\Important" "Vital"; }\n',
    )
    await office.accept("bob")
    await office.work()
    for mailbox in ("Rubbish", "Archive", "Vital"):
        assert len(await office.inbox("bob", mailbox)) == 1, mailbox
    assert (await office.query("SELECT special_use FROM mailbox WHERE name = 'Vital'"))[0][
        "special_use"
    ] == "\\Important"


async def test_redirects_go_by_way_of_us(office, desk):
    await desk.use("bob", 'redirect "x@far.test";')
    await office.accept("bob", sender="Writer@out.test")
    await office.work()
    assert await office.inbox("bob") == []
    ((envelope, body),) = await office.relayed()
    assert envelope.sender.startswith("SRS0=") and envelope.sender.endswith("=out.test=Writer@b.test")
    assert body == b"Delivered-To: bob@b.test\r\n" + MESSAGE
    expansion = await office.directory.expand(parse_address(envelope.sender))
    assert [str(address) for address in expansion.forwards] == ["Writer@out.test"]
    forged = await office.directory.expand(parse_address(envelope.sender.replace("out.test", "victim.test")))
    assert not forged.forwards and forged.unknown
    # a bounce of the next hop comes back to us, and goes on to the writer
    await office.accept(Recipient(envelope.sender, Lane.DELIVERY), sender="")
    await office.work()
    ((returned, _),) = await office.relayed()
    assert (returned.sender, returned.recipients[0].address) == ("", "Writer@out.test")


async def test_a_long_sender_comes_back_too(office, desk):
    await desk.use("bob", 'redirect "x@far.test";')
    sender = f"bounces+123456-abcdef-bob=b.test@{'long-name.' * 4}news.test"
    for _ in range(2):
        await office.accept("bob", sender=sender)
    await office.work()
    paths = {envelope.sender for envelope, _ in await office.relayed()}
    (path,) = paths
    assert len(path.rpartition("@")[0]) <= 64
    expansion = await office.directory.expand(parse_address(path.upper()))
    assert [str(address) for address in expansion.forwards] == [sender]
    unknown = await office.directory.expand(parse_address(path.replace("stored", "stores")))
    assert not unknown.forwards


async def test_a_redirect_to_one_of_us_stays_here_and_keeps_its_sender(office, desk):
    await desk.use("bob", 'require "copy"; redirect :copy "eve@b.test";')
    await office.account("eve")
    item = await office.accept("bob", sender="a@b.test")
    await office.work()
    assert len(await office.inbox("bob")) == 1
    (received,) = await office.inbox("eve")
    assert received.startswith(b"Return-Path: <a@b.test>\r\n")
    assert {target: one["outcome"] for target, one in (await desk.details(item.entry)).items()} == {
        "bob@b.test": "delivered",
        "eve@b.test": "redirected",
    }


async def test_a_redirect_in_a_circle_ends_in_the_mailbox(office, desk):
    await desk.use("bob", 'redirect "eve@b.test";')
    await desk.use("eve", 'redirect "bob@b.test";')
    await office.accept("bob")
    await office.work()
    assert len(await office.inbox("bob")) + len(await office.inbox("eve")) == 1


async def test_redirect_asks_what_the_script_says(office, desk):
    await desk.use("bob", 'require "redirect-dsn"; redirect :notify "NEVER" :ret "HDRS" "x@far.test";')
    await office.accept(Recipient("bob@b.test", Lane.DELIVERY, notify="SUCCESS,FAILURE"), ret="FULL", sender="a@b.test")
    await office.work()
    relayed = await office.relayed()
    (envelope,) = [one for one, _ in relayed if one.kind is Kind.REDIRECT]
    assert (envelope.recipients[0].notify, envelope.ret) == ("NEVER", "HDRS")


async def test_the_time_for_delivery_is_seen_and_passed_on(office, desk):
    await desk.use(
        "bob",
        'require ["envelope", "envelope-deliverby", "redirect-deliverby", "copy", "fileinto"];\n'
        'if envelope "bymode" "R" { fileinto "Archive"; redirect :copy "old@far.test"; }\n'
        'redirect :copy :bytimerelative 600 :bymode "notify" :bytrace "new@far.test";\n',
    )
    now = time.time()
    await office.accept("bob", sender="a@b.test", deliver_by=DeliverBy(int((now + 60) * 1e6), "R"))
    await office.work()
    assert len(await office.inbox("bob", "Archive")) == 1
    passed = {envelope.recipients[0].address: envelope.deliver_by for envelope, _ in await office.relayed()}
    assert (passed["old@far.test"].mode, passed["old@far.test"].deadline) == ("R", int((now + 60) * 1e6))
    new = passed["new@far.test"]
    assert (new.mode, new.trace) == ("N", True) and 590 < new.deadline / 1e6 - now < 660


async def test_what_comes_too_late_goes_back(office):
    await office.account("bob")
    late = DeliverBy(int((time.time() - 60) * 1e6), "R")
    item = await office.accept("bob", deliver_by=late)
    await office.accept("bob", deliver_by=DeliverBy(late.deadline, "N"))
    await office.work()
    assert await office.ledger(item.entry) == {"bob@b.test": "bounced"}
    assert len(await office.inbox("bob")) == 1
    ((_, body),) = await office.relayed()
    assert b"Status: 5.4.7" in body


@pytest.mark.parametrize(("action", "extension"), [("reject", "reject"), ("ereject", "ereject")])
async def test_a_refusal_tells_the_sender_why(office, desk, action, extension):
    await desk.use("bob", f'require "{extension}"; {action} text:\nNo thanks,\nnot me.\n.\n;')
    item = await office.accept("bob")
    await office.work()
    ((envelope, body),) = await office.relayed()
    assert (envelope.sender, envelope.kind) == ("", Kind.BOUNCE)
    assert b"5.7.1 No thanks, not me." in body
    assert (await desk.details(item.entry))["bob@b.test"]["outcome"] == "bounced"
    silent = await office.accept("bob", sender="")
    await office.work()
    assert await office.relayed() == []
    assert (await desk.details(silent.entry))["bob@b.test"]["outcome"] == "failed"


async def test_discarded_mail_is_on_record(office, desk):
    await desk.use("bob", "discard;")
    item = await office.accept("bob")
    await office.work()
    assert await office.inbox("bob") == []
    detail = (await desk.details(item.entry))["bob@b.test"]
    assert (detail["outcome"], detail["filter"]) == ("discarded", "sieve main")


async def test_an_answer_once_for_each_sender_however_often_it_is_tried(office, desk):
    await desk.use("bob", 'require ["vacation"]; vacation :days 3 "Away.";')
    items = [await office.accept("bob", message=ADDRESSED) for _ in range(5)]
    await office.work()
    answers = await office.relayed()
    assert len(answers) == 1
    ((envelope, body),) = answers
    assert (envelope.sender, envelope.kind, envelope.recipients[0].address) == ("", Kind.VACATION, "a@out.test")
    assert envelope.recipients[0].notify == "NEVER"
    assert b"Auto-Submitted: auto-replied (vacation)" in body and b"In-Reply-To: <m@out.test>" in body
    assert len(await office.inbox("bob")) == 5
    outcomes = [one["outcome"] for item in items for one in (await desk.details(item.entry)).values()]
    assert sorted(outcomes) == ["answered"] + ["delivered"] * 5
    for item in items:
        await again(office, item)
    assert await office.relayed() == []
    await office.accept("bob", message=ADDRESSED, sender="other@out.test")
    await office.work()
    assert len(await office.relayed()) == 1


async def test_an_answer_whose_delivery_is_cut_off_is_made_by_the_repeat(office, desk, monkeypatch):
    await desk.use("bob", 'require "vacation"; vacation "Away.";')
    item = await office.accept("bob", message=ADDRESSED)
    real = office.courier._deliver_all

    async def cut_off(routes, batch):
        raise ConnectionResetError("the power went")

    monkeypatch.setattr(office.courier, "_deliver_all", cut_off)
    (lease,) = await office.queue.read(Lane.DELIVERY, 64, 0)
    with pytest.raises(ConnectionResetError):
        await office.courier.work([lease])
    monkeypatch.setattr(office.courier, "_deliver_all", real)
    await again(office, item)
    assert len(await office.relayed()) == 1


async def test_an_expired_answer_is_forgotten(office, desk):
    await desk.use("bob", 'require ["vacation", "vacation-seconds"]; vacation :seconds 60 "Away.";')
    for _ in range(2):
        await office.accept("bob", message=ADDRESSED)
        await office.work()
        await office.execute("UPDATE sieve_memory SET expires_at = :now", now=time.time_ns() // 1000)
    assert len(await office.relayed()) == 2


async def test_answers_and_their_copies(office, desk):
    await desk.use(
        "bob",
        'require ["vacation", "fcc", "mailbox", "imap4flags"];\n'
        'vacation :fcc "Answers" :create :flags "$Auto" "Away.";',
    )
    await office.accept("bob", message=ADDRESSED)
    await office.work()
    ((_, sent),) = await office.relayed()
    assert await office.inbox("bob", "Answers") == [sent]
    assert await flags(office, "bob", "Answers") == [(0, {"$Auto"})]


async def test_aliases_are_own_addresses(office, desk):
    await desk.use("bob", 'require "vacation"; vacation "Away.";')
    await office.alias("sales", "bob@b.test")
    message = ADDRESSED.replace(b"bob@b.test", b"sales@b.test")
    await office.accept("bob", message=message)
    await office.work()
    assert len(await office.relayed()) == 1


async def test_a_notification_is_sent_once(office, desk):
    await desk.use("bob", 'require "enotify"; notify :message "you have mail" "mailto:pager@far.test?cc=eve@b.test";')
    await office.account("eve")
    item = await office.accept("bob")
    await office.work()
    ((envelope, body),) = await office.relayed()
    assert (envelope.sender, envelope.kind, envelope.recipients[0].address) == ("", Kind.NOTICE, "pager@far.test")
    assert b"Auto-Submitted: auto-notified" in body
    assert len(await office.inbox("eve")) == 1 and len(await office.inbox("bob")) == 1
    await again(office, item)
    assert await office.relayed() == [] and len(await office.inbox("eve")) == 1


async def test_duplicates_are_found_in_one_batch_and_later(office, desk):
    await desk.use("bob", 'require ["duplicate", "fileinto"]; if duplicate { fileinto "Trash"; }')
    items = [await office.accept("bob") for _ in range(3)]
    await office.work()
    assert (len(await office.inbox("bob")), len(await office.inbox("bob", "Trash"))) == (1, 2)
    await office.accept("bob")
    await office.work()
    assert (len(await office.inbox("bob")), len(await office.inbox("bob", "Trash"))) == (1, 3)
    await again(office, items[0])
    assert (len(await office.inbox("bob")), len(await office.inbox("bob", "Trash"))) == (1, 3)


async def test_a_changed_message_is_stored_as_it_was_changed(office, desk):
    await desk.use(
        "bob",
        'require ["editheader", "fileinto", "copy"];\nfileinto :copy "Archive";\n'
        'addheader "X-Seen-By" "packetboat";\ndeleteheader "From";\nkeep;\n',
    )
    await office.accept("bob")
    await office.work()
    (original,) = await office.inbox("bob", "Archive")
    assert original.endswith(MESSAGE)
    (changed,) = await office.inbox("bob")
    prefix = b"Return-Path: <a@out.test>\r\nDelivered-To: bob@b.test\r\n"
    assert changed.startswith(prefix + b"X-Seen-By: packetboat\r\nReceived: by mx.b.test\r\nSubject:")
    entries = await office.query("SELECT entry, header_size FROM blob ORDER BY header_size")
    assert len({row["entry"] for row in entries}) == 2


async def test_a_changed_message_is_redirected_as_it_was_changed(office, desk):
    await desk.use("bob", 'require "editheader"; addheader "X-Way" "bob"; redirect "x@far.test";')
    await office.accept("bob")
    await office.work()
    ((_, body),) = await office.relayed()
    assert body == b"Delivered-To: bob@b.test\r\nX-Way: bob\r\n" + MESSAGE


async def test_an_error_keeps_the_message_and_is_shown(office, desk):
    number = await desk.use("bob", 'require ["fileinto", "variables"];\nfileinto "A";\nredirect "${nobody}";\n')
    item = await office.accept("bob")
    await office.work()
    assert len(await office.inbox("bob")) == 1 and await office.relayed() == []
    detail = (await desk.details(item.entry))["bob@b.test"]
    assert (
        detail["outcome"] == "delivered" and "line 3" in detail["filter"] and detail["filter"].startswith("sieve main:")
    )
    error = await desk.scripts.last_error(number)
    assert (error.script, error.line, error.entry, error.count) == ("main", 3, item.entry, 1)
    await desk.use("bob", "keep;")
    assert await desk.scripts.last_error(number) is None


async def test_an_error_that_quotes_octets_is_shown_all_the_same(office, desk):
    number = await desk.use("bob", 'require "variables"; if header :matches "subject" "*" { redirect "${1}"; }')
    await office.accept("bob", message=MESSAGE.replace(b"hello", b"a\0\xff\x1b[2J"))
    await office.work()
    assert len(await office.inbox("bob")) == 1
    assert "is not a mail address" in (await desk.scripts.last_error(number)).message


async def test_a_stored_script_that_no_longer_compiles_keeps(office, desk):
    number = await desk.use("bob", "discard;")
    await office.execute("UPDATE script SET content = :c, hash = 'other'", c=b"nonsense;")
    await office.accept("bob")
    await office.work()
    assert len(await office.inbox("bob")) == 1
    assert "nonsense" in (await desk.scripts.last_error(number)).message


async def test_scripts_of_domain_and_system_run_around(office, desk):
    await desk.use("bob", 'require "fileinto"; if header "subject" "mine" { fileinto "Drafts"; }')
    await office.account("eve")
    operator = Actor("cli:test")
    for name, domain, place in (("first", "", "before"), ("second", DOMAIN, "before"), ("last", "", "after")):
        owner = await desk.scripts.owner(operator, domain=domain, place=Place(place))
        text = f'require "fileinto"; if header "subject" "{name}" {{ fileinto "Archive"; }}'
        await desk.scripts.put(owner, name, text.encode(), operator)
        await desk.scripts.activate(owner, name, operator)
    items = [
        await office.accept("bob", "eve", message=MESSAGE.replace(b"hello", subject))
        for subject in (b"first", b"second", b"mine", b"last", b"none")
    ]
    await office.work()
    assert len(await office.inbox("bob", "Archive")) == len(await office.inbox("eve", "Archive")) == 3
    assert (len(await office.inbox("bob", "Drafts")), len(await office.inbox("bob"))) == (1, 1)
    rows = await office.query("SELECT entry, detail FROM ledger WHERE recipient = 'eve@b.test'")
    filters = {row["entry"]: orjson.loads(row["detail"]).get("filter") for row in rows}
    assert [filters[item.entry] for item in items] == [
        "sieve system before first",
        "sieve domain before second",
        None,
        "sieve system after last",
        None,
    ]
    audited = await office.query("SELECT action FROM audit")
    assert {row["action"] for row in audited} == {"script.put", "script.activate"}


async def test_scripts_include_others(office, desk):
    number = await desk.use("bob", 'require "include"; include :personal "own"; include :global "shared";')
    await desk.scripts.put(Owner.account(number, "bob"), "own", b'require "imap4flags"; addflag "\\\\Flagged";')
    operator = Actor("cli:test")
    owner = await desk.scripts.owner(operator, place=Place.BEFORE)
    await desk.scripts.put(owner, "shared", b'require ["fileinto"]; fileinto "Archive";')
    await office.accept("bob")
    await office.work()
    assert len(await office.inbox("bob", "Archive")) == 1


async def test_a_full_account_bounces_what_its_script_would_file(office, desk):
    await office.account("bob", quota=10)
    await desk.use("bob", 'require ["fileinto", "copy"]; fileinto "Archive"; redirect :copy "x@far.test";')
    item = await office.accept("bob")
    await office.work()
    details = await desk.details(item.entry)
    assert {target: one["outcome"] for target, one in details.items()} == {
        "bob@b.test": "bounced",
        "x@far.test": "redirected",
    }
    assert {envelope.kind for envelope, _ in await office.relayed()} == {Kind.BOUNCE, Kind.REDIRECT}


async def test_a_rewritten_record_is_journaled_anew_with_its_changes(office, desk):
    await desk.use("bob", 'require "editheader"; addheader "X-A" "b"; keep;')
    item = await office.accept("bob")
    segment = Reference.decode(item.reference).segment
    await office.execute("INSERT INTO segment (name, state) VALUES (:name, 'rewritten')", name=segment)
    await office.writer.seal()
    await office.work()
    assert b"X-A: b" in (await office.inbox("bob"))[0]


async def test_a_message_that_failed_twice_is_delivered_without_scripts(office, desk):
    await desk.use("bob", "discard;")
    item = await office.accept("bob")
    (lease,) = await office.queue.read(Lane.DELIVERY, 64, 0)
    await office.courier.work([office.again(item, deliveries=3)])
    assert len(await office.inbox("bob")) == 1
    await office.queue.finish([lease])


async def test_who_has_no_script_asks_one_query(office):
    number = await office.account("bob")
    shelf = Shelf(office.database)
    asked = []
    read = office.database.read

    async def counting(work, *args, **kwargs):
        asked.append(work)
        return await read(work, *args, **kwargs)

    office.database.read = counting
    assert await shelf.of({number: "bob@b.test"}) == {}
    assert len(asked) == 1


async def test_spam_and_virus_verdicts_are_tested(office, desk):
    from shared.message.verdict import Action, Verdict

    await desk.use(
        "bob",
        'require ["spamtestplus", "virustest", "relational", "comparator-i;ascii-numeric", "fileinto"];\n'
        'if virustest :value "eq" :comparator "i;ascii-numeric" "5" { fileinto "Trash"; stop; }\n'
        'if spamtest :percent :value "ge" :comparator "i;ascii-numeric" "60" { fileinto "Junk"; }\n',
    )
    spam = Verdict("s", Action.TAG, score=12.0, threshold=10.0)
    virus = Verdict("v", Action.TAG, virus="EICAR", looked_for_viruses=True)
    for verdicts in ((), (spam,), (virus,)):
        await office.accept("bob", verdicts=verdicts)
    await office.work()
    assert [len(await office.inbox("bob", name)) for name in ("INBOX", "Junk", "Trash")] == [1, 1, 1]


async def test_alias_forwards_go_by_way_of_us(office):
    await office.alias("away", "x@far.test")
    await office.accept("away")
    await office.work()
    ((envelope, _),) = await office.relayed()
    assert envelope.sender.startswith("SRS0=") and envelope.sender.endswith("@b.test")


async def test_a_disabled_account_runs_nothing(office, desk):
    await desk.use("bob", 'require "vacation"; vacation "Away.";')
    await office.database.write(admin.set_enabled, "bob@b.test", False)
    await office.accept("bob", message=ADDRESSED)
    await office.work()
    assert {envelope.kind for envelope, _ in await office.relayed()} == {Kind.BOUNCE}


async def test_scripts_that_take_too_long_are_left_out_and_others_run(office, desk, monkeypatch):
    number = await desk.use("bob", "discard;")
    await desk.use("eve", "discard;")
    real = sieving.Sieving._result

    def slow(self, case):
        if case.account.id == number:
            time.sleep(0.06)
        return real(self, case)

    monkeypatch.setattr(sieving.Sieving, "_result", slow)
    monkeypatch.setattr(sieving, "BUDGET", 0.1)
    monkeypatch.setattr(sieving, "SLICE", 0.05)
    for _ in range(4):
        await office.accept("bob", "eve")
    await office.work()
    assert (len(await office.inbox("bob")), len(await office.inbox("eve"))) == (2, 0)
    assert "took more than" in (await desk.scripts.last_error(number)).message


async def test_a_script_that_never_ends_ends_the_process(office, desk, monkeypatch):
    await desk.use("bob", "discard;")
    monkeypatch.setattr(office.courier._sieving, "_stuck", 0.05)
    monkeypatch.setattr(sieving.Sieving, "_result", lambda self, case: time.sleep(0.3))
    await office.accept("bob")
    (lease,) = await office.queue.read(Lane.DELIVERY, 64, 0)
    with pytest.raises(Stuck, match="a script takes over"):
        await office.courier.work([lease])
