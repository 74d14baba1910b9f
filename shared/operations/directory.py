"""Domains, accounts and aliases as operators see and change them; the rows are shared.directory.admin's work.

A view is what the API tells and the command line prints. Its version (an ETag) covers what can be set, not
what changes by itself. All functions but `new_hash` are transactions for `database.write` or `.read`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import orjson

from shared.address import AddressError, normalise_domain
from shared.db import Database, Rows, Work, load
from shared.directory import Account, admin, salts
from shared.directory.passwords import hash_password, import_hash
from shared.errors import ConfigurationError
from shared.operations.actor import Actor, AlreadyThere, Changed, NotFound
from shared.operations.audit import audited
from shared.operations.paging import Filter, Listing, in_domains

MAX_TARGETS = 1000  # of one alias
MAX_APP_PASSWORDS = 50  # of one account
MAX_QUOTA = 2**60  # octets
VOLATILE = frozenset({"used_bytes", "used_messages", "last_login", "accounts", "aliases", "version"})

_APP_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}\Z")
sql = load("admin")
directory = load("directory")

DOMAINS = Listing(
    "d.name, d.catchall, d.postmaster, d.created_at, t.name AS alias_of,"
    " (SELECT count(*) FROM account a WHERE a.domain_id = d.id AND a.removed_at IS NULL) AS accounts,"
    " (SELECT count(*) FROM alias a WHERE a.domain_id = d.id) AS aliases",
    "domain d LEFT JOIN domain t ON t.id = d.alias_of",
    ("d.name",),
)
ACCOUNTS = Listing(
    "a.id, a.address, a.enabled, a.quota_bytes, a.quota_messages, a.used_bytes, a.used_messages, a.created_at,"
    " l.at AS login_at",
    "account a LEFT JOIN login l ON l.account_id = a.id",
    ("a.address",),
)
ALIASES = Listing("a.address, a.target", "alias a JOIN domain d ON d.id = a.domain_id", ("a.address", "a.target"))


async def new_hash(database: Database, address: str, password: str | None, password_hash: str | None) -> str:
    """Return the hash to store of a password, or of another server's hash."""
    if (password is None) == (password_hash is None):
        raise ConfigurationError("say one of password and password_hash")
    if password_hash is not None:
        return import_hash(password_hash)
    salt = salts.salt_of(await database.write(salts.secret, os.urandom(32)), address)
    try:
        return await asyncio.to_thread(hash_password, password or "", salt)
    except UnicodeError:
        raise ConfigurationError("a password is valid Unicode") from None


def version_of(view: Mapping[str, Any]) -> str:
    """Return a view's version."""
    stable = {name: value for name, value in view.items() if name not in VOLATILE}
    return hashlib.blake2b(orjson.dumps(stable, option=orjson.OPT_SORT_KEYS), digest_size=12).hexdigest()


def own_name(name: str) -> str:
    """Return a domain name that a person gave, normalised."""
    try:
        return normalise_domain(name)
    except AddressError as error:
        raise ConfigurationError(str(error)) from None


# Domains


def domains(actor: Actor, after: Sequence[Any] | None, limit: int) -> Work[tuple[list[dict[str, Any]], Any]]:
    """Return a page of domains."""
    wanted = Filter()
    if actor.domains is not None:
        wanted = wanted.plus("d.name IN (:owned...)", owned=sorted(actor.domains))
    rows, end = yield from DOMAINS.rows(wanted, after, limit)
    return [_domain_view(row) for row in rows], end


def domain(actor: Actor, name: str) -> Work[dict[str, Any]]:
    """Return a domain; NotFound."""
    view = yield from _find_domain(own_name(name))
    actor.check(own_name(name), f"domain {name}")
    if view is None:
        raise NotFound(f"there is no domain {name}")
    return view


def add_domain(actor: Actor, name: str, alias_of: str, now: int) -> Work[dict[str, Any]]:
    """Add a domain; AlreadyThere."""
    name = own_name(name)
    state = partial(_find_domain, name)
    target = own_name(alias_of) if alias_of else ""
    added = yield from audited(actor, "domain.add", name, state, admin.add_domain(name, now, target), now)
    if not added:
        raise AlreadyThere(f"the domain {name} exists already")
    return (yield from domain(actor, name))


