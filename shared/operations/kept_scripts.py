"""Sieve scripts as operators see and change them: views with versions, conditions, checked names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.db import Database, Work
from shared.errors import ConfigurationError
from shared.operations import clock, scripts
from shared.operations.actor import Actor, NotFound
from shared.operations.condition import ANY, Condition
from shared.operations.directory import version_of
from shared.operations.once import Once, once
from shared.operations.scripts import Owner, Place, check_script, find_owner, own_name

View = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose scripts: an account's, a domain's, or (with neither) the system's; those two at a place."""

    account: str = ""
    domain: str = ""
    place: str = ""  # before | after

    def __post_init__(self) -> None:
        if self.account and (self.domain or self.place):
            raise ConfigurationError("say an account, or a domain or the system with a place")
        if not self.account and self.place not in (Place.BEFORE, Place.AFTER):
            raise ConfigurationError(
                f"{self.place!r}: a script of a domain or the system runs before or after those of accounts"
            )

    def owner(self, actor: Actor) -> Work[Owner]:
        """Find them; NotFound."""
        return find_owner(actor, self.account, self.domain, Place(self.place or Place.PERSONAL))


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be set of a script; None stays."""

    name: str | None = None
    active: bool | None = None


async def listing(database: Database, actor: Actor, whose: Whose) -> View:
    """Return all scripts, by name, and what last went wrong with them."""
    return await database.read(_listing, actor, whose)


async def get(database: Database, actor: Actor, whose: Whose, name: str) -> View:
    """Return a script with its content; NotFound."""
    return await database.read(_script, actor, whose, name)


async def put(
    database: Database,
    actor: Actor,
    whose: Whose,
    name: str,
    content: bytes,
    active: bool | None = None,
    condition: Condition = ANY,
    request: Once | None = None,
) -> View:
    """Keep a script, in place of one of the same name; BadScript, QuotaReached, Changed."""
    name, now = own_name(name), clock.now()
    await check_script(content)

    def keep(owner: Owner) -> Work[None]:
        yield from scripts.put_script(owner, name, content, actor, now)
        yield from _set_active(owner, name, active, actor, now)

    return await database.write(lambda: once(request, _changed(actor, whose, name, name, condition, keep), now))


async def change(
    database: Database, actor: Actor, whose: Whose, name: str, wanted: Change, condition: Condition = ANY
) -> View:
    """Rename a script, or make it the active one, or none; NotFound, AlreadyThere, Changed."""
    new, now = name if wanted.name is None else own_name(wanted.name), clock.now()

    def keep(owner: Owner) -> Work[None]:
        if new != name:
            yield from scripts.rename_script(owner, name, new, actor, now)
        yield from _set_active(owner, new, wanted.active, actor, now)

    return await database.write(lambda: _changed(actor, whose, name, new, condition, keep))


async def deactivate(database: Database, actor: Actor, whose: Whose) -> None:
    """Have no script run."""

    def work() -> Work[None]:
        owner = yield from whose.owner(actor)
        yield from scripts.activate_script(owner, "", actor, clock.now())

    await database.write(work)


async def delete(database: Database, actor: Actor, whose: Whose, name: str, condition: Condition = ANY) -> None:
    """Delete a script that isn't active; NotFound, IsActive, Changed."""

    def work() -> Work[None]:
        owner = yield from whose.owner(actor)
        yield from scripts.lock(owner)
        condition.check(_view((yield from scripts.find_script(owner, name))))
        yield from scripts.delete_script(owner, name, actor, clock.now())

    await database.write(work)


def _changed(
    actor: Actor, whose: Whose, old: str, new: str, condition: Condition, work: Callable[[Owner], Work[None]]
) -> Work[View]:
    owner = yield from whose.owner(actor)
    yield from scripts.lock(owner)
    condition.check((yield from _find(owner, old)))
    yield from work(owner)
    return _view((yield from scripts.find_script(owner, new)))


def _set_active(owner: Owner, name: str, active: bool | None, actor: Actor, now: int) -> Work[None]:
    row = yield from scripts.find_script(owner, name)
    if active is not None and bool(row["active"]) != active:
        yield from scripts.activate_script(owner, name if active else "", actor, now)


def _find(owner: Owner, name: str) -> Work[View | None]:
    try:
        return _view((yield from scripts.find_script(owner, name)))
    except NotFound:
        return None


def _listing(actor: Actor, whose: Whose) -> Work[View]:
    owner = yield from whose.owner(actor)
    rows = yield from scripts.rows_of(owner)
    error = None
    if owner.account_id is not None:
        last = yield from scripts.last_error_of(owner.account_id)
        error = None if last is None else _error(last)
    return {"scripts": [_view(row) for row in rows], "last_error": error}


def _script(actor: Actor, whose: Whose, name: str) -> Work[View]:
    owner = yield from whose.owner(actor)
    content = yield from scripts.content_of(owner, name)
    view = _view((yield from scripts.find_script(owner, name)))
    return {**view, "content": content.decode("utf-8", "replace")}


def _view(row: Any) -> View:
    view = {"name": row["name"], "active": bool(row["active"]), "size": row["size"], "hash": row["hash"]}
    return {**view, "changed_at": row["changed_at"] / 1e6, "version": version_of(view)}


def _error(last: scripts.LastError) -> View:
    return {"at": last.at / 1e6, "entry": last.entry, "error": str(last), "count": last.count}
