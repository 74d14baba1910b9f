"""`packetboat domain|account|alias …`: the directory."""

from __future__ import annotations

import asyncio
import getpass
import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.context import DEFAULT_DATA, DataOption, database_of
from services.cli.table import print_table
from shared.address import AddressError, normalise_domain
from shared.db import Work
from shared.directory import admin
from shared.directory.passwords import hash_password, import_hash
from shared.errors import ConfigurationError

domain_app = typer.Typer(help="Domains whose mail is ours.", no_args_is_help=True)
account_app = typer.Typer(help="Accounts: who has mailboxes and logs in.", no_args_is_help=True)
alias_app = typer.Typer(help="Aliases and forwards; @DOMAIN is its catch-all.", no_args_is_help=True)

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def register(app: typer.Typer) -> None:
    """Add the groups."""
    app.add_typer(domain_app, name="domain")
    app.add_typer(account_app, name="account")
    app.add_typer(alias_app, name="alias")


@domain_app.command("add")
def domain_add(
    name: str,
    data: DataOption = DEFAULT_DATA,
    alias_of: Annotated[str, typer.Option(help="Share the local parts of this domain.")] = "",
) -> None:
    """Add a domain."""
    domain = _domain(name)
    added = _change(data, admin.add_domain, domain, _now(), _domain(alias_of) if alias_of else "")
    if not added:
        raise ConfigurationError(f"the domain {domain} exists already")
    print(f"added {domain}")


@domain_app.command("list")
def domain_list(data: DataOption = DEFAULT_DATA) -> None:
    """List the domains."""
    rows = _change(data, admin.list_domains)
    _table(
        ["domain", "accounts", "catch-all", "postmaster", "alias of"],
        [
            [r["name"], str(r["accounts"]), r["catchall"], r["postmaster"] or "first account", r["alias_of"] or ""]
            for r in rows
        ],
    )


@domain_app.command("remove")
def domain_remove(name: str, data: DataOption = DEFAULT_DATA) -> None:
    """Remove a domain that has no accounts and aliases any more."""
    _change(data, admin.remove_domain, _domain(name))
    print(f"removed {_domain(name)}")


