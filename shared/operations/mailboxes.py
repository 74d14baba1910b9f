"""An operator's hand on the mailboxes of accounts, and on who shares them; each change is in the audit log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shared.db import Work
from shared.errors import ConfigurationError
from shared.imap.acl import ALL_RIGHTS, ANYONE, NEGATIVE, BadRights, parse_rights
from shared.imap.mailbox_name import UnusableMailboxName, check_new_name
from shared.imap.special_use import UnknownUse, parse_uses
from shared.mailbox import acl, mailboxes
from shared.mailbox.acl import Change
from shared.mailbox.errors import NoSuchMailbox
from shared.mailbox.mailbox import Mailbox, find, sql
from shared.mailbox.mailboxes import Listed
from shared.operations.actor import Actor, NotFound
from shared.operations.audit import audited
from shared.operations.condition import ANY, Condition
from shared.operations.directory import own_account, version_of

MAX_RIGHTS = 50  # characters that name some
MAX_USES = 10  # special uses of one mailbox that may be asked for
_NO_MAILBOX = {"special_use": "", "exists": False, "messages": 0, "unseen": 0, "bytes": 0, "version": "none"}


class Unusable(ConfigurationError):
    """What was asked for isn't rights, a use, or a name that a mailbox can have."""


@dataclass(frozen=True, slots=True)
class Made:
    """What there is after a change (what there was, if it is gone), and whose sessions may see it."""

    view: dict[str, Any]
    accounts: set[int]


def listing(actor: Actor, address: str) -> Work[list[dict[str, Any]]]:
    """Return the mailboxes of an account, with names that only are parents."""
    account = yield from own_account(actor, address)
    return [_listed(one) for one in (yield from mailboxes.list_mailboxes(account.id))]


def mailbox(actor: Actor, address: str, name: str) -> Work[dict[str, Any]]:
    """Return one of them; NotFound, NoSuchMailbox."""
    account = yield from own_account(actor, address)
    return _view((yield from find(account.id, name)))


def create(actor: Actor, address: str, name: str, uses: Sequence[str], now: int) -> Work[Made]:
    """Create a mailbox and the parents it lacks, `now` in microseconds; MailboxExists, LimitReached."""
    account = yield from own_account(actor, address)
    checked, use = _usable(name), _uses(uses)
    work = mailboxes.create(account.id, checked, now, use)
    yield from audited(actor, "mailbox.create", f"{account.address} {checked}", _state(account.id, checked), work, now)
    return Made(_view((yield from find(account.id, checked))), {account.id})


def rename(actor: Actor, address: str, old: str, new: str, now: int, condition: Condition = ANY) -> Work[Made]:
    """Rename a mailbox with what is below it; NoSuchMailbox, MailboxExists, Changed."""
    account = yield from own_account(actor, address)
    condition.check((yield from _known(account.id, old)))
    checked = _usable(new)
    work = mailboxes.rename(account.id, old, checked, now)
    yield from audited(actor, "mailbox.rename", f"{account.address} {old}", _state(account.id, checked), work, now)
    return Made((yield from _known(account.id, checked)), {account.id})


def delete(actor: Actor, address: str, name: str, now: int, condition: Condition = ANY) -> Work[Made]:
    """Delete a mailbox with its messages; NoSuchMailbox, Changed."""
    account = yield from own_account(actor, address)
    view = _view((yield from find(account.id, name)))
    condition.check(view)
    work = mailboxes.delete(account.id, name)
    yield from audited(actor, "mailbox.delete", f"{account.address} {name}", _state(account.id, name), work, now)
    return Made(view, {account.id})


def entries(actor: Actor, address: str, name: str) -> Work[list[dict[str, Any]]]:
    """Return who may do what in a mailbox, its owner first."""
    account = yield from own_account(actor, address)
    box = yield from find(account.id, name)
    others = yield from acl.entries(box.id)
    return [_entry(who, rights) for who, rights in [(account.address, ALL_RIGHTS), *others]]


def share(
    actor: Actor, address: str, name: str, identifier: str, rights: str, now: int, condition: Condition = ANY
) -> Work[Made]:
    """Set an identifier's rights, with + or - before them add or take some, none remove it; Changed."""
    account = yield from own_account(actor, address)
    box = yield from find(account.id, name)
    who = _identifier(identifier, account.address)
    change = Change(rights[:1] if rights[:1] in ("+", "-") else "")
    letters = _letters(rights[len(change.value) :])
    current = yield from _rights(box.id, who)
    if current is None and not rights:
        raise NotFound(f"{who} has no rights of its own in {name}: see `packetboat acl list`")
    condition.check(None if current is None else _entry(who, current))
    target = f"{account.address} {name}"
    work = acl.change_entry(box, who, change, letters)
    seen = yield from audited(actor, "acl.set", target, lambda: _rights(box.id, who), work, now)
    return Made(_entry(who, (yield from _rights(box.id, who)) or ""), seen)


def _identifier(identifier: str, owner: str) -> str:
    who = identifier.lower()
    bare = who.removeprefix(NEGATIVE)
    if bare == owner:
        raise Unusable("the owner of a mailbox always has all rights in it")
    if bare != ANYONE and "@" not in bare:
        raise Unusable("name an account or an alias by its address, a domain as @DOMAIN, or anyone")
    return who


def _letters(text: str) -> str:
    try:
        return parse_rights(text)
    except BadRights as error:
        raise Unusable(f"{error}: rights are some of {ALL_RIGHTS}") from None


def _usable(name: str) -> str:
    try:
        return check_new_name(name)
    except UnusableMailboxName as error:
        raise Unusable(str(error)) from None


def _uses(uses: Sequence[str]) -> str:
    try:
        return parse_uses(one.encode() for one in uses)
    except UnknownUse as error:
        raise Unusable(str(error)) from None


def _known(account_id: int, name: str) -> Work[dict[str, Any]]:
    """A name may only be the parent of others."""
    try:
        return _view((yield from find(account_id, name)))
    except NoSuchMailbox:
        return {**_NO_MAILBOX, "name": name}


def _listed(one: Listed) -> dict[str, Any]:
    return _view(one.mailbox) if one.mailbox is not None else {**_NO_MAILBOX, "name": one.name}


def _view(box: Mailbox) -> dict[str, Any]:
    stable = {"name": box.name, "special_use": box.special_use, "exists": True}
    counts = {"messages": box.messages, "unseen": box.unseen, "bytes": box.bytes}
    return {**stable, **counts, "version": version_of({**stable, "id": box.id})}


def _entry(who: str, rights: str) -> dict[str, Any]:
    view = {"identifier": who, "rights": rights}
    return {**view, "version": version_of(view)}


def _state(account_id: int, name: str) -> Callable[[], Work[Any]]:
    """Return what the audit log says of a mailbox: None where there is none."""

    def state() -> Work[Any]:
        rows = yield sql.mailbox_by_name(account_id=account_id, name=name)
        return {"messages": rows[0]["messages"], "special_use": rows[0]["special_use"]} if rows else None

    return state


def _rights(mailbox_id: int, identifier: str) -> Work[Any]:
    return dict((yield from acl.entries(mailbox_id))).get(identifier)
