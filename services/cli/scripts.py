"""`packetboat sieve put|get|list|activate|…`: the scripts that are kept for accounts, domains and the system."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.cli.context import DEFAULT_DATA, DataOption
from services.cli.operator import UrlOption, perform
from services.cli.table import print_table
from shared.errors import ConfigurationError
from shared.message.text import printable
from shared.operations.kept_scripts import Change, Whose
from shared.operations.scripts import BadScript, check_script
from shared.operations.trace import show_time

AccountOption = Annotated[str, typer.Option("--account", help="The scripts of this account.")]
DomainOption = Annotated[str, typer.Option("--domain", help="The scripts around those of this domain's accounts.")]
SystemOption = Annotated[
    str, typer.Option("--system", metavar="before|after", help="The scripts around those of all accounts.")
]
PlaceOption = Annotated[
    str, typer.Option("--place", metavar="before|after", help="Where a domain's script runs; before by default.")
]
NameArgument = Annotated[str, typer.Argument(help="The script's name.")]


def register(group: typer.Typer) -> None:
    """Add the commands."""
    group.command("put")(put)
    group.command("get")(get)
    group.command("list")(list_all)
    group.command("status")(list_all)
    group.command("activate")(activate)
    group.command("deactivate")(deactivate)
    group.command("rename")(rename)
    group.command("delete")(delete)


def put(
    name: NameArgument,
    file: Annotated[str, typer.Argument(help="A file with the script; - is standard input.")],
    account: AccountOption = "",
    domain: DomainOption = "",
    system: SystemOption = "",
    place: PlaceOption = "",
    activate: Annotated[bool, typer.Option("--activate", help="Make it the active one, too.")] = False,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
) -> None:
    """Keep a script, in place of one of the same name; exit status 1 and each error if it has any."""
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    whose = _whose(account, domain, system, place)
    try:
        asyncio.run(check_script(content))
    except BadScript as error:
        for problem in error.errors:
            print(f"{file}:{problem.line}:{problem.column}: {problem.message}")
        raise typer.Exit(1) from None
    perform(data, url, lambda operator: operator.mail.put_script(whose, name, content, True if activate else None))
    print(f"put {name}{', active' if activate else ''}")


def get(
    name: NameArgument,
    account: AccountOption = "",
    domain: DomainOption = "",
    system: SystemOption = "",
    place: PlaceOption = "",
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
) -> None:
    """Print a script."""
    whose = _whose(account, domain, system, place)
    script = perform(data, url, lambda operator: operator.mail.script(whose, name))
    sys.stdout.buffer.write(script["content"].encode())


def list_all(
    account: AccountOption = "",
    domain: DomainOption = "",
    system: SystemOption = "",
    place: PlaceOption = "",
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
) -> None:
    """List scripts, and tell what last went wrong when an account's scripts ran."""

    whose = _whose(account, domain, system, place)
    found = perform(data, url, lambda operator: operator.mail.scripts(whose))
    rows = [
        [one["name"], "active" if one["active"] else "", str(one["size"]), show_time(int(one["changed_at"] * 1e6))]
        for one in found["scripts"]
    ]
    print_table(("script", "state", "octets", "changed"), rows) if rows else print("none")
    error = found["last_error"]
    if error is not None:
        moment = show_time(int(error["at"] * 1e6))
        print(f"last error: {moment}, message {error['entry']} was kept: {printable(error['error'])}")
        if error["count"] > 1:
            print(f"  {error['count']} messages since the scripts were changed")


def activate(
    name: NameArgument,
    account: AccountOption = "",
    domain: DomainOption = "",
    system: SystemOption = "",
    place: PlaceOption = "",
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
) -> None:
    """Make a script the active one."""
    whose = _whose(account, domain, system, place)
    perform(data, url, lambda operator: operator.mail.change_script(whose, name, Change(active=True)))
    print(f"active: {name}")


def deactivate(
    account: AccountOption = "",
    domain: DomainOption = "",
    system: SystemOption = "",
    place: PlaceOption = "",
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
) -> None:
    """Have no script run."""
    whose = _whose(account, domain, system, place)
    perform(data, url, lambda operator: operator.mail.deactivate_scripts(whose))
    print("none is active")


def rename(
    old: Annotated[str, typer.Argument(help="The script's name.")],
    new: Annotated[str, typer.Argument(help="Its new name.")],
    account: AccountOption = "",
    domain: DomainOption = "",
    system: SystemOption = "",
    place: PlaceOption = "",
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
) -> None:
    """Give a script another name; it stays active."""
    whose = _whose(account, domain, system, place)
    perform(data, url, lambda operator: operator.mail.change_script(whose, old, Change(new)))
    print(f"renamed {old} to {new}")


def delete(
    name: NameArgument,
    account: AccountOption = "",
    domain: DomainOption = "",
    system: SystemOption = "",
    place: PlaceOption = "",
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
) -> None:
    """Delete a script that isn't active."""
    whose = _whose(account, domain, system, place)
    perform(data, url, lambda operator: operator.mail.delete_script(whose, name))
    print(f"deleted {name}")


def _whose(account: str, domain: str, system: str, place: str) -> Whose:
    if sum(map(bool, (account, domain, system))) != 1:
        raise ConfigurationError("say whose scripts: --account, --domain or --system before|after")
    return Whose(account) if account else Whose("", domain, system or place or "before")
