"""Quarantine, Sieve scripts, retention, targets, mailboxes and rights over the API."""

from __future__ import annotations

import time
from typing import Any

import pytest

from shared.imap.flags import FlagSet
from shared.mailbox import transfer
from shared.mailbox.mailbox import find
from shared.mailbox.messages import Messages
from shared.message.envelope import Lane
from shared.message.rendered import render
from shared.operations.directory import own_account
from shared.operations.mailboxes import ALL_RIGHTS
from shared.queue.outstanding import outstanding
from tests.integration.admin.conftest import MESSAGE, ROOT, Stack

NEW = {"If_None_Match": "*"}
SCRIPT = {"content": 'require "fileinto";\r\nfileinto "Archive";\r\n'}
OF_ME = "?account=me@a.test"


async def act(stack: Stack, token: str, action: str, **which: Any) -> Any:
    return await stack.call("POST", "/quarantine/actions", token, {"action": action, **which})


async def test_the_quarantine_is_listed_shown_and_paged(stack: Stack) -> None:
    token = await stack.token()
    first = await stack.keep_back("me@a.test", "me@b.test", sender="x@out.test")
    second = await stack.keep_back("me@b.test", sender="y@out.test")
    page = (await stack.call("GET", "/quarantine?limit=2", token)).json()
    assert [(one["entry"], one["recipient"]) for one in page["items"]] == [
        (first.id, "me@a.test"),
        (first.id, "me@b.test"),
    ]
    rest = (await stack.call("GET", f"/quarantine?limit=2&cursor={page['next']}", token)).json()
    assert [one["entry"] for one in rest["items"]] == [second.id]
    for query, count in (("sender=Y@out.test", 1), ("recipient=@b.test", 2), ("sender=@out.test", 3), ("sender=@t", 0)):
        assert len((await stack.call("GET", f"/quarantine?{query}", token)).json()["items"]) == count
    shown = (await stack.call("GET", f"/quarantine/{first.id.lower()}", token)).json()
    assert (shown["recipients"], shown["reason"]) == (["me@a.test", "me@b.test"], "clamav: virus")
    assert "Subject: hello" in shown["header"]
    source = await stack.call("GET", f"/quarantine/{first.id}/source", token)
    assert source.content == MESSAGE and source.headers["content-type"] == "message/rfc822"
    assert source.headers["x-content-type-options"] == "nosniff"


async def test_what_is_released_goes_on_and_what_is_deleted_is_on_record(stack: Stack) -> None:
    token = await stack.token()
    first, second = await stack.keep_back("me@a.test", "me@b.test"), await stack.keep_back("me@a.test")
    released = await act(stack, token, "release", filter={"recipient": "@a.test", "sender": ""})
    assert released.json() == {"recipients": 2}
    assert [one["recipient"] for one in (await stack.call("GET", "/quarantine", token)).json()["items"]] == [
        "me@b.test"
    ]
    found = await stack.query("SELECT entry, recipient FROM pending WHERE held = 0 ORDER BY entry")
    assert [tuple(row) for row in found] == [(first.id, "me@a.test"), (second.id, "me@a.test")]
    await stack.queue.promote(time.time(), 10)
    leased = await stack.queue.read(Lane.DELIVERY, 10, 0)
    assert {lease.item.entry for lease in leased} == {first.id, second.id}
    assert (await act(stack, token, "delete", all=True)).json() == {"recipients": 1}
    ledger = (await stack.call("GET", f"/ledger?entry={first.id}", token)).json()["items"]
    assert [(row["recipient"], row["outcome"]) for row in ledger] == [("me@b.test", "discarded")]
    assert (await act(stack, token, "delete", entries=[first.id])).status_code == 404
    actions = (await stack.call("GET", f"/audit?object={first.id}", token)).json()["items"]
    assert [one["action"] for one in actions] == ["quarantine.delete", "quarantine.release"]


async def test_a_domain_administrator_has_only_its_recipients(stack: Stack) -> None:
    token = await stack.token(domains=("a.test",))
    both = await stack.keep_back("me@a.test", "me@b.test", sender="forged@a.test")
    theirs = await stack.keep_back("me@b.test", sender="forged@a.test")
    listed = (await stack.call("GET", "/quarantine", token)).json()["items"]
    assert [(one["entry"], one["recipient"]) for one in listed] == [(both.id, "me@a.test")]
    assert (await stack.call("GET", f"/quarantine/{both.id}", token)).json()["recipients"] == ["me@a.test"]
    assert (await stack.call("GET", f"/quarantine/{theirs.id}", token)).status_code == 404
    assert (await act(stack, token, "delete", all=True)).json() == {"recipients": 1}
    left = (await stack.call("GET", "/quarantine", await stack.token())).json()["items"]
    assert {one["recipient"] for one in left} == {"me@b.test"} and len(left) == 2
    assert not [item async for item in outstanding(stack.database, stack.office.journal, stack.reader)]


