"""Changes of the directory, for the CLI and the API: each a transaction that a caller runs.

    await database.write(admin.add_domain, "example.org", now)

A mistake is a ConfigurationError that says what to do.
"""

from __future__ import annotations

from shared.address import Address, AddressError, parse_address
from shared.db import Rows, Work
from shared.directory.directory import find_domain, sql
from shared.directory.model import Account, Domain
from shared.errors import ConfigurationError
from shared.mailbox.acl import sql as acl_sql
from shared.mailbox.mailboxes import create_default_mailboxes

DEFAULT_CREDENTIAL = "password"


def parse_own(text: str) -> Address:
    """Parse an address that a person typed; ConfigurationError says what is wrong."""
    try:
        return parse_address(text)
    except AddressError as error:
        raise ConfigurationError(f"{text!r} is no mail address: {error}") from None


def add_domain(name: str, now: int, alias_of: str = "") -> Work[bool]:
    """Add a domain (`now` in microseconds); False if it was there already."""
    target = yield from _alias_target(alias_of)
    rows = yield sql.insert_domain(name=name, alias_of=target, now=now)
    return bool(rows)


def list_domains() -> Work[Rows]:
    """Return rows with name, alias_of, catchall, postmaster, accounts."""
    rows = yield sql.domains()
    return rows


def remove_domain(name: str) -> Work[None]:
    """Remove a domain that nothing needs any more."""
    domain = yield from _own_domain(name)
    used = (yield sql.domain_in_use(id=domain.id))[0]
    parts = [f"{used[kind]} {kind}" for kind in ("accounts", "aliases", "domains") if used[kind]]
    if parts:
        raise ConfigurationError(
            f"{name} still has {', '.join(parts)} (removed accounts with kept mail count): remove them first"
        )
    yield sql.delete_domain(id=domain.id)


def set_postmaster(domain: str, target: str) -> Work[None]:
    """Choose who gets a domain's postmaster mail; "" is its first account."""
    yield from _own_domain(domain)
    yield sql.set_postmaster(name=domain, target=parse_own(target).key if target else "")


def add_account(address: str, password_hash: str, now: int, quota: int = 0) -> Work[int]:
    """Create an account with its default mailboxes; return its id."""
    parsed = parse_own(address)
    domain = yield from _own_domain(parsed.domain)
    if domain.alias_of:
        raise ConfigurationError(f"{domain.name} is an alias of {domain.alias_of}: add the account there")
    rows = yield sql.insert_account(domain_id=domain.id, address=parsed.key, quota=quota, now=now)
    if not rows:
        raise ConfigurationError(f"the account {parsed.key} exists already")
    account = int(rows[0]["id"])
    yield sql.set_credential(account_id=account, name=DEFAULT_CREDENTIAL, hash=password_hash, now=now)
    yield from create_default_mailboxes(account, now)
    return account


def list_accounts(domain: str = "") -> Work[list[Account]]:
    """Return the accounts of a domain, or all."""
    rows = yield sql.accounts(domain=domain)
    return [Account.from_row(row) for row in rows]


def set_password(address: str, password_hash: str, now: int) -> Work[None]:
    """Replace an account's password."""
    account = yield from own_account(address)
    yield sql.set_credential(account_id=account.id, name=DEFAULT_CREDENTIAL, hash=password_hash, now=now)


def set_enabled(address: str, enabled: bool) -> Work[None]:
    """Let an account log in and receive, or not."""
    account = yield from own_account(address)
    yield sql.set_enabled(address=account.address, enabled=int(enabled))


def set_quota(address: str, quota: int) -> Work[None]:
    """Set an account's quota in octets; 0 is none."""
    account = yield from own_account(address)
    yield sql.set_quota(address=account.address, quota=quota)


def set_quota_messages(address: str, quota: int) -> Work[None]:
    """Set how many messages an account may have; 0 is no limit."""
    account = yield from own_account(address)
    yield sql.set_quota_messages(address=account.address, quota=quota)


def remove_account(address: str, now: int, *, purge: bool) -> Work[None]:
    """Remove an account; its mail is purged, or kept in SQL under a name that can't be written to."""
    account = yield from own_account(address)
    yield sql.delete_credentials(account_id=account.id)
    yield acl_sql.forget_identifier(identifier=account.address)
    if not purge:
        yield sql.retire_account(id=account.id, kept=f"removed-{now}-{account.address}", now=now)
        return
    yield sql.delete_account_messages(id=account.id)
    yield sql.delete_account_mailboxes(id=account.id)
    yield sql.delete_account(id=account.id)


def add_alias(address: str, targets: list[str], now: int) -> Work[int]:
    """Add targets to an alias; `@domain` sets the domain's catch-all. Return how many were new."""
    if address.startswith("@"):
        yield from _set_catchall(address[1:], targets)
        return 1
    parsed = parse_own(address)
    domain = yield from _own_domain(parsed.domain)
    added = 0
    for target in targets:
        rows = yield sql.insert_alias(domain_id=domain.id, address=parsed.key, target=str(parse_own(target)), now=now)
        added += len(rows)
    return added


def list_aliases(domain: str = "") -> Work[Rows]:
    """Return rows with address and target."""
    rows = yield sql.aliases(domain=domain)
    return rows


def remove_alias(address: str, target: str = "") -> Work[int]:
    """Remove one target of an alias, or the alias; return how many rows went."""
    if address.startswith("@"):
        domain = yield from _own_domain(address[1:])
        yield sql.set_catchall(name=domain.name, target="")
        return int(bool(domain.catchall))
    normal = str(parse_own(target)) if target else ""
    rows = yield sql.delete_alias(address=parse_own(address).key, target=normal)
    return len(rows)


def _set_catchall(name: str, targets: list[str]) -> Work[None]:
    if len(targets) != 1:
        raise ConfigurationError("a catch-all has exactly one target (which may be an alias)")
    yield from _own_domain(name)
    yield sql.set_catchall(name=name, target=parse_own(targets[0]).key)


def _alias_target(name: str) -> Work[int | None]:
    if not name:
        return None
    domain = yield from _own_domain(name)
    if domain.alias_of:
        raise ConfigurationError(f"{name} is itself an alias of {domain.alias_of}: name that one")
    return domain.id


def _own_domain(name: str) -> Work[Domain]:
    domain = yield from find_domain(name)
    if domain is None:
        raise ConfigurationError(f"there is no domain {name}: `packetboat domain add {name}` first")
    return domain


def own_account(address: str) -> Work[Account]:
    """Return an account that there has to be."""
    rows = yield sql.account_by_address(address=parse_own(address).key)
    if not rows:
        raise ConfigurationError(f"there is no account {address}: see `packetboat account list`")
    return Account.from_row(rows[0])
