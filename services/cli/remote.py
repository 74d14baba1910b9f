"""The operations of another machine's stack, over its API: what Operator does here, done there."""

from __future__ import annotations

import ipaddress
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from shared.errors import ConfigurationError
from shared.operations.actor import NotFound
from shared.operations.paging import Page
from shared.operations.queue import Selection
from shared.operations.tokens import NewToken
from shared.operations.waiting import Wanted

TIMEOUT = 60.0  # seconds
PREFIX = "/api/v1"
ANY = {"If-Match": "*"}
View = dict[str, Any]


class RemoteOperator:
    """One token's hands; a refusal is a ConfigurationError with what the API said."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    # Domains

    async def domains(self, cursor: str, limit: int) -> Page:
        """Return a page of domains."""
        return await self._page("/domains", cursor, limit)

    async def domain(self, name: str) -> View:
        """Return a domain."""
        return await self._view("GET", f"/domains/{_part(name)}")

    async def add_domain(self, name: str, alias_of: str = "") -> View:
        """Add a domain."""
        return await self._create("/domains", {"name": name, "alias_of": alias_of})

    async def change_domain(self, name: str, changes: Mapping[str, str]) -> View:
        """Set its postmaster or catch-all."""
        return await self._view("PATCH", f"/domains/{_part(name)}", dict(changes), ANY)

    async def remove_domain(self, name: str) -> None:
        """Remove a domain."""
        await self._call("DELETE", f"/domains/{_part(name)}")

    async def records(self, name: str) -> list[View]:
        """Return the DNS records that a domain should publish."""
        return await self._list(f"/domains/{_part(name)}/records")

    async def check_records(self, name: str) -> list[View]:
        """Compare them with what DNS says there."""
        return await self._list(f"/domains/{_part(name)}/records", check="true")

    # Accounts

    async def accounts(self, domain: str, cursor: str, limit: int) -> Page:
        """Return a page of accounts."""
        return await self._page("/accounts", cursor, limit, domain=domain)

    async def account(self, address: str) -> View:
        """Return an account."""
        return await self._view("GET", f"/accounts/{_part(address)}")

    async def add_account(
        self, address: str, password: str | None = None, password_hash: str | None = None, quota: int = 0
    ) -> View:
        """Create an account."""
        return await self._create(
            "/accounts",
            {"address": address, "password": password, "password_hash": password_hash, "quota_bytes": quota},
        )

    async def change_account(self, address: str, changes: Mapping[str, Any]) -> View:
        """Set `enabled`, `quota_bytes`, `quota_messages`, `password` or `password_hash`."""
        return await self._view("PATCH", f"/accounts/{_part(address)}", dict(changes), ANY)

    async def remove_account(self, address: str, *, purge: bool) -> None:
        """Remove an account; its mail is purged or kept."""
        await self._call("DELETE", f"/accounts/{_part(address)}", query={"purge": str(purge).lower()})

    async def add_app_password(self, address: str, name: str, password: str | None, password_hash: str | None) -> View:
        """Add a password for one program."""
        body = {"name": name, "password": password, "password_hash": password_hash}
        return await self._create(f"/accounts/{_part(address)}/app-passwords", body)

    async def remove_app_password(self, address: str, name: str) -> None:
        """Remove an app password."""
        await self._call("DELETE", f"/accounts/{_part(address)}/app-passwords/{_part(name)}")

    # Aliases

    async def aliases(self, domain: str, cursor: str, limit: int) -> Page:
        """Return a page of (alias, target) pairs."""
        return await self._page("/aliases", cursor, limit, domain=domain)

    async def add_alias(self, address: str, targets: Sequence[str]) -> View:
        """Add targets to an alias; `@domain` sets a domain's catch-all."""
        if address.startswith("@"):
            if len(targets) != 1:
                raise ConfigurationError("a catch-all has exactly one target (which may be an alias)")
            return {**await self.change_domain(address[1:], {"catchall": targets[0]}), "added": 1}
        path = f"/aliases/{_part(address)}"
        try:
            current = await self._view("GET", path)
        except NotFound:
            made = await self._create("/aliases", {"address": address, "targets": list(targets)})
            return {**made, "added": len(made["targets"])}
        every = list(dict.fromkeys([*current["targets"], *targets]))
        changed = await self._view("PUT", path, {"targets": every}, {"If-Match": f'"{current["version"]}"'})
        return {**changed, "added": len(changed["targets"]) - len(current["targets"])}

    async def remove_alias(self, address: str, target: str = "") -> None:
        """Remove an alias, or one target of it."""
        if address.startswith("@"):
            await self.change_domain(address[1:], {"catchall": ""})
        else:
            await self._call("DELETE", f"/aliases/{_part(address)}", query={"target": target})

    # The queue

    async def waiting(self, wanted: Wanted, cursor: str, limit: int) -> Page:
        """Return a page of what isn't finished."""
        return await self._page("/queue", cursor, limit, **_filter(wanted))

    async def show(self, entry: str) -> View:
        """Return an entry that waits."""
        return await self._view("GET", f"/queue/{_part(entry)}")

    async def retry(self, selection: Selection) -> int:
        """Make the next attempt now."""
        return await self._act("retry", selection)

    async def hold(self, selection: Selection) -> int:
        """Keep recipients until they are released."""
        return await self._act("hold", selection)

    async def release(self, selection: Selection) -> int:
        """Let what is held go on."""
        return await self._act("release", selection)

    async def drop(self, selection: Selection, *, bounce: bool) -> int:
        """Give up on recipients, with a bounce to the sender or without."""
        return await self._act("drop", selection, bounce=bounce)

    async def statistics(self) -> View:
        """Return how much waits, where and why."""
        return await self._view("GET", "/queue/statistics")

    async def sites(self) -> list[View]:
        """Return the relay's sites."""
        return await self._list("/sites")

    async def throttle(self, site: str, *, paused: bool | None = None, connections: int | None = None) -> View:
        """Pause or resume a site, or set its connections."""
        return await self._view("PATCH", f"/sites/{_part(site)}", {"paused": paused, "connections": connections})

    async def workers(self) -> list[View]:
        """Return who works on the queue, and what they lease."""
        return await self._list("/workers")

    # History

    async def trace(self, what: str, limit: int) -> list[View]:
        """Return the timeline of an entry, a Message-ID or an address."""
        return await self._list("/trace", what=what, limit=str(min(limit, 500)))

    async def rejections(self, cursor: str, limit: int, *, address: str = "", ip: str = "") -> Page:
        """Return a page of refused mail."""
        return await self._page("/rejections", cursor, limit, address=address, ip=ip)

    async def audit(self, cursor: str, limit: int, *, target: str = "", who: str = "") -> Page:
        """Return a page of the audit log."""
        return await self._page("/audit", cursor, limit, object=target, actor=who)

    # Tokens

    async def tokens(self) -> list[View]:
        """Return all tokens."""
        return await self._list("/tokens")

    async def add_token(self, new: NewToken) -> View:
        """Make a token; its secret is in the answer only."""
        body = {"name": new.name, "scopes": list(new.scopes), "domains": list(new.domains), "days": new.days}
        return await self._view("POST", "/tokens", body)

    async def revoke_token(self, name: str) -> None:
        """End a token."""
        await self._call("DELETE", f"/tokens/{_part(name)}")

    # How

    async def _act(self, action: str, selection: Selection, *, bounce: bool = False) -> int:
        wanted = selection.wanted
        body: View = {"action": action, "bounce": bounce}
        if wanted.entries:
            body["entries"] = list(wanted.entries)
        elif wanted == Wanted():
            body["all"] = True
        else:
            body["filter"] = _filter(wanted)
        return int((await self._view("POST", "/queue/actions", body))["recipients"])

    async def _page(self, path: str, cursor: str, limit: int, **query: str) -> Page:
        answer = await self._call("GET", path, query={**query, "cursor": cursor, "limit": str(limit)})
        return Page(answer["items"], answer["next"])

    async def _list(self, path: str, **query: str) -> list[View]:
        found: list[View] = await self._call("GET", path, query=query)
        return found

    async def _create(self, path: str, body: View) -> View:
        """Create under a key, so that a lost answer can be asked for again."""
        return await self._view("POST", path, body, {"Idempotency-Key": secrets.token_hex(16)})

    async def _view(
        self, method: str, path: str, body: View | None = None, headers: Mapping[str, str] | None = None
    ) -> View:
        found: View = await self._call(method, path, body=body, headers=headers)
        return found

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: View | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        given = {name: value for name, value in (query or {}).items() if value != ""}
        try:
            answer = await self._client.request(method, PREFIX + path, json=body, params=given, headers=headers)
            return _content(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConfigurationError(f"{self._client.base_url}: {error or type(error).__name__}") from None
        except ValueError:
            raise ConfigurationError(f"{self._client.base_url} answers, but is no Packetboat API") from None


def connect(url: str) -> httpx.AsyncClient:
    """Return a client for an API; ConfigurationError without a token or where it would travel in the clear."""
    token = _token()
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"--url {url}: use https://HOST:PORT")
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ConfigurationError(f"--url {url}: a token travels only over https, or on this machine")
    return httpx.AsyncClient(base_url=url.rstrip("/"), timeout=TIMEOUT, headers={"Authorization": f"Bearer {token}"})


def _token() -> str:
    token, file = os.environ.get("PACKETBOAT_TOKEN", ""), os.environ.get("PACKETBOAT_TOKEN_FILE", "")
    if not token and file:
        token = Path(file).read_text(encoding="utf-8").strip()
    if not token.isascii() or not token.isprintable() or not token:
        raise ConfigurationError("set PACKETBOAT_TOKEN or PACKETBOAT_TOKEN_FILE: make one with `packetboat token add`")
    return token


def _content(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json() if answer.content else None
    problem = answer.json()
    said = str(problem.get("detail") or problem["title"])
    for error in problem.get("errors", []):
        said += f"; {error['where']}: {error['what']}"
    raise NotFound(said) if answer.status_code == 404 else ConfigurationError(said)


def _filter(wanted: Wanted) -> dict[str, str]:
    names = [name for name in Wanted.__slots__ if name != "entries"]
    return {name: getattr(wanted, name) for name in names}


def _part(text: str) -> str:
    return quote(text, safe="")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
