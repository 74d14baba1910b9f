"""Each route: no token, a wrong scope, another domain's object; by a table that must name them all."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from services.admin.api import Limits, make_api
from shared.operations.kept_scripts import Whose
from shared.operations.targets import Target, Way
from shared.operations.tokens import STACK_WIDE, Scope
from tests.integration.admin.conftest import Stack

PASSWORD = {"password": "secret"}
# (method, route): scope, path of something in b.test, body, what a token for a.test alone gets
TABLE: dict[tuple[str, str], tuple[Scope, str, Any, int]] = {
    ("GET", "/domains"): (Scope.DIRECTORY_READ, "/domains", None, 200),
    ("POST", "/domains"): (Scope.DIRECTORY_WRITE, "/domains", {"name": "c.test"}, 403),
    ("GET", "/domains/{name}"): (Scope.DIRECTORY_READ, "/domains/b.test", None, 404),
    ("PATCH", "/domains/{name}"): (Scope.DIRECTORY_WRITE, "/domains/b.test", {"catchall": ""}, 404),
    ("DELETE", "/domains/{name}"): (Scope.DIRECTORY_WRITE, "/domains/b.test", None, 403),
    ("GET", "/domains/{name}/records"): (Scope.DIRECTORY_READ, "/domains/b.test/records", None, 404),
    ("GET", "/accounts"): (Scope.DIRECTORY_READ, "/accounts?domain=b.test", None, 404),
    ("POST", "/accounts"): (Scope.DIRECTORY_WRITE, "/accounts", {"address": "x@b.test", **PASSWORD}, 404),
    ("GET", "/accounts/{address}"): (Scope.DIRECTORY_READ, "/accounts/me@b.test", None, 404),
    ("PATCH", "/accounts/{address}"): (Scope.DIRECTORY_WRITE, "/accounts/me@b.test", {"enabled": False}, 404),
    ("DELETE", "/accounts/{address}"): (Scope.DIRECTORY_WRITE, "/accounts/me@b.test?purge=true", None, 404),
    ("POST", "/accounts/{address}/app-passwords"): (
        Scope.DIRECTORY_WRITE, "/accounts/me@b.test/app-passwords", {"name": "phone", **PASSWORD}, 404,
    ),
    ("DELETE", "/accounts/{address}/app-passwords/{name}"): (
        Scope.DIRECTORY_WRITE, "/accounts/me@b.test/app-passwords/phone", None, 404,
    ),
    ("GET", "/aliases"): (Scope.DIRECTORY_READ, "/aliases?domain=b.test", None, 404),
    ("POST", "/aliases"): (
        Scope.DIRECTORY_WRITE, "/aliases", {"address": "x@b.test", "targets": ["me@b.test"]}, 404,
    ),
    ("GET", "/aliases/{address}"): (Scope.DIRECTORY_READ, "/aliases/info@b.test", None, 404),
    ("PUT", "/aliases/{address}"): (Scope.DIRECTORY_WRITE, "/aliases/info@b.test", {"targets": ["me@b.test"]}, 404),
    ("DELETE", "/aliases/{address}"): (Scope.DIRECTORY_WRITE, "/aliases/info@b.test", None, 404),
    ("GET", "/queue"): (Scope.QUEUE_READ, "/queue", None, 200),
    ("GET", "/queue/held"): (Scope.QUEUE_READ, "/queue/held", None, 200),
    ("GET", "/queue/statistics"): (Scope.QUEUE_READ, "/queue/statistics", None, 403),
    ("POST", "/queue/actions"): (
        Scope.QUEUE_WRITE, "/queue/actions", {"action": "drop", "entries": ["{entry}"]}, 404,
    ),
    ("GET", "/queue/{entry}"): (Scope.QUEUE_READ, "/queue/{entry}", None, 404),
    ("GET", "/sites"): (Scope.QUEUE_READ, "/sites", None, 403),
    ("GET", "/sites/{site:path}"): (Scope.QUEUE_READ, "/sites/mx.b.test", None, 403),
    ("PATCH", "/sites/{site:path}"): (Scope.QUEUE_WRITE, "/sites/mx.b.test", {"paused": True}, 403),
    ("GET", "/workers"): (Scope.QUEUE_READ, "/workers", None, 403),
    ("GET", "/quarantine"): (Scope.QUARANTINE_READ, "/quarantine", None, 200),
    ("POST", "/quarantine/actions"): (
        Scope.QUARANTINE_WRITE, "/quarantine/actions", {"action": "release", "entries": ["{kept}"]}, 404,
    ),
    ("GET", "/quarantine/{entry}"): (Scope.QUARANTINE_READ, "/quarantine/{kept}", None, 404),
    ("GET", "/quarantine/{entry}/source"): (Scope.QUARANTINE_READ, "/quarantine/{kept}/source", None, 404),
    ("GET", "/scripts"): (Scope.MAIL_READ, "/scripts?account=me@b.test", None, 404),
    ("GET", "/scripts/{name}"): (Scope.MAIL_READ, "/scripts/main?account=me@b.test", None, 404),
    ("PUT", "/scripts/{name}"): (Scope.MAIL_WRITE, "/scripts/main?account=me@b.test", {"content": "keep;"}, 404),
    ("PATCH", "/scripts/{name}"): (Scope.MAIL_WRITE, "/scripts/main?account=me@b.test", {"active": True}, 404),
    ("DELETE", "/scripts/{name}"): (Scope.MAIL_WRITE, "/scripts/main?account=me@b.test", None, 404),
    ("GET", "/retention"): (Scope.MAIL_READ, "/retention", None, 200),
    ("GET", "/retention/{mailbox:path}"): (Scope.MAIL_READ, "/retention/%5CTrash?account=me@b.test", None, 404),
    ("PUT", "/retention/{mailbox:path}"): (Scope.MAIL_WRITE, "/retention/%5CTrash?account=me@b.test", {"days": 1}, 404),
    ("DELETE", "/retention/{mailbox:path}"): (Scope.MAIL_WRITE, "/retention/%5CTrash?account=me@b.test", None, 404),
    ("GET", "/accounts/{address}/expunged"): (Scope.MAIL_READ, "/accounts/me@b.test/expunged", None, 404),
    ("POST", "/accounts/{address}/undelete"): (Scope.MAIL_WRITE, "/accounts/me@b.test/undelete", {}, 404),
    ("GET", "/targets"): (Scope.MAIL_READ, "/targets", None, 200),
    ("GET", "/targets/{whose}"): (Scope.MAIL_READ, "/targets/b.test", None, 404),
    ("PUT", "/targets/{whose}"): (Scope.TARGETS_WRITE, "/targets/b.test", {"kind": "store"}, 403),
    ("DELETE", "/targets/{whose}"): (Scope.TARGETS_WRITE, "/targets/b.test", None, 403),
    ("GET", "/accounts/{address}/mailboxes"): (Scope.MAIL_READ, "/accounts/me@b.test/mailboxes", None, 404),
    ("POST", "/accounts/{address}/mailboxes"): (
        Scope.MAIL_WRITE, "/accounts/me@b.test/mailboxes", {"name": "Projects"}, 404,
    ),
    ("GET", "/accounts/{address}/mailboxes/{name:path}"): (
        Scope.MAIL_READ, "/accounts/me@b.test/mailboxes/Archive", None, 404,
    ),
    ("PATCH", "/accounts/{address}/mailboxes/{name:path}"): (
        Scope.MAIL_WRITE, "/accounts/me@b.test/mailboxes/Archive", {"name": "Old"}, 404,
    ),
    ("DELETE", "/accounts/{address}/mailboxes/{name:path}"): (
        Scope.MAIL_WRITE, "/accounts/me@b.test/mailboxes/Archive", None, 404,
    ),
    ("GET", "/accounts/{address}/rights"): (Scope.MAIL_READ, "/accounts/me@b.test/rights?mailbox=INBOX", None, 404),
    ("PUT", "/accounts/{address}/rights/{identifier}"): (
        Scope.MAIL_WRITE, "/accounts/me@b.test/rights/me@a.test?mailbox=INBOX", {"rights": "lr"}, 404,
    ),
    ("DELETE", "/accounts/{address}/rights/{identifier}"): (
        Scope.MAIL_WRITE, "/accounts/me@b.test/rights/me@a.test?mailbox=INBOX", None, 404,
    ),
    ("GET", "/ledger"): (Scope.TRACE_READ, "/ledger?sender=me@b.test", None, 200),
    ("GET", "/trace"): (Scope.TRACE_READ, "/trace?what={entry}", None, 200),
    ("GET", "/rejections"): (Scope.TRACE_READ, "/rejections", None, 200),
    ("GET", "/audit"): (Scope.AUDIT_READ, "/audit", None, 403),
    ("GET", "/tokens"): (Scope.TOKENS, "/tokens", None, 403),
    ("POST", "/tokens"): (Scope.TOKENS, "/tokens", {"name": "new", "scopes": ["tokens"]}, 403),
    ("DELETE", "/tokens/{name}"): (Scope.TOKENS, "/tokens/nobody", None, 403),
}  # fmt: skip


def routes_of(app: Any) -> set[tuple[str, str]]:
    while not isinstance(app, FastAPI):
        assert isinstance(app, Limits)
        app = app.app
    paths = app.openapi()["paths"]
    found = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    return {(method, _with_slashes(path.removeprefix("/api/v1"))) for method, path in found}


def _with_slashes(path: str) -> str:
    """The description doesn't say which parts of a path may have slashes."""
    for name in ("{site}", "{name}", "{mailbox}"):
        if path.startswith(("/sites/", "/retention/")) or "/mailboxes/" in path:
            path = path.replace(name, f"{name[:-1]}:path}}")
    return path


