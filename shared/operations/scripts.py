"""Sieve scripts in SQL: kept, checked, activated, for the command line, ManageSieve and the API.

An account has several scripts, of which one may be active. A domain and the system have scripts that run before
and after those of accounts, one active each; the others are there to be included (`include :global`, RFC 6609).
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from shared.db import Database, Rows, Work, load
from shared.directory.directory import find_domain
from shared.directory.directory import sql as directory_sql
from shared.errors import ConfigurationError
from shared.managesieve.command import CommandError, check_name
from shared.managesieve.limits import AFTER_LOGIN
from shared.operations.actor import Actor, AlreadyThere, NotFound
from shared.operations.audit import note

if TYPE_CHECKING:
    from shared.sieve import SieveError

MAX_SCRIPTS = 50  # of one owner and place
MAX_SCRIPT_BYTES = AFTER_LOGIN.literal
MAX_BYTES = 1024 * 1024  # octets of all scripts of one owner and place

sql = load("scripts")


class Place(StrEnum):
    """Where a script runs: an account's own, or before or after those."""

    PERSONAL = "personal"
    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose scripts: an account's, a domain's or the system's; `label` is for people."""

    label: str
    account_id: int | None = None
    domain_id: int | None = None
    place: Place = Place.PERSONAL

    @classmethod
    def account(cls, account_id: int, address: str) -> Owner:
        """An account's own scripts."""
        return cls(address, account_id)


@dataclass(frozen=True, slots=True)
class StoredScript:
    """A script without its content; times in Unix microseconds, the size in octets."""

    id: int
    name: str
    active: bool
    size: int
    hash: str
    changed_at: int


@dataclass(frozen=True, slots=True)
class LastError:
    """What last went wrong when an account's scripts ran: that message was kept as if there were no script."""

    at: int
    entry: str
    script: str
    line: int
    column: int
    message: str
    count: int  # since the scripts were last changed

    def __str__(self) -> str:
        where = f"{self.script}:{self.line}:{self.column}: " if self.script else ""
        return f"{where}{self.message}"


