"""What `Operator.mail` does here, done on another machine's stack over its API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.cli.api_client import ANY_VERSION, ApiClient, part
from shared.operations.kept_scripts import Change, Whose
from shared.operations.paging import Page
from shared.operations.quarantine import Kept
from shared.operations.targets import Target, view_of

View = dict[str, Any]


class RemoteMail:
    """One token's hands on users' mail."""

    def __init__(self, api: ApiClient) -> None:
        self._api = api

    # The quarantine

    async def kept_back(self, wanted: Kept, cursor: str, limit: int) -> Page:
        """Return a page of what is kept back, oldest first."""
        return await self._api.page("/quarantine", cursor, limit, sender=wanted.sender, recipient=wanted.recipient)

    async def show_kept(self, entry: str) -> View:
        """Return a message that is kept back: why, for whom, its header."""
        return await self._api.view("GET", f"/quarantine/{part(entry)}")

    async def source_of_kept(self, entry: str) -> bytes:
        """Return the whole message."""
        return await self._api.octets(f"/quarantine/{part(entry)}/source")

    async def release_kept(self, wanted: Kept) -> int:
        """Deliver messages after all; return to how many recipients."""
        return await self._act("release", wanted)

    async def delete_kept(self, wanted: Kept) -> int:
        """Throw messages away; return those of how many recipients."""
        return await self._act("delete", wanted)

    # Sieve scripts

    async def scripts(self, whose: Whose) -> View:
        """Return the scripts of an account, a domain or the system, and what last went wrong."""
        return await self._api.view("GET", "/scripts", query=_query(whose))

    async def script(self, whose: Whose, name: str) -> View:
        """Return a script with its content."""
        return await self._api.view("GET", f"/scripts/{part(name)}", query=_query(whose))

    async def put_script(self, whose: Whose, name: str, content: bytes, active: bool | None = None) -> View:
        """Keep a script, in place of one of the same name."""
        body = {"content": content.decode("utf-8", "replace"), "active": active}
        return await self._api.put(f"/scripts/{part(name)}", body, _query(whose))

    async def change_script(self, whose: Whose, name: str, change: Change) -> View:
        """Rename a script, or make it the active one, or none."""
        body = {"name": change.name, "active": change.active}
        return await self._api.view("PATCH", f"/scripts/{part(name)}", body, ANY_VERSION, _query(whose))

    async def deactivate_scripts(self, whose: Whose) -> None:
        """Have no script run."""
        for one in (await self.scripts(whose))["scripts"]:
            if one["active"]:
                await self.change_script(whose, one["name"], Change(active=False))

    async def delete_script(self, whose: Whose, name: str) -> None:
        """Delete a script that isn't active."""
        await self._api.call("DELETE", f"/scripts/{part(name)}", query=_query(whose))

    # How long mail stays

    async def rules(self, account: str, cursor: str, limit: int) -> Page:
        """Return a page of retention rules, of one account if it is named."""
        return await self._api.page("/retention", cursor, limit, account=account)

    async def put_rule(self, account: str, mailbox: str, days: int) -> View:
        """Set how many days messages stay in a mailbox."""
        return await self._api.put(f"/retention/{part(mailbox)}", {"days": days}, {"account": account})

    async def remove_rule(self, account: str, mailbox: str) -> View:
        """Forget a rule."""
        path, query = f"/retention/{part(mailbox)}", {"account": account}
        view = await self._api.view("GET", path, query=query)
        await self._api.call("DELETE", path, query=query)
        return view

    async def expunged(self, account: str, since: int, mailbox: str) -> list[View]:
        """Return how many messages would come back, by mailbox; `since` in Unix microseconds."""
        return await self._api.listing(
            f"/accounts/{part(account)}/expunged", since=str(since / 1_000_000), mailbox=mailbox
        )

    async def undelete(self, account: str, since: int, mailbox: str) -> list[View]:
        """Bring back what was expunged since then; return how many messages, by mailbox."""
        body = {"since": since / 1_000_000, "mailbox": mailbox}
        found: list[View] = await self._api.call("POST", f"/accounts/{part(account)}/undelete", body=body)
        return found

    # Targets

    async def targets(self, cursor: str, limit: int) -> Page:
        """Return a page of the targets that were set."""
        return await self._api.page("/targets", cursor, limit)

    async def put_target(self, whose: str, target: Target) -> View:
        """Send mail of an account or a domain elsewhere."""
        wanted = view_of(whose, target)
        body = {name: wanted[name] for name in ("kind", "place", "seconds")}
        return await self._api.put(f"/targets/{part(whose)}", body)

    async def remove_target(self, whose: str) -> View:
        """Forget the target of an account or a domain."""
        view = await self._api.view("GET", f"/targets/{part(whose)}")
        await self._api.call("DELETE", f"/targets/{part(whose)}")
        return view

    # Mailboxes, and who shares them

    async def mailboxes(self, account: str) -> list[View]:
        """Return the mailboxes of an account."""
        return await self._api.listing(f"/accounts/{part(account)}/mailboxes")

    async def create_mailbox(self, account: str, name: str, uses: Sequence[str] = ()) -> View:
        """Create a mailbox and the ones above it that it lacks."""
        return await self._api.create(f"/accounts/{part(account)}/mailboxes", {"name": name, "uses": list(uses)})

    async def rename_mailbox(self, account: str, old: str, new: str) -> View:
        """Rename a mailbox with what is below it."""
        return await self._api.view("PATCH", _mailbox(account, old), {"name": new}, ANY_VERSION)

    async def delete_mailbox(self, account: str, name: str) -> None:
        """Delete a mailbox with its messages."""
        await self._api.call("DELETE", _mailbox(account, name))

    async def rights(self, account: str, mailbox: str) -> list[View]:
        """Return who may do what in a mailbox."""
        return await self._api.listing(f"/accounts/{part(account)}/rights", mailbox=mailbox)

    async def share(self, account: str, mailbox: str, identifier: str, rights: str) -> View:
        """Set what somebody may do in a mailbox; no rights at all: forget them."""
        path, query = f"/accounts/{part(account)}/rights/{part(identifier)}", {"mailbox": mailbox}
        if rights:
            return await self._api.put(path, {"rights": rights}, query)
        await self._api.call("DELETE", path, query=query)
        return {"identifier": identifier, "rights": ""}

    # How

    async def _act(self, action: str, wanted: Kept) -> int:
        body: View = {"action": action}
        if wanted.entries:
            body["entries"] = list(wanted.entries)
        elif wanted == Kept():
            body["all"] = True
        else:
            body["filter"] = {"sender": wanted.sender, "recipient": wanted.recipient}
        return int((await self._api.view("POST", "/quarantine/actions", body))["recipients"])


def _query(whose: Whose) -> dict[str, str]:
    return {"account": whose.account, "domain": whose.domain, "place": whose.place}


def _mailbox(account: str, name: str) -> str:
    return f"/accounts/{part(account)}/mailboxes/{part(name)}"