async def test_the_table_names_every_route(stack: Stack) -> None:
    assert routes_of(make_api(stack.office)) == set(TABLE)


async def furnish(stack: Stack) -> None:
    """Give b.test one of everything."""
    mail = stack.operator.mail
    await mail.put_script(Whose("me@b.test"), "main", b"keep;")
    await mail.put_rule("me@b.test", "\\Trash", 30)
    await mail.put_target("b.test", Target(Way.LMTP, "127.0.0.1:24"))
    await mail.share("me@b.test", "INBOX", "me@a.test", "lrs")


@pytest.mark.parametrize("method,route", TABLE)
async def test_every_route_is_guarded(stack: Stack, method: str, route: str) -> None:
    scope, path, body, theirs = TABLE[method, route]
    envelope = await stack.accept("you@c.test", sender="me@b.test")
    await stack.defer(envelope)
    kept = await stack.keep_back("me@b.test")
    await furnish(stack)
    path = path.replace("{entry}", envelope.id).replace("{kept}", kept.id)
    if isinstance(body, dict) and "entries" in body:
        body = {**body, "entries": [kept.id if body["entries"] == ["{kept}"] else envelope.id]}

    unauthorized = await stack.call(method, path, "", body, If_Match="*")
    _is_problem(unauthorized, 401)
    assert unauthorized.headers["WWW-Authenticate"].startswith("Bearer")
    _is_problem(await stack.call(method, path, "pbt_wrong", body, If_Match="*"), 401)

    others = [one for one in Scope if one is not scope]
    _is_problem(await stack.call(method, path, await stack.token(*others), body, If_Match="*"), 403)

    scopes = [one for one in Scope if one not in STACK_WIDE]
    if scope not in STACK_WIDE:
        response = await stack.call(method, path, await stack.token(*scopes, domains=("a.test",)), body, If_Match="*")
        if theirs == 200:
            assert response.status_code == 200
            assert "b.test" not in response.text
        else:
            _is_problem(response, theirs)

    response = await stack.call(method, path, await stack.token(scope), body, If_Match="*")
    assert response.status_code in (200, 201, 204, 404, 409), response.text
    if response.status_code == 404:
        assert route in ("/tokens/{name}", "/accounts/{address}/app-passwords/{name}", "/sites/{site:path}")