@pytest.mark.parametrize(
    "which", [{}, {"all": True, "entries": ["x"]}, {"filter": {}}, {"entries": []}, {"entries": ["x"]}]
)
async def test_an_action_says_what_it_is_for(stack: Stack, which: Any) -> None:
    assert (await act(stack, await stack.token(), "release", **which)).status_code == 422


async def test_a_script_from_beginning_to_end(stack: Stack) -> None:
    token = await stack.token()
    path = f"/scripts/main{OF_ME}"
    assert (await stack.call("PUT", path, token, SCRIPT)).status_code == 428
    assert (await stack.call("PUT", path, token, SCRIPT, If_Match="*")).status_code == 412
    made = await stack.call("PUT", path, token, {**SCRIPT, "active": True}, **NEW)
    assert made.status_code == 201 and made.json()["active"] is True
    assert (await stack.call("PUT", path, token, SCRIPT, **NEW)).status_code == 412
    got = await stack.call("GET", path, token)
    assert got.json()["content"] == SCRIPT["content"] and got.headers["ETag"] == made.headers["ETag"]
    changed = await stack.call("PUT", path, token, {"content": "keep;"}, If_Match=made.headers["ETag"])
    assert (changed.status_code, changed.json()["active"], changed.json()["size"]) == (200, True, 5)
    stale = await stack.call("PUT", path, token, SCRIPT, If_Match=made.headers["ETag"])
    assert stale.status_code == 412
    assert (await stack.call("DELETE", path, token)).status_code == 409  # active
    renamed = await stack.call("PATCH", path, token, {"name": "zweites ß", "active": False}, If_Match="*")
    assert (renamed.json()["name"], renamed.json()["active"]) == ("zweites ß", False)
    listed = (await stack.call("GET", f"/scripts{OF_ME}", token)).json()
    assert ([one["name"] for one in listed["scripts"]], listed["last_error"]) == (["zweites ß"], None)
    assert (await stack.call("DELETE", f"/scripts/zweites%20%C3%9F{OF_ME}", token, If_Match='"x"')).status_code == 412
    assert (await stack.call("DELETE", f"/scripts/zweites%20%C3%9F{OF_ME}", token)).status_code == 204
    assert (await stack.call("GET", f"/scripts/zweites%20%C3%9F{OF_ME}", token)).status_code == 404
    actions = [one["action"] for one in (await stack.call("GET", "/audit", token)).json()["items"]]
    for action in ("script.put", "script.activate", "script.rename", "script.deactivate", "script.delete"):
        assert action in actions


async def test_errors_of_a_script_are_told_place_by_place(stack: Stack) -> None:
    token = await stack.token()
    bad = await stack.call("PUT", f"/scripts/main{OF_ME}", token, {"content": "keep;\r\nnonsense"}, **NEW)
    assert bad.status_code == 422
    assert bad.json()["errors"][0]["where"].startswith("body.content:2:")
    assert (await stack.call("GET", f"/scripts{OF_ME}", token)).json()["scripts"] == []
    large = {"content": "#" * 300_000}
    assert (await stack.call("PUT", f"/scripts/main{OF_ME}", token, large, **NEW)).status_code == 422


async def test_scripts_of_domains_and_the_system(stack: Stack) -> None:
    token, theirs = await stack.token(), await stack.token(domains=("a.test",))
    of_domain, of_system = "?domain=a.test&place=before", "?place=after"
    assert (await stack.call("PUT", f"/scripts/x{of_domain}", theirs, SCRIPT, **NEW)).status_code == 201
    assert (await stack.call("PUT", f"/scripts/x{of_system}", theirs, SCRIPT, **NEW)).status_code == 404
    assert (await stack.call("PUT", f"/scripts/x{of_system}", token, SCRIPT, **NEW)).status_code == 201
    assert (await stack.call("GET", f"/scripts{of_system}", theirs)).status_code == 404
    assert len((await stack.call("GET", f"/scripts{of_domain}", token)).json()["scripts"]) == 1
    for query in ("", "?domain=a.test", "?account=me@a.test&place=before", "?account=me@a.test&domain=a.test"):
        assert (await stack.call("GET", f"/scripts{query}", token)).status_code == 422


