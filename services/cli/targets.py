"""`packetboat target …`: where mail of accounts and domains goes instead of their mailboxes here."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.context import DEFAULT_DATA, DataOption
from services.cli.operator import UrlOption, everything, perform
from services.cli.table import print_table
from shared.errors import ConfigurationError
from shared.operations.targets import DEFAULT_SECONDS, MAX_SECONDS, Way, make_target

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
    url: UrlOption = "",
) -> None:
    """Send mail of an account or a domain elsewhere; `store` is its mailboxes here."""
    whose, target = _whose(account, domain), make_target(way, place or [], seconds)
    made = perform(data, url, lambda operator: operator.mail.put_target(whose, target))
    print(f"{made['whose']}: {target}")


@target_app.command("list")
def target_list(data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """List the targets that were set; all others have the store."""
    found = perform(data, url, lambda operator: everything(operator.mail.targets))
    found.sort(key=lambda one: ("@" not in one["whose"], one["whose"]))
    rows = [[one["whose"], one["kind"], " ".join(one["place"]), str(one["seconds"])] for one in found]
    print_table(["whose", "kind", "place", "seconds"], rows) if rows else print("none")


@target_app.command("remove")
def target_remove(
    account: AccountOption = "", domain: DomainOption = "", data: DataOption = DEFAULT_DATA, url: UrlOption = ""
) -> None:
    """Forget the target of an account or a domain."""
    whose = _whose(account, domain)
    gone = perform(data, url, lambda operator: operator.mail.remove_target(whose))
    print(f"{gone['whose']}: removed")


def _whose(account: str, domain: str) -> str:
    if bool(account) == bool(domain):
        raise ConfigurationError("name an --account or a --domain")
    if account and "@" not in account:
        raise ConfigurationError(f"{account} is no address")
    return account or domain