def change_domain(
    actor: Actor, name: str, changes: Mapping[str, str], version: str | None, now: int
) -> Work[dict[str, Any]]:
    """Set `postmaster` and `catchall` ("" for none); Changed if the version isn't current."""
    name = own_name(name)
    yield sql.lock_domain(name=name)
    current = yield from domain(actor, name)
    _check_version(current, version)
    yield from audited(actor, "domain.change", name, partial(_find_domain, name), _set_domain(name, changes), now)
    return (yield from domain(actor, name))


def remove_domain(actor: Actor, name: str, version: str | None, now: int) -> Work[None]:
    """Remove a domain that nothing needs any more; AlreadyThere if something does."""
    name = own_name(name)
    _check_version((yield from domain(actor, name)), version)
    yield from audited(actor, "domain.remove", name, partial(_find_domain, name), _remove_domain(name), now)


def _remove_domain(name: str) -> Work[None]:
    try:
        yield from admin.remove_domain(name)
    except ConfigurationError as error:
        raise AlreadyThere(str(error)) from None


def _set_domain(name: str, changes: Mapping[str, str]) -> Work[None]:
    if "postmaster" in changes:
        yield from admin.set_postmaster(name, changes["postmaster"])
    if changes.get("catchall"):
        yield from admin.add_alias(f"@{name}", [changes["catchall"]], 0)
    elif "catchall" in changes:
        yield from admin.remove_alias(f"@{name}")


def _find_domain(name: str) -> Work[dict[str, Any] | None]:
    rows = yield sql.domain_view(name=name)
    return _domain_view(rows[0]) if rows else None


def _domain_view(row: Any) -> dict[str, Any]:
    view = {
        "name": row["name"],
        "alias_of": row["alias_of"] or "",
        "catchall": row["catchall"],
        "postmaster": row["postmaster"],
        "accounts": row["accounts"],
        "aliases": row["aliases"],
        "created_at": row["created_at"] / 1e6,
    }
    return {**view, "version": version_of(view)}


# Accounts


def accounts(actor: Actor, of: str, after: Sequence[Any] | None, limit: int) -> Work[tuple[list[dict[str, Any]], Any]]:
    """Return a page of accounts, of one domain if `of` names it."""
    wanted = Filter().plus("a.removed_at IS NULL")
    if of:
        yield from domain(actor, of)
        name = own_name(of)
        wanted = wanted.plus("a.domain_id = (SELECT id FROM domain WHERE name = :of)", of=name)
    elif actor.domains is not None:
        names = sorted(actor.domains)
        wanted = wanted.plus("a.domain_id IN (SELECT id FROM domain WHERE name IN (:owned...))", owned=names)
    rows, end = yield from ACCOUNTS.rows(wanted, after, limit)
    names_of = yield from _app_passwords([row["id"] for row in rows])
    return [_account_view(row, names_of.get(row["id"], [])) for row in rows], end


def account(actor: Actor, address: str) -> Work[dict[str, Any]]:
    """Return an account; NotFound."""
    key = _own_address(actor, address, "account")
    view = yield from _find_account(key)
    if view is None:
        raise NotFound(f"there is no account {address}: see `packetboat account list`")
    return view


def own_account(actor: Actor, address: str) -> Work[Account]:
    """Return the row of an account that is an actor's; NotFound."""
    rows = yield directory.account_by_address(address=_own_address(actor, address, "account"))
    if not rows:
        raise NotFound(f"there is no account {address}: see `packetboat account list`")
    return Account.from_row(rows[0])


def add_account(actor: Actor, address: str, password_hash: str, quota: int, now: int) -> Work[dict[str, Any]]:
    """Create an account with its default mailboxes; AlreadyThere, NotFound for its domain."""
    key = _own_address(actor, address, "domain of")
    _check_quota(quota)
    if (yield from _find_account(key)) is not None:
        raise AlreadyThere(f"the account {key} exists already")
    state = partial(_find_account, key)
    yield from audited(actor, "account.add", key, state, admin.add_account(key, password_hash, now, quota), now)
    return (yield from account(actor, key))


def change_account(
    actor: Actor, address: str, changes: Mapping[str, Any], version: str | None, now: int
) -> Work[dict[str, Any]]:
    """Set `enabled`, `quota_bytes`, `quota_messages` and `password_hash`; Changed if the version isn't current."""
    key = _own_address(actor, address, "account")
    yield sql.lock_account(address=key)
    _check_version((yield from account(actor, address)), version)
    action = "account.password" if "password_hash" in changes else "account.change"
    yield from audited(actor, action, key, partial(_find_account, key), _set_account(key, changes, now), now)
    return (yield from account(actor, address))


