"""`packetboat retention …` and `packetboat undelete`: how long messages stay, and bringing them back."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from redis.exceptions import RedisError

from services.cli.context import DEFAULT_DATA, DataOption, database_of, settings_for
from services.cli.operator import user
from services.cli.table import print_table
from shared.db import Work
from shared.directory.admin import own_account
from shared.errors import ConfigurationError
from shared.imap.mailbox_name import canonical
from shared.mailbox.errors import MailboxError
from shared.mailbox.retention import lost
from shared.operations import retention
from shared.operations.actor import Actor
from shared.queue.connection import connect as connect_redis
from shared.queue.notify import Publisher

T = TypeVar("T")

MAX_SHOWN = 10_000  # messages that a dry run counts
UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

retention_app = typer.Typer(help="How long messages stay in mailboxes such as Trash and Junk.")

MailboxArgument = Annotated[str, typer.Argument(help="A mailbox's name, or a special use like '\\\\Trash'.")]
AccountOption = Annotated[str, typer.Option(help="The account's address; without it, all accounts.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(retention_app, name="retention", no_args_is_help=True)
    app.command("undelete")(undelete)


@retention_app.command("set")
def retention_set(
    mailbox: MailboxArgument,
    days: Annotated[int, typer.Argument(min=0, max=retention.MAX_DAYS, help="Days; 0 is for ever.")],
    account: AccountOption = "",
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Expunge messages that have been in a mailbox for so many days; an account's own rule comes first."""
    name = _write(data, lambda actor, now: retention.put(actor, account, mailbox, days, now))
    print(f"{account or retention.EVERYBODY}, {name}: {f'{days} days' if days else 'for ever'}")


@retention_app.command("list")
def retention_list(data: DataOption = DEFAULT_DATA) -> None:
    """List the rules; the settings PACKETBOAT_MDA_TRASH_DAYS and _JUNK_DAYS are for mailboxes without one."""

    async def run() -> list[tuple[str, str, int]]:
        async with database_of(data) as database:
            return await database.read(retention.listing)

    print_table(
        ["whose", "mailbox", "days"],
        [[whose, mailbox, str(days) if days else "for ever"] for whose, mailbox, days in asyncio.run(run())],
    )


@retention_app.command("remove")
def retention_remove(mailbox: MailboxArgument, account: AccountOption = "", data: DataOption = DEFAULT_DATA) -> None:
    """Forget a rule."""
    name = _write(data, lambda actor, now: retention.remove(actor, account, mailbox, now))
    print(f"{account or retention.EVERYBODY}, {name}: removed")


def undelete(
    account: Annotated[str, typer.Option(help="The account's address.")],
    mailbox: Annotated[str, typer.Option(help="Only what was expunged from this mailbox.")] = "",
    since: Annotated[
        str, typer.Option(help="Expunged since then: 30m, 2h, 3d, 1w ago, or a date and time; all by default.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come back.")] = False,
    data: DataOption = DEFAULT_DATA,
) -> None:
    """Bring back expunged messages that are remembered, for a day at least, into the mailboxes where they were.

    What the account still has elsewhere, since it was moved or copied, stays as it is; deleted mailboxes are gone.
    """
    moment, name = _moment(since, time.time()), canonical(mailbox)
    try:
        found = asyncio.run(_undelete(data, account, moment, name, dry_run=dry_run))
    except MailboxError as error:
        raise ConfigurationError(f"{error}; run it again once there is") from None
    verb = "would come back" if dry_run else "brought back"
    for where, count in sorted(found.items()):
        print(f"{where}: {count} {verb}")
    if not found:
        print("there is nothing to bring back")


async def _undelete(data: Path, address: str, since: int, mailbox: str, *, dry_run: bool) -> Counter[str]:
    async with database_of(data) as database:
        account = await database.read(own_account, address)
        if dry_run:
            return Counter(one.mailbox for one in await database.read(lost, account.id, since, mailbox, MAX_SHOWN))
        actor, now = Actor(f"cli:{user()}"), time.time_ns() // 1000
        found = await retention.undelete(database, actor, account.id, account.address, since, now, mailbox)
    redis = connect_redis(settings_for(data).redis)
    with contextlib.suppress(RedisError, OSError):
        await Publisher(redis).publish([account.id])
    await redis.aclose()
    return Counter(found)


def _moment(text: str, now: float) -> int:
    """Return a time in microseconds; ConfigurationError says how to write it."""
    if not text:
        return 0
    ago = re.fullmatch(r"(\d{1,6})([mhdw])", text)
    try:
        seconds = now - int(ago[1]) * UNITS[ago[2]] if ago else datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise ConfigurationError(f"{text!r}: say 30m, 2h, 3d, 1w or a time like 2026-11-23T08:00") from None
    return int(seconds * 1_000_000)


def _write(data: Path, work: Callable[[Actor, int], Work[T]]) -> T:
    async def run() -> T:
        async with database_of(data) as database:
            return await database.write(work, Actor(f"cli:{user()}"), time.time_ns() // 1000)

    return asyncio.run(run())