class BadScript(ConfigurationError):
    """A script with errors, all of which are told."""

    def __init__(self, errors: Sequence[SieveError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = tuple(errors)


class QuotaReached(ConfigurationError):
    """There is no room for this script; `what` is scripts, size or total."""

    def __init__(self, what: str, text: str) -> None:
        super().__init__(text)
        self.what = what


class IsActive(ConfigurationError):
    """The active script can't be deleted (RFC 5804 §2.10)."""


class Scripts:
    """The scripts of all owners; one per process. `actor` is who changes them where it is to be audited."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    async def owner(self, actor: Actor, *, account: str = "", domain: str = "", place: Place = Place.PERSONAL) -> Owner:
        """Find whose scripts are meant, the system's if neither is named; NotFound."""
        return await self._database.read(find_owner, actor, account, domain, place)

    async def listing(self, owner: Owner) -> list[StoredScript]:
        """Return an owner's scripts by name."""
        return await self._database.read(list_scripts, owner)

    async def get(self, owner: Owner, name: str) -> bytes:
        """Return a script's content; NotFound."""
        return await self._database.read(content_of, owner, name)

    async def check(self, content: bytes) -> None:
        """BadScript with everything that is wrong with a script, by this server's language."""
        await check_script(content)

    async def put(self, owner: Owner, name: str, content: bytes, actor: Actor | None = None) -> None:
        """Keep a script, in place of one of the same name; BadScript, QuotaReached."""
        name = own_name(name)
        await self.check(content)
        await self._database.write(put_script, owner, name, content, actor, self._now())

    async def delete(self, owner: Owner, name: str, actor: Actor | None = None) -> None:
        """Delete a script; NotFound, IsActive."""
        await self._database.write(delete_script, owner, name, actor, self._now())

    async def rename(self, owner: Owner, old: str, new: str, actor: Actor | None = None) -> None:
        """Give a script another name, it stays active; NotFound, AlreadyThere."""
        await self._database.write(rename_script, owner, old, own_name(new), actor, self._now())

    async def activate(self, owner: Owner, name: str, actor: Actor | None = None) -> None:
        """Make a script the active one, or none for ""; NotFound."""
        await self._database.write(activate_script, owner, name, actor, self._now())

    async def check_space(self, owner: Owner, name: str, size: int) -> None:
        """QuotaReached if a script of this size could not be kept (RFC 5804 §2.5)."""
        await self._database.read(_check_space, owner, name, size)

    async def last_error(self, account_id: int) -> LastError | None:
        """Return what last went wrong with an account's scripts."""
        return await self._database.read(last_error_of, account_id)

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)


async def check_script(content: bytes) -> None:
    """BadScript with everything that is wrong with a script, by this server's language; QuotaReached."""
    if len(content) > MAX_SCRIPT_BYTES:
        raise QuotaReached("size", f"a script has at most {MAX_SCRIPT_BYTES} octets")
    if errors := await asyncio.to_thread(_errors, content):
        raise BadScript(errors)


def _errors(content: bytes) -> Sequence[SieveError]:
    from shared.sieve import check  # 5 MB that the API needs for this alone
    from shared.sieve.host import LANGUAGE

    return check(content, language=LANGUAGE)


def own_name(text: str) -> str:
    """Return a script's name in normal form; ConfigurationError if it can't be one."""
    try:
        return check_name(text)
    except CommandError as error:
        raise ConfigurationError(f"{text!r}: {error}") from None


def list_scripts(owner: Owner) -> Work[list[StoredScript]]:
    """Return an owner's scripts by name."""
    rows = yield from rows_of(owner)
    return [_stored(row) for row in rows]


def find_owner(actor: Actor, account: str, domain: str, place: Place) -> Work[Owner]:
    """Find whose scripts are meant, the system's if neither is named; NotFound."""
    if account:
        rows = yield directory_sql.account_by_address(address=account.lower())
        actor.check(account.rpartition("@")[2].lower(), f"account {account}")
        if not rows:
            raise NotFound(f"there is no account {account}: see `packetboat account list`")
        return Owner.account(rows[0]["id"], rows[0]["address"])
    if domain:
        actor.check(domain, f"domain {domain}")
        found = yield from find_domain(domain)
        if found is None:
            raise NotFound(f"there is no domain {domain}: see `packetboat domain list`")
        return Owner(f"{domain} {place}", domain_id=found.id, place=_around(place))
    if actor.domains is not None:
        raise NotFound("there are no such scripts")
    return Owner(f"system {place}", place=_around(place))


def _around(place: Place) -> Place:
    if place is Place.PERSONAL:
        raise ConfigurationError("the scripts of a domain or the system run before or after those of accounts")
    return place


def rows_of(owner: Owner) -> Work[Rows]:
    """Return the rows of an owner's scripts."""
    if owner.account_id is not None:
        rows = yield sql.of_account(id=owner.account_id, place=owner.place.value)
    elif owner.domain_id is not None:
        rows = yield sql.of_domain(id=owner.domain_id, place=owner.place.value)
    else:
        rows = yield sql.of_system(place=owner.place.value)
    return rows


def lock(owner: Owner) -> Work[None]:
    """Let one change of an owner's scripts come after the other."""
    if owner.account_id is not None:
        yield sql.lock_account(id=owner.account_id)
    elif owner.domain_id is not None:
        yield sql.lock_domain(id=owner.domain_id)


def find_script(owner: Owner, name: str) -> Work[Any]:
    """Return a script's row; NotFound."""
    rows = yield from rows_of(owner)
    wanted = unicodedata.normalize("NFC", name)
    for row in rows:
        if row["name"] == wanted:
            return row
    raise NotFound(f"there is no script {name!r}")


def content_of(owner: Owner, name: str) -> Work[bytes]:
    """Return a script's content; NotFound."""
    row = yield from find_script(owner, name)
    rows = yield sql.contents(ids=[row["id"]])
    return bytes(rows[0]["content"])


def put_script(owner: Owner, name: str, content: bytes, actor: Actor | None, now: int) -> Work[None]:
    """Keep a script whose name and content were checked; QuotaReached."""
    yield from lock(owner)
    yield from _check_space(owner, name, len(content))
    rows = yield from rows_of(owner)
    known = next((row for row in rows if row["name"] == name), None)
    values = {"hash": hashlib.sha256(content).hexdigest(), "size": len(content), "content": content, "now": now}
    if known is not None:
        yield sql.replace(id=known["id"], **values)
    else:
        place = {"account_id": owner.account_id, "domain_id": owner.domain_id, "place": owner.place.value}
        yield sql.insert(name=name, **place, **values)
    yield from _changed(owner, "put", name, known, actor, now)


def delete_script(owner: Owner, name: str, actor: Actor | None, now: int) -> Work[None]:
    """Delete a script; NotFound, IsActive."""
    yield from lock(owner)
    row = yield from find_script(owner, name)
    if row["active"]:
        raise IsActive(f"{row['name']!r} is the active script: deactivate it first")
    yield sql.delete(id=row["id"])
    yield from _changed(owner, "delete", name, row, actor, now)


def rename_script(owner: Owner, old: str, new: str, actor: Actor | None, now: int) -> Work[None]:
    """Give a script another name; NotFound, AlreadyThere."""
    yield from lock(owner)
    row = yield from find_script(owner, old)
    rows = yield from rows_of(owner)
    if any(other["name"] == new for other in rows):
        raise AlreadyThere(f"there is a script {new!r} already")
    yield sql.rename(id=row["id"], name=new, now=now)
    yield from _changed(owner, "rename", new, row, actor, now)


def activate_script(owner: Owner, name: str, actor: Actor | None, now: int) -> Work[None]:
    """Make a script the active one, or none for ""; NotFound."""
    yield from lock(owner)
    chosen = (yield from find_script(owner, name)) if name else None
    rows = yield from rows_of(owner)
    for row in rows:
        if row["active"] and (chosen is None or row["id"] != chosen["id"]):
            yield sql.set_active(id=row["id"], active=0)
    if chosen is not None:
        yield sql.set_active(id=chosen["id"], active=1)
    yield from _changed(owner, "activate" if name else "deactivate", name, chosen, actor, now)


def _check_space(owner: Owner, name: str, size: int) -> Work[None]:
    if size > MAX_SCRIPT_BYTES:
        raise QuotaReached("size", f"a script has at most {MAX_SCRIPT_BYTES} octets")
    rows = yield from rows_of(owner)
    others = [row for row in rows if row["name"] != name]
    if len(others) >= MAX_SCRIPTS:
        raise QuotaReached("scripts", f"there is room for {MAX_SCRIPTS} scripts")
    if sum(row["size"] for row in others) + size > MAX_BYTES:
        raise QuotaReached("total", f"there is room for {MAX_BYTES} octets of scripts")


def _changed(owner: Owner, what: str, name: str, before: Any, actor: Actor | None, now: int) -> Work[None]:
    """An error of earlier scripts is no news any more; what an operator changes is audited."""
    if owner.account_id is not None:
        yield sql.forget_error(account_id=owner.account_id)
    if actor is not None:
        rows = yield from rows_of(owner)
        after = next((row for row in rows if row["name"] == name), None)
        yield from note(actor, f"script.{what}", f"{owner.label} {name}".strip(), _state(before), _state(after), now)


def _state(row: Any) -> dict[str, Any] | None:
    names = ("name", "active", "size", "hash")
    return None if row is None else {name: row[name] for name in names}


def _stored(row: Any) -> StoredScript:
    return StoredScript(row["id"], row["name"], bool(row["active"]), row["size"], row["hash"], row["changed_at"])


def last_error_of(account_id: int) -> Work[LastError | None]:
    """Return what last went wrong with an account's scripts."""
    rows = yield sql.error_of(account_id=account_id)
    if not rows:
        return None
    row = rows[0]
    return LastError(row["at"], row["entry"], row["script"], row["line"], row["col"], row["message"], row["count"])
