"""Stored mail run through another script: what would change, and nothing is touched."""

from __future__ import annotations

import time

from shared.operations.replay import SieveCandidate, Summary, replay
from shared.operations.scripts import Owner, Scripts
from shared.sieve import compile_script
from shared.sieve.host import LANGUAGE
from tests.integration.mda.conftest import MESSAGE


async def run(office, text, **how):
    candidate, summary = (
        SieveCandidate(office.database, compile_script(text, language=LANGUAGE), "mx.b.test"),
        Summary(),
    )
    how = {"since": time.time() - 3600} | how
    told = [one async for one in replay(office.database, office.reader, candidate, summary, **how)]
    return told, summary


async def use(office, name, text):
    number = await office.account(name)
    owner, scripts = Owner.account(number, f"{name}@b.test"), Scripts(office.database)
    await scripts.put(owner, "main", text)
    await scripts.activate(owner, "main")
    return number


async def rows(office):
    tables = ("message", "ledger", "blob", "sieve_memory", "mailbox", "pending")
    return [sorted(str(tuple(row)) for row in await office.query(f"SELECT * FROM {table}")) for table in tables]


async def test_what_would_change(office):
    number = await use(office, "bob", b'require "fileinto"; if header "subject" "a" { fileinto "Archive"; }')
    await office.account("eve")
    for subject in (b"a", b"b", b"c"):
        await office.accept("bob", "eve", message=MESSAGE.replace(b"hello", subject))
    await office.work()
    before = await rows(office)
    text = 'require ["fileinto", "mailbox"]; if header "subject" ["a", "b"] { fileinto :create "New"; }'
    told, summary = await run(office, text, account_id=number)
    assert sorted((one.mail.subject, one.before, one.after.outcomes) for one in told) == [
        ("a", ("Archive",), ("New",)),
        ("b", ("INBOX",), ("New",)),
        ("c", ("INBOX",), ("INBOX",)),
    ]
    assert (summary.messages, summary.changed, summary.skipped) == (3, 2, 0)
    assert summary.moves == {("Archive", "New"): 1, ("INBOX", "New"): 1}
    everyone, summary = await run(office, text)
    assert (len(everyone), summary.messages, summary.changed) == (6, 6, 4)
    assert (await run(office, text, since=time.time() + 10))[1].messages == 0
    assert await rows(office) == before


async def test_all_kinds_of_outcomes(office):
    await use(office, "bob", b'require ["copy", "vacation"]; redirect :copy "x@far.test"; vacation "Away.";')
    message = MESSAGE.replace(b"Subject:", b"To: bob@b.test\r\nSubject:")
    for _ in range(2):
        await office.accept("bob", message=message)
    await office.work()
    told, _ = await run(office, "discard;")
    assert sorted(sorted(one.before) for one in told) == [
        ["INBOX", "answer", "redirect x@far.test"],
        ["INBOX", "redirect x@far.test"],
    ]
    assert all(one.after.outcomes == ("discard",) for one in told)
    same, summary = await run(office, 'require ["copy", "vacation"]; redirect :copy "x@far.test"; vacation "Away.";')
    assert summary.changed in (0, 2) and len(same) == 2  # which of the two is answered depends on their order
    told, _ = await run(office, 'require "reject"; reject "no";')
    assert {one.after.outcomes for one in told} == {("reject",)}
    told, _ = await run(office, 'require ["duplicate", "fileinto"]; if duplicate { fileinto "Trash"; }')
    assert [one.after.outcomes for one in told] == [("INBOX",), ("Trash",)]


async def test_an_error_is_told_and_what_is_missing_falls_into_the_inbox(office):
    await office.account("bob")
    await office.accept("bob")
    await office.work()
    told, summary = await run(office, 'require "variables"; redirect "${nobody}";')
    assert summary.errors == 1 and "line 1" in told[0].after.error and not told[0].changes
    told, _ = await run(office, 'require "fileinto"; fileinto "Nowhere";')
    assert told[0].after.outcomes == ("INBOX",)


async def test_changed_messages_are_counted_as_skipped(office):
    await use(office, "bob", b'require "editheader"; addheader "X-A" "b";')
    await office.accept("bob")
    await office.work()
    told, summary = await run(office, "keep;")
    assert (told, summary.skipped) == ([], 1)
