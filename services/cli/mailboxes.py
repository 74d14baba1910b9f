"""`packetboat mailbox|acl …`: the mailboxes of accounts, and whom they are shared with."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from redis.exceptions import RedisError

from services.cli.context import DEFAULT_DATA, DataOption, database_of, settings_for
from services.cli.table import print_table
from shared.db import Work
from shared.errors import ConfigurationError
from shared.imap.acl import ALL_RIGHTS
from shared.mailbox.errors import MailboxError
from shared.operations import mailboxes
from shared.operations.actor import Actor
from shared.queue.connection import connect as connect_redis
from shared.queue.notify import Publisher

T = TypeVar("T")

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
def mailbox_list(account: str, data: DataOption = DEFAULT_DATA) -> None:
    """List the mailboxes of an account."""
    rows = _look(data, lambda: mailboxes.listing(account))
    print_table(
        ["mailbox", "messages", "unseen", "octets", "use"],
        [
            [listed.name, str(box.messages), str(box.unseen), str(box.bytes), box.special_use]
            if (box := listed.mailbox) is not None
            else [listed.name, "", "", "", ""]
            for listed in rows
        ],
    )


@mailbox_app.command("create")
def mailbox_create(
    account: str,
    name: str,
    data: DataOption = DEFAULT_DATA,
    use: Annotated[list[str] | None, typer.Option(help="A special use like \\\\Archive; repeatable.")] = None,
) -> None:
    """Create a mailbox and the ones above it that it lacks."""
    _change(data, lambda actor, now: mailboxes.create(actor, account, name, use or [], now))
    print(f"created {name}")


@mailbox_app.command("rename")
def mailbox_rename(account: str, name: str, new_name: str, data: DataOption = DEFAULT_DATA) -> None:
    """Rename a mailbox with what is below it."""
    _change(data, lambda actor, now: mailboxes.rename(actor, account, name, new_name, now))
    print(f"renamed {name} to {new_name}")


@mailbox_app.command("delete")
def mailbox_delete(account: str, name: str, data: DataOption = DEFAULT_DATA) -> None:
    """Delete a mailbox with its messages; what is below it stays."""
    _change(data, lambda actor, now: mailboxes.delete(actor, account, name, now))
    print(f"deleted {name}")


@acl_app.command("list")
def acl_list(account: str, mailbox: str, data: DataOption = DEFAULT_DATA) -> None:
    """List who may do what in a mailbox."""
    print_table(["who", "rights"], _look(data, lambda: mailboxes.entries(account, mailbox)))


@acl_app.command("set")
def acl_set(
    account: str,
    mailbox: str,
    identifier: IdentifierArgument,
    rights: RightsArgument,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Set what somebody may do in a mailbox of an account."""
    _change(data, lambda actor, now: mailboxes.share(actor, account, mailbox, identifier, rights, now))
    print(f"{mailbox} of {account}: {identifier} {rights}")


@acl_app.command("remove")
def acl_remove(account: str, mailbox: str, identifier: IdentifierArgument, data: DataOption = DEFAULT_DATA) -> None:
    """Take away all that somebody may do in a mailbox of an account."""
    _change(data, lambda actor, now: mailboxes.share(actor, account, mailbox, identifier, "", now))
    print(f"{mailbox} of {account}: {identifier} removed")


def _look(data: Path, work: Callable[[], Work[T]]) -> T:
    async def run() -> T:
        async with database_of(data) as database:
            return await database.read(work)

    return _told(run)


def _change(data: Path, work: Callable[[Actor, int], Work[set[int]]]) -> None:
    """Do a change and wake the sessions that may see it, if Redis is there."""

    async def run() -> None:
        async with database_of(data) as database:
            actor = Actor(f"cli:{getpass.getuser()}")
            account_ids = await database.write(work, actor, time.time_ns() // 1000)
        redis = connect_redis(settings_for(data).redis)
        with contextlib.suppress(RedisError, OSError):
            await Publisher(redis).publish(account_ids)
        await redis.aclose()

    _told(run)


def _told(run: Callable[[], Coroutine[Any, Any, T]]) -> T:
    try:
        return asyncio.run(run())
    except (MailboxError, mailboxes.Unusable) as error:
        raise ConfigurationError(str(error)) from None