async def test_a_setting_is_made_once_under_its_key(stack: Stack) -> None:
    token = await stack.token()
    for path, body, other in (
        (f"/scripts/main{OF_ME}", SCRIPT, {"content": "keep;"}),
        (f"/retention/Lists{OF_ME}", {"days": 3}, {"days": 4}),
        ("/targets/a.test", {"kind": "lmtp", "place": ["127.0.0.1:24"]}, {"kind": "store"}),
        ("/accounts/me@a.test/rights/anyone?mailbox=INBOX", {"rights": "lr"}, {"rights": "l"}),
    ):
        first = await stack.call("PUT", path, token, body, Idempotency_Key=path, **NEW)
        again = await stack.call("PUT", path, token, body, Idempotency_Key=path, **NEW)
        assert (first.status_code, again.status_code, first.json()) == (201, 201, again.json())
        assert (await stack.call("PUT", path, token, other, Idempotency_Key=path, **NEW)).status_code == 422
        assert (await stack.call("PUT", path, token, body, **NEW)).status_code == 412
    mailbox = {"name": "Projects"}
    path = "/accounts/me@a.test/mailboxes"
    first = await stack.call("POST", path, token, mailbox, Idempotency_Key="k")
    again = await stack.call("POST", path, token, mailbox, Idempotency_Key="k")
    assert (first.status_code, again.json()) == (201, first.json())
    assert (await stack.call("POST", path, token, mailbox)).status_code == 409


async def test_retention_rules(stack: Stack) -> None:
    token, theirs = await stack.token(), await stack.token(domains=("a.test",))
    assert (await stack.call("PUT", "/retention/%5Ctrash", token, {"days": 30}, **NEW)).json()["mailbox"] == "\\Trash"
    assert (await stack.call("PUT", "/retention/%5CTrash", theirs, {"days": 1}, If_Match="*")).status_code == 404
    made = await stack.call("PUT", f"/retention/Lists%2Fkernel{OF_ME}", theirs, {"days": 14}, **NEW)
    assert made.json()["account"] == "me@a.test"
    changed = await stack.call(
        "PUT", f"/retention/Lists%2Fkernel{OF_ME}", theirs, {"days": 0}, If_Match=made.headers["ETag"]
    )
    assert (changed.status_code, changed.json()["days"]) == (200, 0)
    assert (await stack.call("GET", f"/retention/Lists/kernel{OF_ME}", theirs)).json() == changed.json()
    everything = (await stack.call("GET", "/retention", token)).json()["items"]
    assert [one["mailbox"] for one in everything] == ["\\Trash", "Lists/kernel"]
    assert [one["mailbox"] for one in (await stack.call("GET", "/retention", theirs)).json()["items"]] == [
        "Lists/kernel"
    ]
    assert (await stack.call("DELETE", f"/retention/Lists/kernel{OF_ME}", token)).status_code == 204
    assert (await stack.call("DELETE", f"/retention/Lists/kernel{OF_ME}", token)).status_code == 404
    assert (await stack.call("PUT", "/retention/%5CNothing", token, {"days": 1}, **NEW)).status_code == 422


async def test_what_was_expunged_comes_back(stack: Stack) -> None:
    token = await stack.token(domains=("a.test",))
    await _lose_a_message(stack)
    path = "/accounts/me@a.test"
    assert (await stack.call("GET", f"{path}/expunged", token)).json() == [{"mailbox": "INBOX", "messages": 1}]
    later = f"{path}/expunged?since={time.time() + 60}"
    assert (await stack.call("GET", later, token)).json() == []
    back = await stack.call("POST", f"{path}/undelete", token, {"mailbox": "inbox"})
    assert back.json() == [{"mailbox": "INBOX", "messages": 1}]
    assert (await stack.call("POST", f"{path}/undelete", token, {})).json() == []
    boxes = (await stack.call("GET", f"{path}/mailboxes", token)).json()
    assert next(one["messages"] for one in boxes if one["name"] == "INBOX") == 1


