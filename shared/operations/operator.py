"""Everything that an operator can ask and do, as one actor: the command line's and the API's way in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from redis.exceptions import RedisError

from shared.db import Database, Rows, Work
from shared.dns import Resolver
from shared.operations import audit, clock, directory, queue, sites, tokens
from shared.operations.actor import Actor, Away
from shared.operations.bounce import Bounces
from shared.operations.mail import MailOperator
from shared.operations.once import Once, once
from shared.operations.paging import Page, check_limit, decode_cursor, encode_cursor
from shared.operations.queue import Selection, Yard
from shared.operations.records import check_records, records_of
from shared.operations.rejections import page_of_rejections
from shared.operations.statistics import queue_statistics
from shared.operations.tokens import NewToken
from shared.operations.trace import page_of_ledger, trace
from shared.operations.waiting import Fresh, Wanted, page_of_waiting
from shared.operations.workers import list_workers
from shared.queue.sites import Sites

T = TypeVar("T")
View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Office:
    """What operations are done with; without Redis `sites` and the yard's queue are None."""

    yard: Yard
    fresh: Fresh
    hostname: str
    resolver: Callable[[], Resolver]
    sites: Sites | None = None
    bounces: Callable[[], Bounces] | None = None

    @property
    def database(self) -> Database:
        """SQL."""
        return self.yard.database

    @property
    def journal(self) -> Path:
        """The journal's folder."""
        return self.yard.journal