async def test_a_domain_administrator_sees_and_changes_its_own(stack: Stack) -> None:
    token = await stack.token(domains=("a.test",))
    listed = (await stack.call("GET", "/accounts", token)).json()
    assert [one["address"] for one in listed["items"]] == ["me@a.test"]
    assert [one["name"] for one in (await stack.call("GET", "/domains", token)).json()["items"]] == ["a.test"]
    assert {one["address"] for one in (await stack.call("GET", "/aliases", token)).json()["items"]} == {"info@a.test"}
    made = await stack.call("POST", "/accounts", token, {"address": "new@a.test", "password": "secret"})
    assert made.status_code == 201
    for envelope in (await stack.accept("x@c.test"), await stack.accept("x@c.test", sender="me@b.test")):
        await stack.defer(envelope)
    waiting = (await stack.call("GET", "/queue", token)).json()["items"]
    assert [one["sender"] for one in waiting] == ["me@a.test"]


async def test_revoked_and_expired_tokens_are_none(stack: Stack) -> None:
    token = await stack.token()
    assert (await stack.call("GET", "/domains", token)).status_code == 200
    name = (await stack.query("SELECT name FROM token"))[0]["name"]
    await stack.operator.revoke_token(name)
    _is_problem(await stack.call("GET", "/domains", token), 401)
    token = await stack.token()

    def expire() -> Any:
        from shared.db import Query

        yield Query("expire", "UPDATE token SET expires_at = :now")(now=time.time_ns() // 1000 - 1)

    await stack.database.write(expire)
    _is_problem(await stack.call("GET", "/domains", token), 401)


async def test_secrets_are_hashed_at_rest(stack: Stack) -> None:
    token = await stack.token()
    rows = await stack.query("SELECT * FROM token")
    assert token not in str([tuple(row) for row in rows])
    assert len(rows[0]["hash"]) == 64


async def test_a_token_gives_no_more_than_it_has(stack: Stack) -> None:
    token = await stack.token("tokens")
    _is_problem(await stack.call("POST", "/tokens", token, {"name": "more", "scopes": ["queue:write"]}), 403)
    made = await stack.call("POST", "/tokens", token, {"name": "same", "scopes": ["tokens"]})
    assert made.status_code == 201
    assert made.json()["token"].startswith("pbt_")
    listed = await stack.call("GET", "/tokens", made.json()["token"])
    assert made.json()["token"] not in listed.text


def _is_problem(response: httpx.Response, status: int) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status and body["title"] and body["type"]