async def _lose_a_message(stack: Stack) -> None:
    """Append a message to me@a.test's INBOX and expunge it."""
    envelope = await stack.accept("me@a.test", lane=Lane.DELIVERY)
    account = await stack.database.read(own_account, ROOT, "me@a.test")
    inbox = await stack.database.read(find, account.id, "INBOX")
    messages = Messages(stack.database)
    reference = stack.references[envelope.id]
    await messages.append(account.id, inbox.id, envelope.id, reference, render(MESSAGE), FlagSet(), 1_700_000_000)
    await stack.database.write(transfer.remove, account.id, inbox.id, [(1, 1)], time.time_ns() // 1000)


async def test_targets(stack: Stack) -> None:
    token, theirs = await stack.token(), await stack.token(domains=("a.test",))
    words = {"kind": "command", "place": ["/bin/cat", "{address}"]}
    made = await stack.call("PUT", "/targets/me@a.test", token, words, **NEW)
    assert (made.status_code, made.json()["place"]) == (201, ["/bin/cat", "{address}"])
    await stack.call("PUT", "/targets/b.test", token, {"kind": "store"}, **NEW)
    assert len((await stack.call("GET", "/targets", token)).json()["items"]) == 2
    assert [one["whose"] for one in (await stack.call("GET", "/targets", theirs)).json()["items"]] == ["me@a.test"]
    changed = await stack.call(
        "PUT", "/targets/me@a.test", token, {"kind": "lmtp", "place": ["h:24"]}, If_Match=made.headers["ETag"]
    )
    assert (await stack.call("GET", "/targets/me@a.test", theirs)).json() == changed.json()
    for body in ({"kind": "lmtp", "place": ["h"]}, {"kind": "maildir", "place": ["m"]}, {"kind": "command"}, {}):
        assert (await stack.call("PUT", "/targets/me@a.test", token, body, If_Match="*")).status_code == 422
    assert (await stack.call("DELETE", "/targets/me@a.test", token, If_Match=made.headers["ETag"])).status_code == 412
    assert (await stack.call("DELETE", "/targets/me@a.test", token)).status_code == 204
    assert (await stack.call("GET", "/targets/me@a.test", token)).status_code == 404
    assert (await stack.call("PUT", "/targets/c.test", token, {"kind": "store"}, **NEW)).status_code == 404


async def test_mailboxes_and_their_rights(stack: Stack) -> None:
    token = await stack.token(domains=("a.test",))
    path = "/accounts/me@a.test/mailboxes"
    made = await stack.call("POST", path, token, {"name": "Work/Boat", "uses": ["\\Archive"]})
    assert (made.status_code, made.json()["special_use"]) == (201, "\\Archive")
    assert made.headers["Location"] == "/api/v1/accounts/me%40a.test/mailboxes/Work/Boat"
    assert (await stack.call("PATCH", f"{path}/Work", token, {"name": "Ships"})).status_code == 428
    renamed = await stack.call("PATCH", f"{path}/Work", token, {"name": "Ships"}, If_Match="*")
    assert renamed.json()["name"] == "Ships"
    got = await stack.call("GET", f"{path}/Ships%2FBoat", token)
    assert got.status_code == 200 and got.headers["ETag"]
    rights = "/accounts/me@a.test/rights"
    put = await stack.call("PUT", f"{rights}/ann@a.test?mailbox=Ships/Boat", token, {"rights": "lrs"}, **NEW)
    assert put.json()["rights"] == "lrs"
    more = await stack.call("PUT", f"{rights}/ann@a.test?mailbox=Ships/Boat", token, {"rights": "+i"}, If_Match="*")
    assert more.json()["rights"] == "lrsi"
    listed = (await stack.call("GET", f"{rights}?mailbox=Ships/Boat", token)).json()
    assert [(one["identifier"], one["rights"]) for one in listed] == [("me@a.test", ALL_RIGHTS), ("ann@a.test", "lrsi")]
    for who, letters in (("me@a.test", "l"), ("bob", "l"), ("x@a.test", "q")):
        answer = await stack.call("PUT", f"{rights}/{who}?mailbox=INBOX", token, {"rights": letters}, **NEW)
        assert answer.status_code == 422
    assert (await stack.call("DELETE", f"{rights}/ann@a.test?mailbox=Ships/Boat", token)).status_code == 204
    assert (await stack.call("DELETE", f"{rights}/ann@a.test?mailbox=Ships/Boat", token)).status_code == 404
    assert (await stack.call("DELETE", f"{path}/INBOX", token)).status_code == 422
    gone = await stack.call("DELETE", f"{path}/Ships/Boat", token, If_Match=got.headers["ETag"])
    assert gone.status_code == 204
    assert (await stack.call("GET", f"{path}/Ships/Boat", token)).status_code == 404
    assert (await stack.call("POST", path, token, {"name": "a//b"})).status_code == 422


async def test_sessions_are_woken(stack: Stack) -> None:
    async with stack.redis.pubsub() as listener:
        await listener.psubscribe("*changed")
        await stack.call("POST", "/accounts/me@a.test/mailboxes", await stack.token(), {"name": "New"})
        for _ in range(20):
            message = await listener.get_message(ignore_subscribe_messages=True, timeout=0.1)
            if message is not None:
                break
        assert message is not None
