"""An operator's hand on how long messages stay, and on what was expunged; each change is in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shared.db import Database, Statement, Work
from shared.directory.admin import own_account
from shared.errors import ConfigurationError
from shared.imap.mailbox_name import UnusableMailboxName, canonical, check_new_name
from shared.imap.special_use import UnknownUse, parse_uses
from shared.mailbox.retention import restore_lost, sql
from shared.operations.actor import Actor
from shared.operations.audit import audited, note

MAX_DAYS = 36_500
EVERYBODY = "all accounts"


def put(actor: Actor, account: str, mailbox: str, days: int, now: int) -> Work[str]:
    """Set a rule of an account or, if that is "", of all; return the mailbox or use that it is for.

    `now` in microseconds; 0 days are for ever.
    """
    name = _checked(mailbox)
    if not 0 <= days <= MAX_DAYS:
        raise ConfigurationError(f"messages stay 1 to {MAX_DAYS} days, or 0 for ever")
    number, whose = yield from _whose(account)
    work = _put(number, name, days, now)
    yield from audited(actor, "retention.set", f"{whose} {name}", _state(number, name), work, now)
    return name


def remove(actor: Actor, account: str, mailbox: str, now: int) -> Work[str]:
    """Forget a rule; return the mailbox or use that it was for."""
    name = _checked(mailbox)
    number, whose = yield from _whose(account)
    if (yield from _state(number, name)()) is None:
        raise ConfigurationError(f"there is no rule for {name} of {whose}: see `packetboat retention list`")
    yield from audited(actor, "retention.remove", f"{whose} {name}", _state(number, name), _remove(number, name), now)
    return name


def listing() -> Work[list[tuple[str, str, int]]]:
    """Return whose rules there are, for which mailbox or use, and their days."""
    rows = yield sql.rules()
    return [(row["address"] or EVERYBODY, row["mailbox"], row["days"]) for row in rows]


async def undelete(
    database: Database, actor: Actor, account_id: int, address: str, since: int, now: int, mailbox: str = ""
) -> dict[str, int]:
    """Bring back what was expunged after `since`; return how many into each mailbox. OverQuota."""
    restored = await restore_lost(database, account_id, since, now, mailbox)
    if restored:
        await database.write(note, actor, "undelete", address, None, restored, now)
    return restored


def _checked(mailbox: str) -> str:
    try:
        return parse_uses([mailbox.encode()]) if mailbox.startswith("\\") else check_new_name(canonical(mailbox))
    except (UnknownUse, UnusableMailboxName, UnicodeEncodeError) as error:
        raise ConfigurationError(f"{mailbox}: {error}") from None


def _whose(account: str) -> Work[tuple[int | None, str]]:
    if not account:
        return None, EVERYBODY
    found = yield from own_account(account)
    return found.id, found.address


def _put(number: int | None, name: str, days: int, now: int) -> Work[None]:
    yield from _remove(number, name)
    if number is None:
        yield sql.set_of_all(mailbox=name, days=days, now=now)
    else:
        yield sql.set_of_account(account_id=number, mailbox=name, days=days, now=now)


def _remove(number: int | None, name: str) -> Work[None]:
    yield _either(number, sql.remove_of_all, sql.remove_of_account, name)


def _state(number: int | None, name: str) -> Callable[[], Work[Any]]:
    def state() -> Work[Any]:
        rows = yield _either(number, sql.rule_of_all, sql.rule_of_account, name)
        return {"days": rows[0]["days"]} if rows else None

    return state


def _either(number: int | None, of_all: Any, of_account: Any, name: str) -> Statement:
    statement: Statement = of_all(mailbox=name) if number is None else of_account(account_id=number, mailbox=name)
    return statement
