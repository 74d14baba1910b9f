"""Where mail of an account or a domain goes: its mailboxes here, or a Maildir, an mbox, an LMTP server, a command."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from shared.db import Rows, Work, load
from shared.directory.directory import find_domain
from shared.errors import ConfigurationError
from shared.operations.actor import Actor, NotFound
from shared.operations.audit import audited
from shared.operations.condition import ANY, Condition
from shared.operations.directory import own_account, version_of
from shared.operations.paging import Filter, Listing, in_domains

DEFAULT_SECONDS = 60
MAX_SECONDS = 600
MAX_PLACE = 4096  # characters
MAX_WORDS = 100  # of a command

_ENDPOINT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.\-]+)):(\d{1,5})\Z")
_FIELD = re.compile(r"\{(\w*)\}")
FIELDS = ("address", "local", "domain")
TARGETS = Listing(
    "t.id, a.address, d.name AS domain, t.kind, t.place, t.seconds",
    "target t LEFT JOIN domain d ON d.id = t.domain_id LEFT JOIN account a ON a.id = t.account_id",
    ("t.id",),
)

sql = load("targets")


class Way(StrEnum):
    """The kinds of targets."""

    STORE = "store"
    MAILDIR = "maildir"
    MBOX = "mbox"
    LMTP = "lmtp"
    COMMAND = "command"


@dataclass(frozen=True, slots=True)
class Target:
    """Where mail goes; `seconds` is the time that one delivery may take."""

    way: Way
    place: str = ""
    seconds: int = DEFAULT_SECONDS

    def __str__(self) -> str:
        return f"{self.way}:{self.place}" if self.place else self.way.value

    def path(self, address: str) -> Path:
        """Return the Maildir or mbox of an account."""
        return Path(filled(self.place, address))

    @property
    def endpoint(self) -> tuple[str, int]:
        """The LMTP server's host and port."""
        found = _ENDPOINT.match(self.place)
        assert found is not None  # it was checked when it was set
        return found[1] or found[2], int(found[3])

    def command(self, address: str) -> list[str]:
        """Return the program and its arguments."""
        return [filled(word, address) for word in orjson.loads(self.place)]


STORE = Target(Way.STORE)


def make_target(way: Way, words: list[str], seconds: int = DEFAULT_SECONDS) -> Target:
    """Check what a person typed; ConfigurationError says what is wrong."""
    if way is Way.COMMAND:
        if not words or not words[0].startswith("/"):
            raise ConfigurationError("a command begins with the program's absolute path")
        place = orjson.dumps(words).decode()
    elif way is Way.STORE:
        place = ""
    elif len(words) != 1:
        raise ConfigurationError(f"{way} takes one path" if way is not Way.LMTP else "lmtp takes HOST:PORT")
    else:
        place = words[0]
    _check(way, place, seconds)
    return Target(way, place, seconds)


def filled(text: str, address: str) -> str:
    """Return a place with an account's names in it, which can't lead out of a folder."""
    local, _, domain = address.rpartition("@")
    values = {"address": _safe(address), "local": _safe(local), "domain": _safe(domain)}
    return _FIELD.sub(lambda found: values[found[1]], text)


def page_of_targets(actor: Actor, after: Sequence[Any] | None, limit: int) -> Work[tuple[list[dict[str, Any]], Any]]:
    """Return a page of targets, in the order in which they were set; all others have the store."""
    wanted = Filter()
    if actor.domains is not None:
        owned = sorted(actor.domains)
        wanted = in_domains(("a.address",), owned, wanted)
        wanted = Filter((f"{wanted.conditions[0]} OR d.name IN (:owned...)",), {**wanted.values, "owned": owned})
    rows, end = yield from TARGETS.rows(wanted, after, limit)
    return [view_of(row["address"] or row["domain"], _target(row)) for row in rows], end


def target_of(actor: Actor, whose: str) -> Work[dict[str, Any]]:
    """Return the target that was set for an account or a domain; NotFound."""
    owner = yield from _owner(actor, whose)
    view = yield from owner.state()
    if view is None:
        raise NotFound(f"no target was set for {owner.name}: see `packetboat target list`")
    return view


def put(actor: Actor, whose: str, target: Target, now: int, condition: Condition = ANY) -> Work[dict[str, Any]]:
    """Set the target of an account (its address) or a domain; Changed. `now` in microseconds."""
    owner = yield from _owner(actor, whose)
    condition.check((yield from owner.state()))
    yield from audited(actor, "target.set", owner.name, owner.state, owner.put(target, now), now)
    return view_of(owner.name, target)


