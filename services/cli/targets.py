"""`packetboat target …`: where mail of accounts and domains goes instead of their mailboxes here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from services.cli.context import DEFAULT_DATA, DataOption, database_of
from services.cli.operator import user
from services.cli.table import print_table
from shared.db import Work
from shared.errors import ConfigurationError
from shared.operations import targets
from shared.operations.actor import Actor
from shared.operations.targets import DEFAULT_SECONDS, MAX_SECONDS, Way, make_target

T = TypeVar("T")

target_app = typer.Typer(help="Where mail goes: mailboxes here, a Maildir, an mbox, LMTP, a command.")

AccountOption = Annotated[str, typer.Option(help="The account's address.")]
DomainOption = Annotated[str, typer.Option(help="All accounts of this domain that have no target of their own.")]
PlaceArgument = Annotated[
    list[str] | None,
    typer.Argument(
        help="A path, HOST:PORT, or a program with its arguments (after --); {address}, {local} and {domain} are the "
        "account's."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(target_app, name="target", no_args_is_help=True)


@target_app.command("set")
def target_set(
    way: Way,
    place: PlaceArgument = None,
    account: AccountOption = "",
    domain: DomainOption = "",
    seconds: Annotated[
        int, typer.Option(min=1, max=MAX_SECONDS, help="Seconds that one delivery may take.")
    ] = DEFAULT_SECONDS,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Send mail of an account or a domain elsewhere; `store` is its mailboxes here."""
    _check(account, domain)
    target = make_target(way, place or [], seconds)
    whose = _write(data, lambda actor, now: targets.put(actor, account, domain, target, now))
    print(f"{whose}: {target}")


@target_app.command("list")
def target_list(data: DataOption = DEFAULT_DATA) -> None:
    """List the targets that were set; all others have the store."""

    async def run() -> list[tuple[str, targets.Target]]:
        async with database_of(data) as database:
            return await database.read(targets.listing)

    found = asyncio.run(run())
    print_table(
        ["whose", "kind", "place", "seconds"],
        [[whose, target.way.value, target.place, str(target.seconds)] for whose, target in found],
    )


@target_app.command("remove")
def target_remove(account: AccountOption = "", domain: DomainOption = "", data: DataOption = DEFAULT_DATA) -> None:
    """Forget the target of an account or a domain."""
    _check(account, domain)
    whose = _write(data, lambda actor, now: targets.remove(actor, account, domain, now))
    print(f"{whose}: removed")


def _check(account: str, domain: str) -> None:
    if bool(account) == bool(domain):
        raise ConfigurationError("name an --account or a --domain")


def _write(data: Path, work: Callable[[Actor, int], Work[T]]) -> T:
    async def run() -> T:
        async with database_of(data) as database:
            return await database.write(work, Actor(f"cli:{user()}"), time.time_ns() // 1000)

    return asyncio.run(run())
