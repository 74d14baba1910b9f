"""`packetboat mailbox|acl …`: the mailboxes of accounts, and whom they are shared with."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.context import DEFAULT_DATA, DataOption
from services.cli.operator import UrlOption, perform
from services.cli.table import print_table
from shared.imap.acl import ALL_RIGHTS

mailbox_app = typer.Typer(help="The mailboxes of an account.", no_args_is_help=True)
acl_app = typer.Typer(help="Whom a mailbox is shared with, and what they may do.", no_args_is_help=True)

RightsArgument = Annotated[
    str, typer.Argument(help=f"Letters of {ALL_RIGHTS} (RFC 4314); +… adds some, -… takes some away (after --).")
]
IdentifierArgument = Annotated[
    str,
    typer.Argument(help="An address (an alias: whom it leads to), @DOMAIN or anyone; -… takes away (after --)."),
]


def register(app: typer.Typer) -> None:
    """Add the groups."""
    app.add_typer(mailbox_app, name="mailbox")
    app.add_typer(acl_app, name="acl")


@mailbox_app.command("list")
def mailbox_list(account: str, data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """List the mailboxes of an account."""
    rows = [
        [one["name"], str(one["messages"]), str(one["unseen"]), str(one["bytes"]), one["special_use"]]
        if one["exists"]
        else [one["name"], "", "", "", ""]
        for one in perform(data, url, lambda operator: operator.mail.mailboxes(account))
    ]
    print_table(["mailbox", "messages", "unseen", "octets", "use"], rows)


@mailbox_app.command("create")
def mailbox_create(
    account: str,
    name: str,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    use: Annotated[list[str] | None, typer.Option(help="A special use like \\\\Archive; repeatable.")] = None,
) -> None:
    """Create a mailbox and the ones above it that it lacks."""
    perform(data, url, lambda operator: operator.mail.create_mailbox(account, name, use or []))
    print(f"created {name}")


@mailbox_app.command("rename")
def mailbox_rename(
    account: str, name: str, new_name: str, data: DataOption = DEFAULT_DATA, url: UrlOption = ""
) -> None:
    """Rename a mailbox with what is below it."""
    perform(data, url, lambda operator: operator.mail.rename_mailbox(account, name, new_name))
    print(f"renamed {name} to {new_name}")


@mailbox_app.command("delete")
def mailbox_delete(account: str, name: str, data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """Delete a mailbox with its messages; what is below it stays."""
    perform(data, url, lambda operator: operator.mail.delete_mailbox(account, name))
    print(f"deleted {name}")


@acl_app.command("list")
def acl_list(account: str, mailbox: str, data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """List who may do what in a mailbox."""
    rows = perform(data, url, lambda operator: operator.mail.rights(account, mailbox))
    print_table(["who", "rights"], [[one["identifier"], one["rights"]] for one in rows])


@acl_app.command("set")
def acl_set(
    account: str,
    mailbox: str,
    identifier: IdentifierArgument,
    rights: RightsArgument,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
) -> None:
    """Set what somebody may do in a mailbox of an account."""
    perform(data, url, lambda operator: operator.mail.share(account, mailbox, identifier, rights))
    print(f"{mailbox} of {account}: {identifier} {rights}")


@acl_app.command("remove")
def acl_remove(
    account: str, mailbox: str, identifier: IdentifierArgument, data: DataOption = DEFAULT_DATA, url: UrlOption = ""
) -> None:
    """Take away all that somebody may do in a mailbox of an account."""
    perform(data, url, lambda operator: operator.mail.share(account, mailbox, identifier, ""))
    print(f"{mailbox} of {account}: {identifier} removed")
