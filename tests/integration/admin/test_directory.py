"""Domains, accounts and aliases over the API: ETags, idempotency keys, paging, the audit log."""

from __future__ import annotations

import asyncio

import pytest

from shared.directory import Directory
from tests.integration.admin.conftest import Stack

NEW = {"address": "new@a.test", "password": "correct horse", "quota_bytes": 1000}


async def test_an_account_from_beginning_to_end(stack: Stack) -> None:
    token = await stack.token()
    made = await stack.call("POST", "/accounts", token, NEW)
    assert made.status_code == 201
    assert made.headers["Location"] == "/api/v1/accounts/new%40a.test"
    tag = made.headers["ETag"]
    got = await stack.call("GET", "/accounts/new@a.test", token)
    assert (got.json(), got.headers["ETag"]) == (made.json(), tag)
    assert (got.json()["enabled"], got.json()["quota_bytes"], got.json()["last_login"]) == (True, 1000, None)

    missing = await stack.call("PATCH", "/accounts/new@a.test", token, {"enabled": False})
    assert missing.status_code == 428
    changed = await stack.call("PATCH", "/accounts/new@a.test", token, {"enabled": False}, If_Match=tag)
    assert changed.status_code == 200 and changed.json()["enabled"] is False
    assert changed.headers["ETag"] != tag
    stale = await stack.call("PATCH", "/accounts/new@a.test", token, {"enabled": True}, If_Match=tag)
    assert stale.status_code == 412
    assert (await stack.call("GET", "/accounts/new@a.test", token)).json()["enabled"] is False

    assert (await stack.call("DELETE", "/accounts/new@a.test", token)).status_code == 422  # say what of its mail
    gone = await stack.call("DELETE", "/accounts/new@a.test?purge=true", token, If_Match=tag)
    assert gone.status_code == 412
    assert (await stack.call("DELETE", "/accounts/new@a.test?purge=true", token)).status_code == 204
    assert (await stack.call("GET", "/accounts/new@a.test", token)).status_code == 404


