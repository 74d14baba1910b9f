"""`packetboat retention …` and `packetboat undelete`: how long messages stay, and bringing them back."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Annotated

import typer

from services.cli.context import DEFAULT_DATA, DataOption
from services.cli.operator import UrlOption, everything, perform
from services.cli.table import print_table
from shared.errors import ConfigurationError
from shared.mailbox.errors import MailboxError
from shared.operations import retention

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
    url: UrlOption = "",
) -> None:
    """Expunge messages that have been in a mailbox for so many days; an account's own rule comes first."""
    rule = perform(data, url, lambda operator: operator.mail.put_rule(account, mailbox, days))
    print(f"{account or retention.EVERYBODY}, {rule['mailbox']}: {_days(days)}")


@retention_app.command("list")
def retention_list(data: DataOption = DEFAULT_DATA, url: UrlOption = "") -> None:
    """List the rules; the settings PACKETBOAT_MDA_TRASH_DAYS and _JUNK_DAYS are for mailboxes without one."""
    rules = perform(data, url, lambda one: everything(lambda cursor, limit: one.mail.rules("", cursor, limit)))
    rules.sort(key=lambda rule: (rule["account"], rule["mailbox"]))
    rows = [[one["account"] or retention.EVERYBODY, one["mailbox"], _days(one["days"])] for one in rules]
    print_table(["whose", "mailbox", "how long"], rows) if rows else print("none")


@retention_app.command("remove")
def retention_remove(
    mailbox: MailboxArgument, account: AccountOption = "", data: DataOption = DEFAULT_DATA, url: UrlOption = ""
) -> None:
    """Forget a rule."""
    rule = perform(data, url, lambda operator: operator.mail.remove_rule(account, mailbox))
    print(f"{account or retention.EVERYBODY}, {rule['mailbox']}: removed")


def undelete(
    account: Annotated[str, typer.Option(help="The account's address.")],
    mailbox: Annotated[str, typer.Option(help="Only what was expunged from this mailbox.")] = "",
    since: Annotated[
        str, typer.Option(help="Expunged since then: 30m, 2h, 3d, 1w ago, or a date and time; all by default.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would come back.")] = False,
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
) -> None:
    """Bring back expunged messages that are remembered, for a day at least, into the mailboxes where they were.

    What the account still has elsewhere, since it was moved or copied, stays as it is; deleted mailboxes are gone.
    """
    moment = _moment(since, time.time())
    try:
        if dry_run:
            found = perform(data, url, lambda operator: operator.mail.expunged(account, moment, mailbox))
        else:
            found = perform(data, url, lambda operator: operator.mail.undelete(account, moment, mailbox))
    except MailboxError as error:
        raise ConfigurationError(f"{error}; run it again once there is") from None
    verb = "would come back" if dry_run else "brought back"
    for one in found:
        print(f"{one['mailbox']}: {one['messages']} {verb}")
    if not found:
        print("there is nothing to bring back")


def _days(days: int) -> str:
    return f"{days} days" if days else "for ever"


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