def remove_account(actor: Actor, address: str, version: str | None, now: int, *, purge: bool) -> Work[None]:
    """Remove an account; its mail is purged or kept."""
    key = _own_address(actor, address, "account")
    _check_version((yield from account(actor, address)), version)
    action = "account.purge" if purge else "account.remove"
    work = admin.remove_account(key, now, purge=purge)
    yield from audited(actor, action, key, partial(_find_account, key), work, now)


def add_app_password(actor: Actor, address: str, name: str, password_hash: str, now: int) -> Work[dict[str, Any]]:
    """Add a password for one program; AlreadyThere."""
    key = _own_address(actor, address, "account")
    if not _APP_NAME.match(name) or name == admin.DEFAULT_CREDENTIAL:
        raise ConfigurationError("an app password's name has 1 to 100 characters and isn't `password`")
    current = yield from account(actor, address)
    if len(current["app_passwords"]) >= MAX_APP_PASSWORDS:
        raise AlreadyThere(f"an account has at most {MAX_APP_PASSWORDS} app passwords")
    work = _insert_credential(key, name, password_hash, now)
    yield from audited(actor, "account.app_password.add", key, partial(_find_account, key), work, now)
    return {"name": name, "created_at": now / 1e6}


def remove_app_password(actor: Actor, address: str, name: str, now: int) -> Work[None]:
    """Remove an app password; NotFound."""
    key = _own_address(actor, address, "account")
    yield from account(actor, address)
    work = _delete_credential(key, name)
    yield from audited(actor, "account.app_password.remove", key, partial(_find_account, key), work, now)


def _insert_credential(key: str, name: str, password_hash: str, now: int) -> Work[None]:
    rows = yield sql.account_view(address=key)
    added = yield sql.insert_credential(account_id=rows[0]["id"], name=name, hash=password_hash, now=now)
    if not added:
        raise AlreadyThere(f"{key} has an app password {name} already")


def _delete_credential(key: str, name: str) -> Work[None]:
    rows = yield sql.account_view(address=key)
    gone = yield sql.delete_credential(account_id=rows[0]["id"], name=name)
    if not gone or name == admin.DEFAULT_CREDENTIAL:
        raise NotFound(f"{key} has no app password {name}")


def _set_account(key: str, changes: Mapping[str, Any], now: int) -> Work[None]:
    if changes.get("enabled") is not None:
        yield from admin.set_enabled(key, changes["enabled"])
    if changes.get("quota_bytes") is not None:
        _check_quota(changes["quota_bytes"])
        yield from admin.set_quota(key, changes["quota_bytes"])
    if changes.get("quota_messages") is not None:
        _check_quota(changes["quota_messages"])
        yield from admin.set_quota_messages(key, changes["quota_messages"])
    if changes.get("password_hash") is not None:
        yield from admin.set_password(key, changes["password_hash"], now)


def _find_account(key: str) -> Work[dict[str, Any] | None]:
    rows = yield sql.account_view(address=key)
    if not rows:
        return None
    names = yield from _app_passwords([rows[0]["id"]])
    return _account_view(rows[0], names.get(rows[0]["id"], []))