async def test_a_creation_may_be_repeated_under_its_key(stack: Stack) -> None:
    token = await stack.token()
    first = await stack.call("POST", "/accounts", token, NEW, Idempotency_Key="k1")
    again = await stack.call("POST", "/accounts", token, NEW, Idempotency_Key="k1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    assert (await stack.call("POST", "/accounts", token, NEW)).status_code == 409
    other = await stack.call("POST", "/accounts", token, {**NEW, "quota_bytes": 7}, Idempotency_Key="k1")
    assert other.status_code == 422 and "another request" in other.json()["detail"]
    assert (await stack.call("POST", "/accounts", await stack.token(), NEW, Idempotency_Key="k1")).status_code == 409
    rows = await stack.query("SELECT body, fingerprint FROM idempotency")
    assert len(rows) == 1 and "horse" not in rows[0]["body"]
    answers = await asyncio.gather(
        *(stack.call("POST", "/domains", token, {"name": "d.test"}, Idempotency_Key="k2") for _ in range(5))
    )
    assert 201 in {answer.status_code for answer in answers} <= {201, 409}
    assert len(await stack.query("SELECT 1 FROM domain WHERE name = 'd.test'")) == 1


async def test_app_passwords_log_in_until_they_are_removed(stack: Stack) -> None:
    token = await stack.token()
    directory = Directory(stack.database)
    path = "/accounts/me@a.test/app-passwords"
    body = {"name": "phone", "password": "app secret"}
    assert (await stack.call("POST", path, token, body)).status_code == 201
    assert (await stack.call("POST", path, token, body)).status_code == 409
    assert (await stack.call("POST", path, token, {**body, "name": "password"})).status_code == 422
    assert await directory.authenticate("me@a.test", "app secret") is not None
    view = (await stack.call("GET", "/accounts/me@a.test", token)).json()
    assert [one["name"] for one in view["app_passwords"]] == ["phone"]
    assert view["last_login"] is not None
    assert (await stack.call("DELETE", f"{path}/phone", token)).status_code == 204
    assert (await stack.call("DELETE", f"{path}/phone", token)).status_code == 404
    assert (await stack.call("DELETE", f"{path}/password", token)).status_code == 404  # the account's own stays
    assert await directory.authenticate("me@a.test", "app secret") is None
    assert len(await stack.query("SELECT 1 FROM credential c JOIN account a ON a.id = c.account_id")) == 2


async def test_domains_and_aliases_change_with_their_tags(stack: Stack) -> None:
    token = await stack.token()
    domain = await stack.call("GET", "/domains/a.test", token)
    changed = await stack.call(
        "PATCH", "/domains/a.test", token, {"catchall": "me@a.test"}, If_Match=domain.headers["ETag"]
    )
    assert changed.json()["catchall"] == "me@a.test"
    again = await stack.call("PATCH", "/domains/a.test", token, {"catchall": ""}, If_Match=domain.headers["ETag"])
    assert again.status_code == 412
    alias = await stack.call("GET", "/aliases/info@a.test", token)
    body = {"targets": ["me@a.test", "else@c.test"]}
    put = await stack.call("PUT", "/aliases/info@a.test", token, body, If_Match=alias.headers["ETag"])
    assert put.json()["targets"] == body["targets"]
    assert (await stack.call("DELETE", "/aliases/info@a.test?target=else@c.test", token)).status_code == 204
    assert (await stack.call("GET", "/aliases/info@a.test", token)).json()["targets"] == ["me@a.test"]
    assert (await stack.call("DELETE", "/domains/a.test", token)).status_code == 409
    records = (await stack.call("GET", "/domains/a.test/records?check=true", token)).json()
    assert {record["state"] for record in records} == {"unknown"}


async def test_lists_are_paged_by_cursor(stack: Stack) -> None:
    token = await stack.token()
    for number in range(7):
        await stack.operator.add_account(f"u{number}@a.test", password_hash="$2b$12$" + "." * 53)
    found: list[str] = []
    path = "/accounts?domain=a.test&limit=3"
    while True:
        page = (await stack.call("GET", path, token)).json()
        assert len(page["items"]) <= 3
        found += [one["address"] for one in page["items"]]
        if not page["next"]:
            break
        path = f"/accounts?domain=a.test&limit=3&cursor={page['next']}"
    assert found == ["me@a.test", *(f"u{number}@a.test" for number in range(7))]
    assert (await stack.call("GET", "/accounts?cursor=zzz", token)).status_code == 422
    assert (await stack.call("GET", "/accounts?limit=0", token)).status_code == 422


async def test_every_change_is_in_the_audit_log(stack: Stack) -> None:
    token = await stack.token()
    await stack.call("POST", "/accounts", token, NEW)
    await stack.call("PATCH", "/accounts/new@a.test", token, {"quota_bytes": 5}, If_Match="*")
    await stack.call("PATCH", "/accounts/new@a.test", token, {"password": "a new one"}, If_Match="*")
    await stack.call("PATCH", "/accounts/new@a.test", token, {"quota_bytes": -5}, If_Match="*")  # refused
    rows = (await stack.call("GET", "/audit?object=new@a.test", token)).json()["items"]
    assert [row["action"] for row in rows] == ["account.password", "account.change", "account.add"]
    assert rows[1]["before"]["quota_bytes"] == 1000 and rows[1]["after"]["quota_bytes"] == 5
    assert rows[2]["before"] is None
    assert all(row["actor"].startswith("token:") for row in rows)
    text = (await stack.call("GET", "/audit", token)).text
    assert "horse" not in text and "a new one" not in text and "argon2" not in text
    assert {row["actor"] for row in (await stack.call("GET", "/audit?actor=cli:test", token)).json()["items"]} == {
        "cli:test"
    }


@pytest.mark.parametrize(
    "path", ["/accounts/x%00@a.test", "/accounts/%ff@a.test", "/queue?sender=%00", f"/queue?sender={'x' * 9000}"]
)
async def test_malformed_requests_are_told_so(stack: Stack, path: str) -> None:
    answer = await stack.call("GET", path, await stack.token())
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_body_has_a_limit_and_no_unknown_names(stack: Stack) -> None:
    token = await stack.token()
    assert (await stack.call("POST", "/accounts", token, {**NEW, "password": "x" * 2_000_000})).status_code == 413
    unknown = await stack.call("POST", "/accounts", token, {**NEW, "quoat": 1})
    assert unknown.status_code == 422
    assert unknown.json()["errors"][0]["where"] == "body.quoat"
    surrogate = await stack.http.post(
        "/api/v1/domains",
        content=b'{"name": "\\ud800.test"}',
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    assert surrogate.status_code == 422