@domain_app.command("postmaster")
def domain_postmaster(
    name: str,
    address: Annotated[str, typer.Argument(help="Empty: the first account.")] = "",
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Choose who gets a domain's postmaster mail."""
    _change(data, admin.set_postmaster, _domain(name), address)
    print(f"postmaster of {_domain(name)}: {address or 'its first account'}")


@account_app.command("add")
def account_add(
    address: str,
    data: DataOption = DEFAULT_DATA,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
    password_hash_stdin: Annotated[
        bool, typer.Option("--password-hash-stdin", help="Read a bcrypt, SHA512-CRYPT or argon2 hash from stdin.")
    ] = False,
    quota: Annotated[str, typer.Option(help="Octets, with K, M, G or T; 0 is none.")] = "0",
) -> None:
    """Create an account with its mailboxes; without a password option one is made and printed."""
    password_hash, shown = _new_hash(password_stdin, password_hash_stdin)
    _change(data, admin.add_account, address, password_hash, _now(), parse_size(quota))
    print(f"added {address}" + (f" with password {shown}" if shown else ""))


@account_app.command("list")
def account_list(
    domain: Annotated[str, typer.Argument(help="Only this domain's.")] = "", data: DataOption = DEFAULT_DATA
) -> None:
    """List the accounts."""
    accounts = _change(data, admin.list_accounts, _domain(domain) if domain else "")
    _table(
        ["account", "state", "messages", "used", "quota"],
        [
            [
                a.address,
                "enabled" if a.enabled else "disabled",
                str(a.used_messages),
                show_size(a.used_bytes),
                show_size(a.quota_bytes) if a.quota_bytes else "none",
            ]
            for a in accounts
        ],
    )


@account_app.command("passwd")
def account_passwd(
    address: str,
    data: DataOption = DEFAULT_DATA,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
    password_hash_stdin: Annotated[bool, typer.Option("--password-hash-stdin", help="Read a hash from stdin.")] = False,
) -> None:
    """Change an account's password; it is asked for on a terminal."""
    if not password_stdin and not password_hash_stdin and sys.stdin.isatty():
        password_hash, shown = hash_password(_ask_password()), ""
    else:
        password_hash, shown = _new_hash(password_stdin, password_hash_stdin)
    _change(data, admin.set_password, address, password_hash, _now())
    print(f"changed the password of {address}" + (f" to {shown}" if shown else ""))


@account_app.command("disable")
def account_disable(address: str, data: DataOption = DEFAULT_DATA) -> None:
    """Refuse an account's logins and mail; nothing of it is removed."""
    _change(data, admin.set_enabled, address, False)
    print(f"disabled {address}")


@account_app.command("enable")
def account_enable(address: str, data: DataOption = DEFAULT_DATA) -> None:
    """Undo `disable`."""
    _change(data, admin.set_enabled, address, True)
    print(f"enabled {address}")


@account_app.command("quota")
def account_quota(address: str, size: str, data: DataOption = DEFAULT_DATA) -> None:
    """Set an account's quota: octets with K, M, G or T; 0 is none."""
    _change(data, admin.set_quota, address, parse_size(size))
    print(f"quota of {address}: {size}")


@account_app.command("remove")
def account_remove(
    address: str,
    data: DataOption = DEFAULT_DATA,
    keep_mail: Annotated[bool, typer.Option("--keep-mail", help="Keep its mailboxes for the operator.")] = False,
    purge: Annotated[bool, typer.Option("--purge", help="Delete its mail for good.")] = False,
) -> None:
    """Remove an account; say what becomes of its mail."""
    if keep_mail == purge:
        raise ConfigurationError("say one of --keep-mail and --purge")
    _change(data, lambda: admin.remove_account(address, _now(), purge=purge))
    print(f"removed {address}, its mail is {'purged' if purge else 'kept'}")


@alias_app.command("add")
def alias_add(alias: str, targets: list[str], data: DataOption = DEFAULT_DATA) -> None:
    """Send an address's mail to other addresses; name ALIAS among them to keep a copy."""
    added = _change(data, admin.add_alias, alias, targets, _now())
    print(f"{alias}: {added} new target{'' if added == 1 else 's'}")


@alias_app.command("list")
def alias_list(
    domain: Annotated[str, typer.Argument(help="Only this domain's.")] = "", data: DataOption = DEFAULT_DATA
) -> None:
    """List the aliases and catch-alls."""
    rows = [[r["address"], r["target"]] for r in _change(data, admin.list_aliases, domain)]
    rows += [
        [f"@{r['name']}", r["catchall"]]
        for r in _change(data, admin.list_domains)
        if r["catchall"] and domain in ("", r["name"])
    ]
    _table(["alias", "target"], rows)


@alias_app.command("remove")
def alias_remove(
    alias: str,
    target: Annotated[str, typer.Argument(help="Only this target; otherwise the whole alias.")] = "",
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Remove an alias or one of its targets."""
    if not _change(data, admin.remove_alias, alias, target):
        raise ConfigurationError("there is no such alias: see `packetboat alias list`")
    print(f"removed {alias}" + (f" → {target}" if target else ""))


def parse_size(text: str) -> int:
    """Read `5G` and the like as octets (1024-based)."""
    number, unit = text.strip().upper().removesuffix("B"), ""
    if number and number[-1] in _UNITS:
        number, unit = number[:-1], number[-1]
    if not number.isdecimal():
        raise ConfigurationError(f"{text!r} is no size: say octets, or a number with K, M, G or T")
    return int(number) * _UNITS[unit]


def show_size(octets: int) -> str:
    """Write octets for people."""
    size = float(octets)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _new_hash(password_stdin: bool, hash_stdin: bool) -> tuple[str, str]:
    """Return the hash to store, and the password if it was made up here."""
    if password_stdin and hash_stdin:
        raise ConfigurationError("say one of --password-stdin and --password-hash-stdin")
    if hash_stdin:
        return import_hash(sys.stdin.readline()), ""
    if password_stdin:
        return hash_password(sys.stdin.readline().rstrip("\r\n")), ""
    made = secrets.token_urlsafe(12)
    return hash_password(made), made


def _ask_password() -> str:
    password = getpass.getpass("new password: ")
    if getpass.getpass("again: ") != password:
        raise ConfigurationError("the two don't match")
    return password


def _change(data: Path, work: Callable[..., Work[Any]], *args: Any) -> Any:
    async def run() -> Any:
        async with database_of(data) as database:
            return await database.write(work, *args)

    return asyncio.run(run())


def _domain(name: str) -> str:
    try:
        return normalise_domain(name)
    except AddressError as error:
        raise ConfigurationError(str(error)) from None


def _now() -> int:
    return time.time_ns() // 1000


def _table(columns: list[str], rows: list[list[str]]) -> None:
    if rows:
        print_table(columns, rows)
    else:
        print("none")
