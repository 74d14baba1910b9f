"""An operator's hand on the mailboxes of accounts, and on who shares them; each change is in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from shared.db import Work
from shared.directory.admin import own_account
from shared.imap.acl import ALL_RIGHTS, ANYONE, NEGATIVE, BadRights, parse_rights
from shared.imap.mailbox_name import UnusableMailboxName, check_new_name
from shared.imap.special_use import UnknownUse, parse_uses
from shared.mailbox import acl, mailboxes
from shared.mailbox.acl import Change
from shared.mailbox.mailbox import find, sql
from shared.mailbox.mailboxes import Listed
from shared.operations.actor import Actor
from shared.operations.audit import audited

T = TypeVar("T")


class Unusable(ValueError):
    """What was asked for isn't rights, a use, or a name that a mailbox can have."""


def listing(address: str) -> Work[list[Listed]]:
    """Return the mailboxes of an account, with names that only are parents."""
    account = yield from own_account(address)
    return (yield from mailboxes.list_mailboxes(account.id))


def create(actor: Actor, address: str, name: str, uses: list[str], now: int) -> Work[set[int]]:
    """Create a mailbox and the parents it lacks, `now` in microseconds; return whose sessions may see it."""
    account = yield from own_account(address)
    try:
        checked, use = check_new_name(name), parse_uses(one.encode() for one in uses)
    except (UnusableMailboxName, UnknownUse) as error:
        raise Unusable(str(error)) from None
    work = mailboxes.create(account.id, checked, now, use)
    yield from audited(actor, "mailbox.create", f"{account.address} {checked}", _state(account.id, checked), work, now)
    return {account.id}


def rename(actor: Actor, address: str, old: str, new: str, now: int) -> Work[set[int]]:
    """Rename a mailbox with what is below it; return whose sessions may see it."""
    account = yield from own_account(address)
    try:
        checked = check_new_name(new)
    except UnusableMailboxName as error:
        raise Unusable(str(error)) from None
    work = mailboxes.rename(account.id, old, checked, now)
    yield from audited(actor, "mailbox.rename", f"{account.address} {old}", _state(account.id, checked), work, now)
    return {account.id}


def delete(actor: Actor, address: str, name: str, now: int) -> Work[set[int]]:
    """Delete a mailbox with its messages; return whose sessions may see it."""
    account = yield from own_account(address)
    work = mailboxes.delete(account.id, name)
    yield from audited(actor, "mailbox.delete", f"{account.address} {name}", _state(account.id, name), work, now)
    return {account.id}


def entries(address: str, name: str) -> Work[list[tuple[str, str]]]:
    """Return who may do what in a mailbox, its owner first."""
    account = yield from own_account(address)
    mailbox = yield from find(account.id, name)
    return [(account.address, ALL_RIGHTS), *(yield from acl.entries(mailbox.id))]


def share(actor: Actor, address: str, name: str, identifier: str, rights: str, now: int) -> Work[set[int]]:
    """Set an identifier's rights, with + or - before them add or take some, none remove it; return who may see it."""
    account = yield from own_account(address)
    mailbox = yield from find(account.id, name)
    who, change = identifier.lower(), Change(rights[:1] if rights[:1] in ("+", "-") else "")
    bare = who.removeprefix(NEGATIVE)
    if bare == account.address:
        raise Unusable("the owner of a mailbox always has all rights in it")
    if bare != ANYONE and "@" not in bare:
        raise Unusable("name an account or an alias by its address, a domain as @DOMAIN, or anyone")
    try:
        letters = parse_rights(rights[len(change.value) :])
    except BadRights as error:
        raise Unusable(f"{error}: rights are some of {ALL_RIGHTS}") from None
    work = acl.change_entry(mailbox, who, change, letters)
    target = f"{account.address} {name}"
    return (yield from audited(actor, "acl.set", target, lambda: _rights(mailbox.id, who), work, now))


def _state(account_id: int, name: str) -> Callable[[], Work[Any]]:
    """Return what the audit log says of a mailbox: None where there is none."""

    def state() -> Work[Any]:
        rows = yield sql.mailbox_by_name(account_id=account_id, name=name)
        return {"messages": rows[0]["messages"], "special_use": rows[0]["special_use"]} if rows else None

    return state


def _rights(mailbox_id: int, identifier: str) -> Work[Any]:
    return dict((yield from acl.entries(mailbox_id))).get(identifier)
