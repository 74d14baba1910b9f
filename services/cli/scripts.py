"""`packetboat sieve put|get|list|activate|…`: the scripts that are kept for accounts, domains and the system."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from services.cli.context import DEFAULT_DATA, DataOption, database_of
from services.cli.table import print_table
from shared.errors import ConfigurationError
from shared.operations.actor import Actor
from shared.operations.scripts import BadScript, Owner, Place, Scripts
from shared.operations.trace import show_time

T = TypeVar("T")

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
) -> None:
    """Keep a script, in place of one of the same name; exit status 1 and each error if it has any."""
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()

    async def work(scripts: Scripts, owner: Owner, actor: Actor) -> None:
        await scripts.put(owner, name, content, actor)
        if activate:
            await scripts.activate(owner, name, actor)

    try:
        _perform(data, (account, domain, system, place), work)
    except BadScript as error:
        for problem in error.errors:
            print(f"{file}:{problem.line}:{problem.column}: {problem.message}")
        raise typer.Exit(1) from None
    print(f"put {name}{', active' if activate else ''}")


def get(
    name: NameArgument,
    account: AccountOption = "",
    domain: DomainOption = "",
    system: SystemOption = "",
    place: PlaceOption = "",
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Print a script."""
    content = _perform(data, (account, domain, system, place), lambda scripts, owner, _: scripts.get(owner, name))
    sys.stdout.buffer.write(content)


def list_all(
    account: AccountOption = "",
    domain: DomainOption = "",
    system: SystemOption = "",
    place: PlaceOption = "",
    data: DataOption = DEFAULT_DATA,
) -> None:
    """List scripts, and tell what last went wrong when an account's scripts ran."""

    async def work(scripts: Scripts, owner: Owner, _: Actor) -> Any:
        error = await scripts.last_error(owner.account_id) if owner.account_id is not None else None
        return await scripts.listing(owner), error

    found, error = _perform(data, (account, domain, system, place), work)
    rows = [[s.name, "active" if s.active else "", str(s.size), show_time(s.changed_at)] for s in found]
    print_table(("script", "state", "octets", "changed"), rows) if rows else print("none")
    if error is not None:
        print(f"last error: {show_time(error.at)}, message {error.entry} was kept: {_clean(str(error))}")
        if error.count > 1:
            print(f"  {error.count} messages since the scripts were changed")


def activate(
    name: NameArgument,
    account: AccountOption = "",
    domain: DomainOption = "",
    system: SystemOption = "",
    place: PlaceOption = "",
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Make a script the active one."""
    _perform(data, (account, domain, system, place), lambda scripts, owner, actor: scripts.activate(owner, name, actor))
    print(f"active: {name}")


def deactivate(
    account: AccountOption = "",
    domain: DomainOption = "",
    system: SystemOption = "",
    place: PlaceOption = "",
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Have no script run."""
    _perform(data, (account, domain, system, place), lambda scripts, owner, actor: scripts.activate(owner, "", actor))
    print("none is active")


def rename(
    old: Annotated[str, typer.Argument(help="The script's name.")],
    new: Annotated[str, typer.Argument(help="Its new name.")],
    account: AccountOption = "",
    domain: DomainOption = "",
    system: SystemOption = "",
    place: PlaceOption = "",
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Give a script another name; it stays active."""
    _perform(data, (account, domain, system, place), lambda scripts, owner, by: scripts.rename(owner, old, new, by))
    print(f"renamed {old} to {new}")


def delete(
    name: NameArgument,
    account: AccountOption = "",
    domain: DomainOption = "",
    system: SystemOption = "",
    place: PlaceOption = "",
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Delete a script that isn't active."""
    _perform(data, (account, domain, system, place), lambda scripts, owner, actor: scripts.delete(owner, name, actor))
    print(f"deleted {name}")


def _perform(data: Path, whose: tuple[str, str, str, str], work: Callable[[Scripts, Owner, Actor], Awaitable[T]]) -> T:
    account, domain, system, place = whose
    if sum(map(bool, (account, domain, system))) != 1:
        raise ConfigurationError("say whose scripts: --account, --domain or --system before|after")
    where = Place.PERSONAL if account else _place(system or place or "before")

    async def run() -> T:
        async with database_of(data) as database:
            scripts, actor = Scripts(database), Actor(f"cli:{getpass.getuser()}")
            owner = await scripts.owner(actor, account=account, domain=domain, place=where)
            return await work(scripts, owner, actor)

    return asyncio.run(run())


def _place(text: str) -> Place:
    if text not in (Place.BEFORE, Place.AFTER):
        raise ConfigurationError(f"{text!r}: a script of a domain or the system runs before or after")
    return Place(text)


def _clean(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
