"""Where mail of an account or a domain goes: its mailboxes here, or a Maildir, an mbox, an LMTP server, a command."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from shared.db import Rows, Work, load
from shared.directory.admin import own_account
from shared.directory.directory import find_domain
from shared.errors import ConfigurationError
from shared.operations.actor import Actor
from shared.operations.audit import audited

DEFAULT_SECONDS = 60
MAX_SECONDS = 600
MAX_PLACE = 4096  # characters

_ENDPOINT = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.\-]+)):(\d{1,5})\Z")
_FIELD = re.compile(r"\{(\w*)\}")
FIELDS = ("address", "local", "domain")

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


def put(actor: Actor, account: str, domain: str, target: Target, now: int) -> Work[str]:
    """Set the target of an account or, if that is "", of a domain; return whose it is. `now` in microseconds."""
    if account:
        found = yield from own_account(account)
        work = _put_account(found.id, target, now)
        yield from audited(actor, "target.set", found.address, lambda: _of_account(found.id), work, now)
        return found.address
    number, name = yield from _domain(domain)
    work = _put_domain(number, target, now)
    yield from audited(actor, "target.set", name, lambda: _of_domain(number), work, now)
    return name


def remove(actor: Actor, account: str, domain: str, now: int) -> Work[str]:
    """Forget the target of an account or a domain; return whose it was."""
    if account:
        found = yield from own_account(account)
        work, name = _run(sql.remove_of_account(account_id=found.id)), found.address
        yield from audited(actor, "target.remove", name, lambda: _of_account(found.id), work, now)
        return name
    number, name = yield from _domain(domain)
    work = _run(sql.remove_of_domain(domain_id=number))
    yield from audited(actor, "target.remove", name, lambda: _of_domain(number), work, now)
    return name


def accounts_with_targets(addresses: Iterable[str]) -> Work[dict[str, Target]]:
    """Return the targets of accounts that may receive, by their addresses."""
    rows = yield sql.accounts(addresses=sorted(set(addresses)))
    found = yield from targets_of((row["id"], row["address"]) for row in rows)
    return {row["address"]: found[row["id"]] for row in rows if row["id"] in found}


def listing() -> Work[list[tuple[str, Target]]]:
    """Return whose targets there are: addresses first, domains behind."""
    rows = yield sql.all_targets()
    return sorted(((row["whose"], _target(row)) for row in rows), key=lambda pair: ("@" not in pair[0], pair[0]))


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


def _domain(name: str) -> Work[tuple[int, str]]:
    domain = yield from find_domain(name.lower())
    if domain is None:
        raise ConfigurationError(f"there is no domain {name}: see `packetboat domain list`")
    return domain.id, domain.name


def _put_account(account_id: int, target: Target, now: int) -> Work[None]:
    yield sql.remove_of_account(account_id=account_id)
    values = {"kind": target.way.value, "place": target.place, "seconds": target.seconds, "now": now}
    yield sql.set_of_account(account_id=account_id, **values)


def _put_domain(domain_id: int, target: Target, now: int) -> Work[None]:
    yield sql.remove_of_domain(domain_id=domain_id)
    values = {"kind": target.way.value, "place": target.place, "seconds": target.seconds, "now": now}
    yield sql.set_of_domain(domain_id=domain_id, **values)


def _of_account(account_id: int) -> Work[Any]:
    return _told((yield sql.target_of_account(account_id=account_id)))


def _of_domain(domain_id: int) -> Work[Any]:
    return _told((yield sql.target_of_domain(domain_id=domain_id)))


def _told(rows: Rows) -> Any:
    return str(_target(rows[0])) if rows else None


def _run(statement: Any) -> Work[None]:
    yield statement