def remove(actor: Actor, whose: str, now: int, condition: Condition = ANY) -> Work[dict[str, Any]]:
    """Forget the target of an account or a domain; return it. NotFound, Changed."""
    view = yield from target_of(actor, whose)
    condition.check(view)
    owner = yield from _owner(actor, whose)
    yield from audited(actor, "target.remove", owner.name, owner.state, owner.remove(), now)
    return view


def accounts_with_targets(addresses: Iterable[str]) -> Work[dict[str, Target]]:
    """Return the targets of accounts that may receive, by their addresses."""
    rows = yield sql.accounts(addresses=sorted(set(addresses)))
    found = yield from targets_of((row["id"], row["address"]) for row in rows)
    return {row["address"]: found[row["id"]] for row in rows if row["id"] in found}


def has_any() -> Work[bool]:
    """Say whether anybody has a target."""
    rows = yield sql.any_target()
    return bool(rows)


def targets_of(accounts: Iterable[tuple[int, str]]) -> Work[dict[int, Target]]:
    """Return the targets of accounts (id, address) that have one, or whose domain has."""
    wanted = {number: address.rpartition("@")[2].lower() for number, address in accounts}
    if not wanted:
        return {}
    rows: Rows = yield sql.targets_of(accounts=sorted(wanted), domains=sorted(set(wanted.values())))
    own = {row["account_id"]: _target(row) for row in rows if row["account_id"] is not None}
    common = {row["domain"]: _target(row) for row in rows if row["account_id"] is None}
    found = {number: own.get(number, common.get(domain, STORE)) for number, domain in wanted.items()}
    return {number: target for number, target in found.items() if target.way is not Way.STORE}


def _check(way: Way, place: str, seconds: int) -> None:
    if not 1 <= seconds <= MAX_SECONDS:
        raise ConfigurationError(f"a delivery takes 1 to {MAX_SECONDS} seconds")
    if len(place) > MAX_PLACE or "\0" in place:
        raise ConfigurationError(f"the place is longer than {MAX_PLACE} characters, or has a NUL in it")
    if way in (Way.MAILDIR, Way.MBOX) and not place.startswith("/"):
        raise ConfigurationError(f"{way} takes an absolute path, as the mda sees it")
    if way is Way.LMTP:
        found = _ENDPOINT.match(place)
        if found is None or not 0 < int(found[3]) < 65536:
            raise ConfigurationError("lmtp takes HOST:PORT or [ADDRESS]:PORT")
    elif unknown := [name for name in _FIELD.findall(place) if name not in FIELDS]:
        raise ConfigurationError(f"{{{unknown[0]}}} is unknown: use {{address}}, {{local}} or {{domain}}")


def _safe(text: str) -> str:
    """A local part may have slashes and dots in it, or be a switch for a program."""
    text = text.replace("%", "%25").replace("/", "%2F")
    return f"%{ord(text[0]):02X}{text[1:]}" if text[:1] in (".", "-") else text


def _target(row: Any) -> Target:
    return Target(Way(row["kind"]), row["place"], row["seconds"])


@dataclass(frozen=True, slots=True)
class _Owner:
    """An account (its address), or a domain, whose target it is."""

    name: str
    number: int
    is_account: bool

    def state(self) -> Work[dict[str, Any] | None]:
        if self.is_account:
            rows = yield sql.target_of_account(account_id=self.number)
        else:
            rows = yield sql.target_of_domain(domain_id=self.number)
        return view_of(self.name, _target(rows[0])) if rows else None

    def put(self, target: Target, now: int) -> Work[None]:
        yield from self.remove()
        values = {"kind": target.way.value, "place": target.place, "seconds": target.seconds, "now": now}
        if self.is_account:
            yield sql.set_of_account(account_id=self.number, **values)
        else:
            yield sql.set_of_domain(domain_id=self.number, **values)

    def remove(self) -> Work[None]:
        if self.is_account:
            yield sql.remove_of_account(account_id=self.number)
        else:
            yield sql.remove_of_domain(domain_id=self.number)


def _owner(actor: Actor, whose: str) -> Work[_Owner]:
    if "@" in whose:
        account = yield from own_account(actor, whose)
        return _Owner(account.address, account.id, True)
    actor.check(whose.lower(), f"domain {whose}")
    domain = yield from find_domain(whose.lower())
    if domain is None:
        raise NotFound(f"there is no domain {whose}: see `packetboat domain list`")
    return _Owner(domain.name, domain.id, False)


def view_of(whose: str, target: Target) -> dict[str, Any]:
    """Return a target as the API tells it."""
    words = orjson.loads(target.place) if target.way is Way.COMMAND else [target.place] if target.place else []
    view = {"whose": whose, "kind": target.way.value, "place": words, "seconds": target.seconds}
    return {**view, "version": version_of(view)}
