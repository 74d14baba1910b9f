"""An operator's hand on how long messages stay, and on what was expunged; each change is in the audit log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from shared.db import Database, Statement, Work
from shared.errors import ConfigurationError
from shared.imap.mailbox_name import UnusableMailboxName, canonical, check_new_name
from shared.imap.special_use import UnknownUse, parse_uses
from shared.mailbox.retention import lost, restore_lost, sql
from shared.operations.actor import Actor, NotFound
from shared.operations.audit import audited, note
from shared.operations.condition import ANY, Condition
from shared.operations.directory import own_account, version_of
from shared.operations.paging import Filter, Listing, in_domains

MAX_DAYS = 36_500
MAX_COUNTED = 10_000  # messages that could come back
EVERYBODY = "all accounts"
RULES = Listing(
    "r.id, a.address, r.mailbox, r.days", "retention r LEFT JOIN account a ON a.id = r.account_id", ("r.id",)
)


def page_of_rules(
    actor: Actor, account: str, after: Sequence[Any] | None, limit: int
) -> Work[tuple[list[dict[str, Any]], Any]]:
    """Return a page of rules, in the order in which they were set; of one account if it is named."""
    wanted = Filter()
    if account:
        found = yield from own_account(actor, account)
        wanted = wanted.plus("r.account_id = :account", account=found.id)
    elif actor.domains is not None:
        wanted = in_domains(("a.address",), sorted(actor.domains), wanted)
    rows, end = yield from RULES.rows(wanted, after, limit)
    return [_view(row["address"] or "", row["mailbox"], row["days"]) for row in rows], end


def rule(actor: Actor, account: str, mailbox: str) -> Work[dict[str, Any]]:
    """Return a rule of an account or, if that is "", of all; NotFound."""
    name = _checked(mailbox)
    number, whose = yield from _whose(actor, account)
    view: dict[str, Any] | None = yield from _state(number, whose, name)()
    if view is None:
        raise NotFound(f"there is no rule for {name} of {whose or EVERYBODY}: see `packetboat retention list`")
    return view


def put(
    actor: Actor, account: str, mailbox: str, days: int, now: int, condition: Condition = ANY
) -> Work[dict[str, Any]]:
    """Set a rule of an account or, if that is "", of all; Changed.

    `now` in microseconds; 0 days are for ever.
    """
    name = _checked(mailbox)
    if not 0 <= days <= MAX_DAYS:
        raise ConfigurationError(f"messages stay 1 to {MAX_DAYS} days, or 0 for ever")
    number, whose = yield from _whose(actor, account)
    state = _state(number, whose, name)
    condition.check((yield from state()))
    target = f"{whose or EVERYBODY} {name}"
    yield from audited(actor, "retention.set", target, state, _put(number, name, days, now), now)
    return _view(whose, name, days)


def remove(actor: Actor, account: str, mailbox: str, now: int, condition: Condition = ANY) -> Work[dict[str, Any]]:
    """Forget a rule; return it. NotFound, Changed."""
    view = yield from rule(actor, account, mailbox)
    condition.check(view)
    number, whose = yield from _whose(actor, account)
    name = view["mailbox"]
    target = f"{whose or EVERYBODY} {name}"
    yield from audited(actor, "retention.remove", target, _state(number, whose, name), _remove(number, name), now)
    return view


def expunged(actor: Actor, account: str, since: int, mailbox: str) -> Work[list[dict[str, Any]]]:
    """Return what `undelete` would bring back, `since` microseconds: how many into each mailbox."""
    found = yield from own_account(actor, account)
    some = yield from lost(found.id, since, canonical(mailbox), MAX_COUNTED)
    return counts(Counter(one.mailbox for one in some))


async def undelete(
    database: Database, actor: Actor, account_id: int, address: str, since: int, now: int, mailbox: str = ""
) -> dict[str, int]:
    """Bring back what was expunged after `since`; return how many into each mailbox. OverQuota."""
    restored = await restore_lost(database, account_id, since, now, canonical(mailbox))
    if restored:
        await database.write(note, actor, "undelete", address, None, restored, now)
    return restored


def counts(found: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return numbers of messages by mailbox as the API tells them."""
    return [{"mailbox": name, "messages": count} for name, count in sorted(found.items())]


def _checked(mailbox: str) -> str:
    try:
        return parse_uses([mailbox.encode()]) if mailbox.startswith("\\") else check_new_name(canonical(mailbox))
    except (UnknownUse, UnusableMailboxName, UnicodeEncodeError) as error:
        raise ConfigurationError(f"{mailbox}: {error}") from None


def _whose(actor: Actor, account: str) -> Work[tuple[int | None, str]]:
    if account:
        found = yield from own_account(actor, account)
        return found.id, found.address
    if actor.domains is not None:
        raise NotFound("there is no such rule: say an account")
    return None, ""


def _put(number: int | None, name: str, days: int, now: int) -> Work[None]:
    yield from _remove(number, name)
    if number is None:
        yield sql.set_of_all(mailbox=name, days=days, now=now)
    else:
        yield sql.set_of_account(account_id=number, mailbox=name, days=days, now=now)


def _remove(number: int | None, name: str) -> Work[None]:
    yield _either(number, sql.remove_of_all, sql.remove_of_account, name)


def _state(number: int | None, whose: str, name: str) -> Callable[[], Work[Any]]:
    def state() -> Work[Any]:
        rows = yield _either(number, sql.rule_of_all, sql.rule_of_account, name)
        return _view(whose, name, rows[0]["days"]) if rows else None

    return state


def _view(whose: str, name: str, days: int) -> dict[str, Any]:
    view = {"account": whose, "mailbox": name, "days": days}
    return {**view, "version": version_of(view)}


def _either(number: int | None, of_all: Any, of_account: Any, name: str) -> Statement:
    statement: Statement = of_all(mailbox=name) if number is None else of_account(account_id=number, mailbox=name)
    return statement