def _app_passwords(ids: Sequence[int]) -> Work[dict[int, list[dict[str, Any]]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in (yield sql.credentials_of(accounts=list(ids))) if ids else []:
        if row["name"] != admin.DEFAULT_CREDENTIAL:
            view = {"name": row["name"], "created_at": row["created_at"] / 1e6}
            found.setdefault(row["account_id"], []).append(view)
    return found


def _account_view(row: Any, app_passwords: list[dict[str, Any]]) -> dict[str, Any]:
    view = {
        "address": row["address"],
        "enabled": bool(row["enabled"]),
        "quota_bytes": row["quota_bytes"],
        "quota_messages": row["quota_messages"],
        "used_bytes": row["used_bytes"],
        "used_messages": row["used_messages"],
        "app_passwords": app_passwords,
        "last_login": row["login_at"] / 1e6 if row["login_at"] is not None else None,
        "created_at": row["created_at"] / 1e6,
    }
    return {**view, "version": version_of(view)}


# Aliases


def aliases(actor: Actor, of: str, after: Sequence[Any] | None, limit: int) -> Work[tuple[list[dict[str, Any]], Any]]:
    """Return a page of (alias, target) pairs, of one domain if `of` names it."""
    wanted = Filter()
    if of:
        yield from domain(actor, of)
        wanted = wanted.plus("d.name = :of", of=own_name(of))
    elif actor.domains is not None:
        wanted = wanted.plus("d.name IN (:owned...)", owned=sorted(actor.domains))
    rows, end = yield from ALIASES.rows(wanted, after, limit)
    return [{"address": row["address"], "target": row["target"]} for row in rows], end


def alias(actor: Actor, address: str) -> Work[dict[str, Any]]:
    """Return an alias with its targets; NotFound."""
    key = _own_address(actor, address, "alias")
    view = yield from _find_alias(key)
    if view is None:
        raise NotFound("there is no such alias: see `packetboat alias list`")
    return view


def add_alias(actor: Actor, address: str, targets: Sequence[str], now: int) -> Work[dict[str, Any]]:
    """Add targets to an alias, making it where there is none; `@domain` sets a domain's catch-all."""
    if address.startswith("@"):
        changed = yield from change_domain(actor, address[1:], {"catchall": _only(targets)}, None, now)
        return {"address": address, "targets": [changed["catchall"]], "added": 1, "version": changed["version"]}
    key = _own_address(actor, address, "domain of")
    work = _insert_targets(key, targets, now)
    added = yield from audited(actor, "alias.add", key, partial(_find_alias, key), work, now)
    return {**(yield from alias(actor, key)), "added": added}


def create_alias(actor: Actor, address: str, targets: Sequence[str], now: int) -> Work[dict[str, Any]]:
    """Make an alias; AlreadyThere."""
    key = _own_address(actor, address, "domain of")
    if (yield from _find_alias(key)) is not None:
        raise AlreadyThere(f"the alias {key} exists already")
    yield from add_alias(actor, key, targets, now)
    return (yield from alias(actor, key))


def change_alias(
    actor: Actor, address: str, targets: Sequence[str], version: str | None, now: int
) -> Work[dict[str, Any]]:
    """Replace an alias's targets; Changed if the version isn't current."""
    key = _own_address(actor, address, "alias")
    yield sql.lock_domain(name=key.rpartition("@")[2])
    _check_version((yield from alias(actor, address)), version)
    yield from audited(actor, "alias.change", key, partial(_find_alias, key), _replace(key, targets, now), now)
    return (yield from alias(actor, address))


def remove_alias(actor: Actor, address: str, target: str, version: str | None, now: int) -> Work[None]:
    """Remove one target of an alias, or the alias; NotFound."""
    if address.startswith("@"):
        yield from change_domain(actor, address[1:], {"catchall": ""}, version, now)
        return
    key = _own_address(actor, address, "alias")
    _check_version((yield from alias(actor, address)), version)
    state = partial(_find_alias, key)
    gone = yield from audited(actor, "alias.remove", key, state, admin.remove_alias(key, target), now)
    if not gone:
        raise NotFound(f"{address} has no target {target}")


def _insert_targets(key: str, targets: Sequence[str], now: int) -> Work[int]:
    if not 1 <= len(targets) <= MAX_TARGETS:
        raise ConfigurationError(f"an alias has 1 to {MAX_TARGETS} targets")
    return (yield from admin.add_alias(key, list(targets), now))


def _replace(key: str, targets: Sequence[str], now: int) -> Work[None]:
    yield from admin.remove_alias(key)
    yield from _insert_targets(key, targets, now)


def _find_alias(key: str) -> Work[dict[str, Any] | None]:
    rows: Rows = yield sql.alias_view(address=key)
    if not rows:
        return None
    view = {"address": key, "targets": [row["target"] for row in rows]}
    return {**view, "version": version_of(view)}


def _only(targets: Sequence[str]) -> str:
    if len(targets) != 1:
        raise ConfigurationError("a catch-all has exactly one target (which may be an alias)")
    return targets[0]


def _own_address(actor: Actor, address: str, what: str) -> str:
    parsed = admin.parse_own(address)
    actor.check(parsed.domain, f"{what} {address}")
    return parsed.key


def _check_quota(quota: int) -> None:
    if not 0 <= quota <= MAX_QUOTA:
        raise ConfigurationError(f"a quota is from 0 to {MAX_QUOTA}")


def _check_version(view: Mapping[str, Any], version: str | None) -> None:
    if version is not None and version != view["version"]:
        raise Changed("it was changed meanwhile: read it again")


__all__ = ["in_domains", "new_hash", "version_of"]
