"""Mailboxes that a filter asks for: made if missing, and taught the keywords that come with a message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shared.db import Work
from shared.imap.flags import FlagSet, Keywords
from shared.mailbox.errors import LimitReached, MailboxExists, NotAllowed
from shared.mailbox.keywords import MAX_KEYWORDS, keywords_of, learn
from shared.mailbox.mailbox import sql
from shared.mailbox.mailboxes import create


def make_missing(account_id: int, wanted: Mapping[str, str], now: int) -> Work[None]:
    """Create and subscribe mailboxes (name → special use) of a locked account, as far as its limit allows."""
    rows = yield sql.mailboxes(account_id=account_id)
    existing = {row["name"] for row in rows}
    for name, use in sorted(wanted.items()):
        if name in existing:
            continue
        try:
            yield from create(account_id, name, now, use)
        except (MailboxExists, NotAllowed):
            continue  # as the parent of one before, or a name kept for what others share
        except LimitReached:
            return
        yield sql.subscribe(account_id=account_id, name=name)


def learn_some(mailbox_id: int, names: Iterable[bytes]) -> Work[Keywords]:
    """Return a locked mailbox's keywords with those added that it has room for."""
    known = yield from keywords_of(mailbox_id)
    missing = known.missing(FlagSet(keywords=tuple(names)))[: MAX_KEYWORDS - len(known.names)]
    return (yield from learn(mailbox_id, FlagSet(keywords=missing))) if missing else known
