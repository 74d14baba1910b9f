"""`packetboat domain|account|alias …`: the directory, here or with --url elsewhere."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated, Any

import typer

from services.cli.context import DEFAULT_DATA, DEMO_DOMAIN, DataOption
from services.cli.operator import AnyOperator, UrlOption, everything, perform
from services.cli.table import print_table
from shared.directory.passwords import import_hash, new_password
from shared.errors import ConfigurationError
from shared.operations.directory import own_name
from shared.operations.trace import show_time

domain_app = typer.Typer(help="Domains whose mail is ours.", no_args_is_help=True)
account_app = typer.Typer(help="Accounts: who has mailboxes and logs in.", no_args_is_help=True)
app_password_app = typer.Typer(help="Passwords for single programs.", no_args_is_help=True)
alias_app = typer.Typer(help="Aliases and forwards; @DOMAIN is its catch-all.", no_args_is_help=True)

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")]
HashStdin = Annotated[
    bool, typer.Option("--password-hash-stdin", help="Read a bcrypt, SHA512-CRYPT or argon2 hash from stdin.")
]


def register(app: typer.Typer) -> None:
    """Add the groups."""
    account_app.add_typer(app_password_app, name="app-password")
    app.add_typer(domain_app, name="domain")
    app.add_typer(account_app, name="account")
    app.add_typer(alias_app, name="alias")


@domain_app.command("add")
def domain_add(
    name: str,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    alias_of: Annotated[str, typer.Option(help="Share the local parts of this domain.")] = "",
) -> None:
    """Add a domain."""
    added = perform(data, url, lambda operator: operator.add_domain(name, alias_of))
    print(f"added {added['name']}")


@domain_app.command("list")
def domain_list(data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """List the domains."""
    rows = perform(data, url, lambda operator: everything(operator.domains))
    _table(
        ["domain", "accounts", "catch-all", "postmaster", "alias of"],
        [
            [r["name"], str(r["accounts"]), r["catchall"], r["postmaster"] or "first account", r["alias_of"]]
            for r in rows
        ],
    )


@domain_app.command("remove")
def domain_remove(name: str, data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """Remove a domain that has no accounts and aliases any more."""
    perform(data, url, lambda operator: operator.remove_domain(name))
    print(f"removed {own_name(name)}")


@domain_app.command("postmaster")
def domain_postmaster(
    name: str,
    address: Annotated[str, typer.Argument(help="Empty: the first account.")] = "",
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
) -> None:
    """Choose who gets a domain's postmaster mail."""
    perform(data, url, lambda operator: operator.change_domain(name, {"postmaster": address}))
    print(f"postmaster of {own_name(name)}: {address or 'its first account'}")


@domain_app.command("records")
def domain_records(
    name: str,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    check: Annotated[bool, typer.Option("--check", help="Ask DNS; exit 1 if a required one is wrong.")] = False,
) -> None:
    """List the DNS records that a domain should publish."""
    rows = perform(data, url, lambda one: one.check_records(name) if check else one.records(name))
    columns = ["name", "type", "value", "why"]
    cells = [[row["name"], row["type"], row["value"], row["why"]] for row in rows]
    if check:
        columns.insert(0, "state")
        cells = [
            [row["state"], *cell[:3], cell[3] + (f"; DNS has {', '.join(row['found'])}" if row["found"] else "")]
            for row, cell in zip(rows, cells, strict=True)
        ]
    _table(columns, cells)
    if any(row["value"].endswith(f".{DEMO_DOMAIN}.") for row in rows) and own_name(name) != DEMO_DOMAIN:
        hint = "set PACKETBOAT_HOSTNAME (or hostname in packetboat.toml) and start again"
        print(f"the server calls itself by a name that isn't in DNS: {hint}", file=sys.stderr)
    if check and any(row["required"] and row["state"] != "ok" for row in rows):
        raise typer.Exit(1)


@account_app.command("add")
def account_add(
    address: str,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    password_stdin: PasswordStdin = False,
    password_hash_stdin: HashStdin = False,
    quota: Annotated[str, typer.Option(help="Octets, with K, M, G or T; 0 is none.")] = "0",
) -> None:
    """Create an account with its mailboxes; without a password option one is made and printed."""
    secret, shown = _new_secret(password_stdin, password_hash_stdin)
    size = parse_size(quota)
    perform(data, url, lambda operator: operator.add_account(address, **secret, quota=size))
    print(f"added {address}" + (f" with password {shown}" if shown else ""))


@account_app.command("list")
def account_list(
    domain: Annotated[str, typer.Argument(help="Only this domain's.")] = "",
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
) -> None:
    """List the accounts."""
    accounts = perform(data, url, lambda one: everything(lambda cursor, limit: one.accounts(domain, cursor, limit)))
    _table(
        ["account", "state", "messages", "used", "quota", "last login"],
        [
            [
                a["address"],
                "enabled" if a["enabled"] else "disabled",
                str(a["used_messages"]),
                show_size(a["used_bytes"]),
                _quota(a),
                show_time(int(a["last_login"] * 1e6))[:16] if a["last_login"] else "never",
            ]
            for a in accounts
        ],
    )


