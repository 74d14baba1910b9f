"""Messages that have been in a mailbox for as long as its rule lets them are expunged, as a client would.

They stay remembered like all that is expunged, and may be brought back for that time:

    rules = await database.read(rules_of, defaults)
    done = await expire(database, rules, now)
    lost = await restore_lost(database, account_id, since, now)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.db import Database, Rows, Work, load
from shared.imap.sequence import compact
from shared.mailbox import transfer
from shared.mailbox.errors import NoSuchMailbox
from shared.mailbox.mailbox import sql as mailbox_sql

PAGE = 500  # mailboxes looked at, and messages expunged, in one transaction
MAX_EXPUNGED = 100_000  # messages in one pass
RESTORED_AT_ONCE = 1_000  # messages in one transaction
SECONDS_OF_A_DAY = 86_400

sql = load("retention")


@dataclass(frozen=True, slots=True)
class Rules:
    """Days by mailbox (a name or a special use), 0 for ever: an account's own come before those of all."""

    of_all: Mapping[str, int] = field(default_factory=dict)
    of_accounts: Mapping[int, Mapping[str, int]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The mailboxes that any rule is for."""
        return sorted({name for rules in (self.of_all, *self.of_accounts.values()) for name in rules})

    @property
    def is_idle(self) -> bool:
        """Whether nothing ever expires."""
        return not any(days for rules in (self.of_all, *self.of_accounts.values()) for days in rules.values())

    def days(self, account_id: int, name: str, special_use: str) -> int:
        """Return how many days messages stay in a mailbox, 0 for ever; its name counts more than its use."""
        keys = (name, *special_use.split())
        for rules in (self.of_accounts.get(account_id, {}), self.of_all):
            for key in keys:
                if key in rules:
                    return rules[key]
        return 0


@dataclass(frozen=True, slots=True)
class Lost:
    """An expunged message that nothing shows any more; `expunged_at` in Unix microseconds."""

    mailbox_id: int
    mailbox: str
    uid: int
    expunged_at: int
    size: int


def rules_of(defaults: Mapping[str, int]) -> Work[Rules]:
    """Return all rules; `defaults` are settings, which rules for all accounts override."""
    of_all = dict(defaults)
    of_accounts: dict[int, dict[str, int]] = {}
    for row in (yield sql.rules()):
        rules = of_all if row["account_id"] is None else of_accounts.setdefault(row["account_id"], {})
        rules[row["mailbox"]] = row["days"]
    return Rules(of_all, of_accounts)


async def expire(database: Database, rules: Rules, now: int) -> dict[int, int]:
    """Expunge what is over its time, `now` in microseconds; return how many of each account."""
    expunged: dict[int, int] = {}
    if rules.is_idle:
        return expunged
    after = 0
    while sum(expunged.values()) < MAX_EXPUNGED:
        page: Rows = await database.read(_page, rules.names, after)
        for mailbox_id, account_id, name, special_use in page:
            days = rules.days(account_id, name, special_use)
            while days and (gone := await _expire_some(database, account_id, mailbox_id, days, now)):
                expunged[account_id] = expunged.get(account_id, 0) + gone
                if gone < PAGE or sum(expunged.values()) >= MAX_EXPUNGED:
                    break
        if len(page) < PAGE:
            break
        after = page[-1][0]
    return expunged


async def _expire_some(database: Database, account_id: int, mailbox_id: int, days: int, now: int) -> int:
    before = now // 1_000_000 - days * SECONDS_OF_A_DAY
    uids = await database.read(_old, mailbox_id, before)
    if not uids:
        return 0
    try:
        gone = await database.write(transfer.remove, account_id, mailbox_id, compact(uids), now)
    except NoSuchMailbox:  # deleted meanwhile
        return 0
    return len(gone.uids)


def _page(names: list[str], after: int) -> Work[Rows]:
    rows = yield sql.filled_mailboxes(after=after, names=names, limit=PAGE)
    return rows


def _old(mailbox_id: int, before: int) -> Work[list[int]]:
    """UIDs are given in the order in which messages come: the first that is young ends the search."""
    uids: list[int] = []
    for uid, saved_at in (yield sql.oldest(mailbox_id=mailbox_id, limit=PAGE)):
        if saved_at >= before:
            break
        uids.append(uid)
    return uids


# Undelete


def lost(account_id: int, since: int, mailbox: str = "", limit: int = RESTORED_AT_ONCE) -> Work[list[Lost]]:
    """Return messages expunged after `since` (microseconds), the last first, that no mailbox of the account shows.

    One that was moved before it was expunged is named once, where it was last.
    """
    rows = yield sql.lost(account_id=account_id, since=since, every=int(not mailbox), name=mailbox, limit=limit)
    found: dict[int, Lost] = {}
    for row in rows:
        one = Lost(row["mailbox_id"], row["name"], row["uid"], row["expunged_at"], row["size"])
        found.setdefault(row["blob_id"], one)
    return list(found.values())


async def restore_lost(database: Database, account_id: int, since: int, now: int, mailbox: str = "") -> dict[str, int]:
    """Bring back what `lost` names; return how many into each mailbox. OverQuota: then some may be back."""
    restored: dict[str, int] = {}
    while some := await database.write(restore_some, account_id, since, now, mailbox):
        for name, count in some.items():
            restored[name] = restored.get(name, 0) + count
    return restored


def restore_some(account_id: int, since: int, now: int, mailbox: str = "") -> Work[dict[str, int]]:
    """Bring back the last expunged, as many as one transaction takes."""
    yield mailbox_sql.lock_account(account_id=account_id)
    chosen: dict[tuple[int, str], list[int]] = {}
    for one in (yield from lost(account_id, since, mailbox)):
        chosen.setdefault((one.mailbox_id, one.mailbox), []).append(one.uid)
    if chosen:
        yield mailbox_sql.lock_mailboxes(ids=sorted(number for number, _ in chosen))
    restored: dict[str, int] = {}
    for (number, name), uids in sorted(chosen.items()):
        done = yield from transfer.restore(account_id, number, uids, now)
        restored[name] = len(done.target)
    return {name: count for name, count in restored.items() if count}
