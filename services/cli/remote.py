"""The operations of another machine's stack, over its API: what Operator does here, done there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from services.cli.api_client import ANY_VERSION, ApiClient, part
from services.cli.remote_mail import RemoteMail
from shared.errors import ConfigurationError
from shared.operations.actor import NotFound
from shared.operations.paging import Page
from shared.operations.queue import Selection
from shared.operations.tokens import NewToken
from shared.operations.waiting import Wanted

View = dict[str, Any]


class RemoteOperator:
    """One token's hands; a refusal is a ConfigurationError with what the API said."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._api = ApiClient(client)
        self.mail = RemoteMail(self._api)

    # Domains

    async def domains(self, cursor: str, limit: int) -> Page:
        """Return a page of domains."""
        return await self._api.page("/domains", cursor, limit)

    async def domain(self, name: str) -> View:
        """Return a domain."""
        return await self._api.view("GET", f"/domains/{part(name)}")

    async def add_domain(self, name: str, alias_of: str = "") -> View:
        """Add a domain."""
        return await self._api.create("/domains", {"name": name, "alias_of": alias_of})

    async def change_domain(self, name: str, changes: Mapping[str, str]) -> View:
        """Set its postmaster or catch-all."""
        return await self._api.view("PATCH", f"/domains/{part(name)}", dict(changes), ANY_VERSION)

    async def remove_domain(self, name: str) -> None:
        """Remove a domain."""
        await self._api.call("DELETE", f"/domains/{part(name)}")

    async def records(self, name: str) -> list[View]:
        """Return the DNS records that a domain should publish."""
        return await self._api.listing(f"/domains/{part(name)}/records")

    async def check_records(self, name: str) -> list[View]:
        """Compare them with what DNS says there."""
        return await self._api.listing(f"/domains/{part(name)}/records", check="true")

    # Accounts

    async def accounts(self, domain: str, cursor: str, limit: int) -> Page:
        """Return a page of accounts."""
        return await self._api.page("/accounts", cursor, limit, domain=domain)

    async def account(self, address: str) -> View:
        """Return an account."""
        return await self._api.view("GET", f"/accounts/{part(address)}")

    async def add_account(
        self, address: str, password: str | None = None, password_hash: str | None = None, quota: int = 0
    ) -> View:
        """Create an account."""
        return await self._api.create(
            "/accounts",
            {"address": address, "password": password, "password_hash": password_hash, "quota_bytes": quota},
        )

    async def change_account(self, address: str, changes: Mapping[str, Any]) -> View:
        """Set `enabled`, `quota_bytes`, `quota_messages`, `password` or `password_hash`."""
        return await self._api.view("PATCH", f"/accounts/{part(address)}", dict(changes), ANY_VERSION)

    async def remove_account(self, address: str, *, purge: bool) -> None:
        """Remove an account; its mail is purged or kept."""
        await self._api.call("DELETE", f"/accounts/{part(address)}", query={"purge": str(purge).lower()})

    async def add_app_password(self, address: str, name: str, password: str | None, password_hash: str | None) -> View:
        """Add a password for one program."""
        body = {"name": name, "password": password, "password_hash": password_hash}
        return await self._api.create(f"/accounts/{part(address)}/app-passwords", body)

    async def remove_app_password(self, address: str, name: str) -> None:
        """Remove an app password."""
        await self._api.call("DELETE", f"/accounts/{part(address)}/app-passwords/{part(name)}")

    # Aliases

    async def aliases(self, domain: str, cursor: str, limit: int) -> Page:
        """Return a page of (alias, target) pairs."""
        return await self._api.page("/aliases", cursor, limit, domain=domain)

    async def add_alias(self, address: str, targets: Sequence[str]) -> View:
        """Add targets to an alias; `@domain` sets a domain's catch-all."""
        if address.startswith("@"):
            if len(targets) != 1:
                raise ConfigurationError("a catch-all has exactly one target (which may be an alias)")
            return {**await self.change_domain(address[1:], {"catchall": targets[0]}), "added": 1}
        path = f"/aliases/{part(address)}"
        try:
            current = await self._api.view("GET", path)
        except NotFound:
            made = await self._api.create("/aliases", {"address": address, "targets": list(targets)})
            return {**made, "added": len(made["targets"])}
        every = list(dict.fromkeys([*current["targets"], *targets]))
        changed = await self._api.view("PUT", path, {"targets": every}, {"If-Match": f'"{current["version"]}"'})
        return {**changed, "added": len(changed["targets"]) - len(current["targets"])}

    async def remove_alias(self, address: str, target: str = "") -> None:
        """Remove an alias, or one target of it."""
        if address.startswith("@"):
            await self.change_domain(address[1:], {"catchall": ""})
        else:
            await self._api.call("DELETE", f"/aliases/{part(address)}", query={"target": target})

    # The queue

    async def waiting(self, wanted: Wanted, cursor: str, limit: int) -> Page:
        """Return a page of what isn't finished."""
        return await self._api.page("/queue", cursor, limit, **_filter(wanted))

    async def show(self, entry: str) -> View:
        """Return an entry that waits."""
        return await self._api.view("GET", f"/queue/{part(entry)}")

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
        return await self._api.view("GET", "/queue/statistics")

    async def sites(self) -> list[View]:
        """Return the relay's sites."""
        return await self._api.listing("/sites")

    async def throttle(self, site: str, *, paused: bool | None = None, connections: int | None = None) -> View:
        """Pause or resume a site, or set its connections."""
        return await self._api.view("PATCH", f"/sites/{part(site)}", {"paused": paused, "connections": connections})

    async def workers(self) -> list[View]:
        """Return who works on the queue, and what they lease."""
        return await self._api.listing("/workers")

    # History

    async def trace(self, what: str, limit: int) -> list[View]:
        """Return the timeline of an entry, a Message-ID or an address."""
        return await self._api.listing("/trace", what=what, limit=str(min(limit, 500)))

    async def rejections(self, cursor: str, limit: int, *, address: str = "", ip: str = "") -> Page:
        """Return a page of refused mail."""
        return await self._api.page("/rejections", cursor, limit, address=address, ip=ip)

    async def audit(self, cursor: str, limit: int, *, target: str = "", who: str = "") -> Page:
        """Return a page of the audit log."""
        return await self._api.page("/audit", cursor, limit, object=target, actor=who)

    # Tokens

    async def tokens(self) -> list[View]:
        """Return all tokens."""
        return await self._api.listing("/tokens")

    async def add_token(self, new: NewToken) -> View:
        """Make a token; its secret is in the answer only."""
        body = {"name": new.name, "scopes": list(new.scopes), "domains": list(new.domains), "days": new.days}
        return await self._api.view("POST", "/tokens", body)

    async def revoke_token(self, name: str) -> None:
        """End a token."""
        await self._api.call("DELETE", f"/tokens/{part(name)}")

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
        return int((await self._api.view("POST", "/queue/actions", body))["recipients"])


def _filter(wanted: Wanted) -> dict[str, str]:
    names = [name for name in Wanted.__slots__ if name != "entries"]
    return {name: getattr(wanted, name) for name in names}