class Operator:
    """One actor's hands; a mistake is a ConfigurationError, of a kind in actor.py where it matters."""

    def __init__(self, office: Office, actor: Actor) -> None:
        self._office = office
        self._actor = actor
        self.mail = MailOperator(office, actor)

    # Domains

    async def domains(self, cursor: str, limit: int) -> Page:
        """Return a page of domains."""
        return await self._listed(directory.domains, decode_cursor(cursor, str), limit)

    async def domain(self, name: str) -> View:
        """Return a domain."""
        return await self._read(directory.domain, name)

    async def add_domain(self, name: str, alias_of: str = "", request: Once | None = None) -> View:
        """Add a domain."""
        return await self._create(request, lambda now: directory.add_domain(self._actor, name, alias_of, now))

    async def change_domain(self, name: str, changes: Mapping[str, str], version: str | None = None) -> View:
        """Set its postmaster or catch-all."""
        return await self._write(directory.change_domain, name, changes, version, clock.now())

    async def remove_domain(self, name: str, version: str | None = None) -> None:
        """Remove a domain."""
        await self._write(directory.remove_domain, name, version, clock.now())

    async def records(self, name: str) -> list[View]:
        """Return the DNS records that a domain should publish."""
        domain = await self.domain(name)
        return [record.view() for record in records_of(domain["name"], self._office.hostname)]

    async def check_records(self, name: str) -> list[View]:
        """Compare them with what DNS says."""
        domain = await self.domain(name)
        return await check_records(self._office.resolver(), domain["name"], self._office.hostname)

    # Accounts

    async def accounts(self, domain: str, cursor: str, limit: int) -> Page:
        """Return a page of accounts."""
        return await self._listed(directory.accounts, domain, decode_cursor(cursor, str), limit)

    async def account(self, address: str) -> View:
        """Return an account."""
        return await self._read(directory.account, address)

    async def add_account(
        self,
        address: str,
        password: str | None = None,
        password_hash: str | None = None,
        quota: int = 0,
        request: Once | None = None,
    ) -> View:
        """Create an account."""
        stored = await directory.new_hash(self._office.database, address, password, password_hash)
        return await self._create(request, lambda now: directory.add_account(self._actor, address, stored, quota, now))

    async def change_account(self, address: str, changes: Mapping[str, Any], version: str | None = None) -> View:
        """Set `enabled`, `quota_bytes`, `quota_messages`, `password` or `password_hash`."""
        plain = ("enabled", "quota_bytes", "quota_messages")
        wanted = {name: changes[name] for name in plain if changes.get(name) is not None}
        if changes.get("password") is not None or changes.get("password_hash") is not None:
            wanted["password_hash"] = await directory.new_hash(
                self._office.database, address, changes.get("password"), changes.get("password_hash")
            )
        return await self._write(directory.change_account, address, wanted, version, clock.now())

    async def remove_account(self, address: str, *, purge: bool, version: str | None = None) -> None:
        """Remove an account; its mail is purged or kept."""
        await self._write(directory.remove_account, address, version, clock.now(), purge=purge)

    async def add_app_password(
        self, address: str, name: str, password: str | None, password_hash: str | None, request: Once | None = None
    ) -> View:
        """Add a password for one program."""
        stored = await directory.new_hash(self._office.database, address, password, password_hash)
        return await self._create(
            request, lambda now: directory.add_app_password(self._actor, address, name, stored, now)
        )

    async def remove_app_password(self, address: str, name: str) -> None:
        """Remove an app password."""
        await self._write(directory.remove_app_password, address, name, clock.now())

    # Aliases

    async def aliases(self, domain: str, cursor: str, limit: int) -> Page:
        """Return a page of (alias, target) pairs."""
        return await self._listed(directory.aliases, domain, decode_cursor(cursor, str, str), limit)

    async def alias(self, address: str) -> View:
        """Return an alias with its targets."""
        return await self._read(directory.alias, address)

    async def create_alias(self, address: str, targets: Sequence[str], request: Once | None = None) -> View:
        """Make an alias."""
        return await self._create(request, lambda now: directory.create_alias(self._actor, address, targets, now))

    async def add_alias(self, address: str, targets: Sequence[str]) -> View:
        """Add targets to an alias; `@domain` sets a domain's catch-all."""
        return await self._write(directory.add_alias, address, targets, clock.now())

    async def change_alias(self, address: str, targets: Sequence[str], version: str | None = None) -> View:
        """Replace an alias's targets."""
        return await self._write(directory.change_alias, address, targets, version, clock.now())

    async def remove_alias(self, address: str, target: str = "", version: str | None = None) -> None:
        """Remove an alias, or one target of it."""
        await self._write(directory.remove_alias, address, target, version, clock.now())

    # The queue

    async def waiting(self, wanted: Wanted, cursor: str, limit: int) -> Page:
        """Return a page of what isn't finished."""
        check_limit(limit)
        office = self._office
        return await page_of_waiting(office.database, office.fresh, self._actor, wanted, cursor, limit)

    async def show(self, entry: str) -> View:
        """Return an entry that waits."""
        return await queue.show(self._office.yard, self._actor, entry)

    async def retry(self, selection: Selection) -> int:
        """Make the next attempt now."""
        return await queue.retry(self._office.yard, self._actor, selection)

    async def hold(self, selection: Selection) -> int:
        """Keep recipients until they are released."""
        return await queue.hold(self._office.yard, self._actor, selection)

    async def release(self, selection: Selection) -> int:
        """Let what is held go on."""
        return await queue.release(self._office.yard, self._actor, selection)

    async def drop(self, selection: Selection, *, bounce: bool) -> int:
        """Give up on recipients, with a bounce to the sender or without."""
        if bounce and self._office.bounces is None:
            raise Away("bounces can't be written here: the volume is needed")
        bounces = self._office.bounces() if bounce and self._office.bounces else None
        return await queue.drop(self._office.yard, self._actor, selection, bounces)

    async def statistics(self) -> View:
        """Return how much waits, where and why."""
        return await queue_statistics(self._office.database, self._office.yard.queue, self._office.sites)

    async def sites(self) -> list[View]:
        """Return the relay's sites."""
        return await sites.list_sites(self._office.database, self._office.sites)

    async def site(self, name: str) -> View:
        """Return one of them."""
        return await sites.find_site(self._office.database, self._office.sites, name)

    async def throttle(self, site: str, *, paused: bool | None = None, connections: int | None = None) -> View:
        """Pause or resume a site, or set its connections."""
        office = self._office
        return await sites.set_throttle(
            office.database, office.sites, self._actor, site, paused=paused, connections=connections
        )

    async def workers(self) -> list[View]:
        """Return who works on the queue, and what they lease; Away without Redis."""
        if self._office.yard.queue is None:
            raise Away("Redis can't be reached: start the stack (or Redis)")
        try:
            return await list_workers(self._office.yard.queue.redis)
        except (RedisError, OSError) as error:
            raise Away(f"Redis can't be reached: {error}") from None

    # History

    async def ledger(self, cursor: str, limit: int, **filters: Any) -> Page:
        """Return a page of outcomes."""
        check_limit(limit)
        return await page_of_ledger(self._office.database, self._actor, cursor, limit, **filters)

    async def trace(self, what: str, limit: int) -> list[View]:
        """Return the timeline of an entry, a Message-ID or an address."""
        yard = self._office.yard
        return await trace(yard.database, yard.journal, yard.reader, self._actor, what, limit)

    async def rejections(self, cursor: str, limit: int, *, address: str = "", ip: str = "") -> Page:
        """Return a page of refused mail."""
        check_limit(limit)
        return await page_of_rejections(self._office.database, self._actor, cursor, limit, address=address, ip=ip)

    async def audit(self, cursor: str, limit: int, *, target: str = "", who: str = "") -> Page:
        """Return a page of the audit log."""
        check_limit(limit)
        return await audit.page_of_audit(self._office.database, cursor, limit, target=target, who=who)

    # Tokens

    async def tokens(self) -> list[View]:
        """Return all tokens."""
        return await tokens.list_tokens(self._office.database)

    async def add_token(self, new: NewToken) -> View:
        """Make a token; its secret is in the answer only."""
        return await tokens.add_token(self._office.database, self._actor, new)

    async def revoke_token(self, name: str) -> None:
        """End a token."""
        await tokens.revoke_token(self._office.database, self._actor, name)

    # How

    async def _listed(self, work: Callable[..., Work[tuple[list[View], Any]]], *args: Any) -> Page:
        check_limit(args[-1])
        items, end = await self._office.database.scan(work, self._actor, *args)
        return Page(items, encode_cursor(end))

    async def _read(self, work: Callable[..., Work[T]], *args: Any) -> T:
        return await self._office.database.read(work, self._actor, *args)

    async def _write(self, work: Callable[..., Work[T]], *args: Any, **named: Any) -> T:
        return await self._office.database.write(work, self._actor, *args, **named)

    async def _create(self, request: Once | None, work: Callable[[int], Work[View]]) -> View:
        now = clock.now()
        return await self._office.database.write(lambda: once(request, work(now), now))


__all__ = ["Office", "Operator", "Rows", "Selection", "Wanted"]