@account_app.command("passwd")
def account_passwd(
    address: str,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    password_stdin: PasswordStdin = False,
    password_hash_stdin: HashStdin = False,
) -> None:
    """Change an account's password; it is asked for on a terminal."""
    if not password_stdin and not password_hash_stdin and sys.stdin.isatty():
        secret, shown = {"password": _ask_password()}, ""
    else:
        secret, shown = _new_secret(password_stdin, password_hash_stdin)
    perform(data, url, lambda operator: operator.change_account(address, secret))
    print(f"changed the password of {address}" + (f" to {shown}" if shown else ""))


@account_app.command("disable")
def account_disable(address: str, data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """Refuse an account's logins and mail; nothing of it is removed."""
    perform(data, url, lambda operator: operator.change_account(address, {"enabled": False}))
    print(f"disabled {address}")


@account_app.command("enable")
def account_enable(address: str, data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """Undo `disable`."""
    perform(data, url, lambda operator: operator.change_account(address, {"enabled": True}))
    print(f"enabled {address}")


@account_app.command("quota")
def account_quota(
    address: str,
    size: str,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    messages: Annotated[int | None, typer.Option(min=0, help="How many messages there may be; 0 is no limit.")] = None,
) -> None:
    """Set an account's quota: octets with K, M, G or T; 0 is none."""
    changes = {"quota_bytes": parse_size(size), "quota_messages": messages}
    perform(data, url, lambda operator: operator.change_account(address, changes))
    print(f"quota of {address}: {size}" + ("" if messages is None else f", {messages} messages"))


@account_app.command("remove")
def account_remove(
    address: str,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    keep_mail: Annotated[bool, typer.Option("--keep-mail", help="Keep its mailboxes for the operator.")] = False,
    purge: Annotated[bool, typer.Option("--purge", help="Delete its mail for good.")] = False,
) -> None:
    """Remove an account; say what becomes of its mail."""
    if keep_mail == purge:
        raise ConfigurationError("say one of --keep-mail and --purge")
    perform(data, url, lambda operator: operator.remove_account(address, purge=purge))
    print(f"removed {address}, its mail is {'purged' if purge else 'kept'}")


@app_password_app.command("add")
def app_password_add(
    address: str,
    name: str,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    password_stdin: PasswordStdin = False,
    password_hash_stdin: HashStdin = False,
) -> None:
    """Add a password for one program; without an option one is made and printed."""
    secret, shown = _new_secret(password_stdin, password_hash_stdin)
    password, stored = secret.get("password"), secret.get("password_hash")
    perform(data, url, lambda operator: operator.add_app_password(address, name, password, stored))
    print(f"added app password {name} of {address}" + (f": {shown}" if shown else ""))


@app_password_app.command("list")
def app_password_list(address: str, data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """List an account's app passwords."""
    account = perform(data, url, lambda operator: operator.account(address))
    rows = [[one["name"], show_time(int(one["created_at"] * 1e6))] for one in account["app_passwords"]]
    _table(["app password", "made"], rows)


@app_password_app.command("remove")
def app_password_remove(address: str, name: str, data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """Remove an app password: its program is out at once."""
    perform(data, url, lambda operator: operator.remove_app_password(address, name))
    print(f"removed app password {name} of {address}")


@alias_app.command("add")
def alias_add(alias: str, targets: list[str], data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """Send an address's mail to other addresses; name ALIAS among them to keep a copy."""
    added = perform(data, url, lambda operator: operator.add_alias(alias, targets))["added"]
    print(f"{alias}: {added} new target{'' if added == 1 else 's'}")


@alias_app.command("list")
def alias_list(
    domain: Annotated[str, typer.Argument(help="Only this domain's.")] = "",
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
) -> None:
    """List the aliases and catch-alls."""

    async def read(operator: AnyOperator) -> list[list[str]]:
        aliases = await everything(lambda cursor, limit: operator.aliases(domain, cursor, limit))
        domains = await everything(operator.domains)
        named = "" if not domain else own_name(domain)
        catchalls = [d for d in domains if d["catchall"] and named in ("", d["name"])]
        return [[a["address"], a["target"]] for a in aliases] + [[f"@{d['name']}", d["catchall"]] for d in catchalls]

    _table(["alias", "target"], perform(data, url, read))


@alias_app.command("remove")
def alias_remove(
    alias: str,
    target: Annotated[str, typer.Argument(help="Only this target; otherwise the whole alias.")] = "",
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
) -> None:
    """Remove an alias or one of its targets."""
    perform(data, url, lambda operator: operator.remove_alias(alias, target))
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


def _quota(account: dict[str, Any]) -> str:
    octets, messages = account["quota_bytes"], account["quota_messages"]
    limits = [show_size(octets)] if octets else []
    return ", ".join(limits + ([f"{messages} messages"] if messages else [])) or "none"


def _new_secret(password_stdin: bool, hash_stdin: bool) -> tuple[dict[str, Any], str]:
    """Return the password or hash to set, and the password if it was made up here."""
    if password_stdin and hash_stdin:
        raise ConfigurationError("say one of --password-stdin and --password-hash-stdin")
    if hash_stdin:
        return {"password_hash": import_hash(sys.stdin.readline())}, ""
    if password_stdin:
        return {"password": sys.stdin.readline().rstrip("\r\n")}, ""
    made = new_password()
    return {"password": made}, made


def _ask_password() -> str:
    password = getpass.getpass("new password: ")
    if getpass.getpass("again: ") != password:
        raise ConfigurationError("the two don't match")
    return password


def _table(columns: list[str], rows: list[list[str]]) -> None:
    if rows:
        print_table(columns, rows)
    else:
        print("none")
