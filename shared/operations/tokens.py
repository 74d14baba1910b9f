"""Bearer tokens of the API: scopes, domains, expiry; only a hash is stored."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.address import AddressError, normalise_domain
from shared.db import Database, Rows, Work, load
from shared.errors import ConfigurationError
from shared.operations import clock
from shared.operations.actor import Actor, AlreadyThere, NotFound
from shared.operations.audit import note

PREFIX = "pbt_"  # so that secret scanners know it
SECRET_BYTES = 32
MAX_TOKEN = 100  # characters of a presented token that are looked at
DAY = 86_400
DEFAULT_DAYS = 90
MAX_DAYS = 3650
USED_EVERY = 60 * 1_000_000  # microseconds between two notes of when a token was used
MAX_DOMAINS = 100

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,62}\Z")
sql = load("admin")


class Scope(StrEnum):
    """What a token may do."""

    DIRECTORY_READ = "directory:read"  # domains, accounts, aliases
    DIRECTORY_WRITE = "directory:write"
    QUEUE_READ = "queue:read"  # what waits, statistics, sites, workers
    QUEUE_WRITE = "queue:write"
    TRACE_READ = "trace:read"  # ledger, trace, rejected mail
    QUARANTINE_READ = "quarantine:read"  # mail that was kept back, its content too
    QUARANTINE_WRITE = "quarantine:write"
    MAIL_READ = "mail:read"  # Sieve scripts, retention, targets, mailboxes and their sharing
    MAIL_WRITE = "mail:write"
    TARGETS_WRITE = "targets:write"  # paths, servers and commands that mail goes to
    AUDIT_READ = "audit:read"
    TOKENS = "tokens"  # make and revoke tokens


STACK_WIDE = frozenset({Scope.TARGETS_WRITE, Scope.AUDIT_READ, Scope.TOKENS})  # never given for some domains


@dataclass(frozen=True, slots=True)
class Token:
    """A token that was presented and is good."""

    name: str
    scopes: frozenset[str]
    domains: frozenset[str] | None
    expires_at: float  # Unix seconds

    @property
    def actor(self) -> Actor:
        """Who it stands for."""
        return Actor(f"token:{self.name}", self.domains)


@dataclass(frozen=True, slots=True)
class NewToken:
    """What a token to be made is allowed; no domains: all."""

    name: str
    scopes: Sequence[str]
    domains: Sequence[str] = ()
    days: float = DEFAULT_DAYS


async def add_token(database: Database, actor: Actor, new: NewToken) -> dict[str, Any]:
    """Make a token; its secret is in what is returned, and nowhere else."""
    secret = PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    now = clock.now()
    view = await database.write(_add, actor, _checked(new), hash_token(secret), now)
    return {**view, "token": secret}


async def list_tokens(database: Database) -> list[dict[str, Any]]:
    """Return all tokens, without their secrets."""
    return [_view(row) for row in await database.read(_list)]


async def revoke_token(database: Database, actor: Actor, name: str) -> None:
    """End a token now; NotFound."""
    await database.write(_revoke, actor, name, clock.now())


async def find_token(database: Database, secret: str) -> Token | None:
    """Return the token of a secret unless it is revoked or expired."""
    if not secret.startswith(PREFIX) or len(secret) > MAX_TOKEN:
        return None
    now = clock.now()
    rows = await database.read(_find, hash_token(secret))
    if not rows or rows[0]["revoked_at"] is not None or rows[0]["expires_at"] <= now:
        return None
    row = rows[0]
    if row["used_at"] is None or row["used_at"] < now - USED_EVERY:
        await database.write_relaxed(_note_use, row["id"], now)
    domains = frozenset(row["domains"].split()) or None
    return Token(row["name"], frozenset(row["scopes"].split()), domains, row["expires_at"] / 1e6)


def hash_token(secret: str) -> str:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _checked(new: NewToken) -> NewToken:
    if not _NAME.match(new.name):
        raise ConfigurationError("a token's name has 1 to 63 letters, digits, '.', '-' and '_'")
    known = set(Scope)
    unknown = [scope for scope in new.scopes if scope not in known]
    if unknown or not new.scopes:
        raise ConfigurationError(f"scopes are {', '.join(sorted(known))}" + (f", not {unknown[0]}" if unknown else ""))
    if not 0 < new.days <= MAX_DAYS:
        raise ConfigurationError(f"a token is good for at most {MAX_DAYS} days")
    if len(new.domains) > MAX_DOMAINS:
        raise ConfigurationError(f"a token is for at most {MAX_DOMAINS} domains")
    try:
        domains = sorted({normalise_domain(domain) for domain in new.domains})
    except AddressError as error:
        raise ConfigurationError(str(error)) from None
    stack_wide = STACK_WIDE & set(new.scopes)
    if domains and stack_wide:
        raise ConfigurationError(f"{min(stack_wide)} is about all domains: it can't be given for some")
    return NewToken(new.name, sorted(set(new.scopes)), domains, new.days)


def _add(actor: Actor, new: NewToken, digest: str, now: int) -> Work[dict[str, Any]]:
    expires = now + int(new.days * DAY * 1_000_000)
    scopes, domains = " ".join(new.scopes), " ".join(new.domains)
    rows = yield sql.insert_token(
        name=new.name, hash=digest, scopes=scopes, domains=domains, now=now, expires_at=expires
    )
    if not rows:
        raise AlreadyThere(f"the token {new.name} exists already (revoked ones keep their names)")
    view = {
        "name": new.name, "scopes": list(new.scopes), "domains": list(new.domains),
        "created_at": now / 1e6, "expires_at": expires / 1e6, "used_at": None, "revoked_at": None,
    }  # fmt: skip
    yield from note(actor, "token.add", new.name, None, view, now)
    return view


def _list() -> Work[Rows]:
    rows = yield sql.tokens()
    return rows


def _revoke(actor: Actor, name: str, now: int) -> Work[None]:
    rows = yield sql.revoke_token(name=name, now=now)
    if not rows:
        raise NotFound(f"there is no token {name} that is still good")
    yield from note(actor, "token.revoke", name, {"revoked_at": None}, {"revoked_at": now / 1e6}, now)


def _find(digest: str) -> Work[Rows]:
    rows = yield sql.token_by_hash(hash=digest)
    return rows


def _note_use(number: int, now: int) -> Work[None]:
    yield sql.use_token(id=number, now=now)


def _view(row: Any) -> dict[str, Any]:
    times = ("created_at", "expires_at", "used_at", "revoked_at")
    return {
        "name": row["name"],
        "scopes": row["scopes"].split(),
        "domains": row["domains"].split(),
        **{name: row[name] / 1e6 if row[name] is not None else None for name in times},
    }
