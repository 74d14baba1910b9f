"""SORT: the messages that match, in order (RFC 5256, 5267, 5957, 6203)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from services.access.imap import context
from services.access.imap.fetch import ahead
from services.access.imap.outcome import Outcome, done, rejected
from services.access.imap.render import Row
from services.access.imap.search import answer, check_returns, find, numbers_of, save
from shared.imap import command as commands
from shared.imap import response
from shared.imap.envelope import CC, FROM, TO, first_addresses
from shared.imap.esearch import Origin
from shared.imap.search import is_fuzzy
from shared.imap.search_return import ReturnOption
from shared.imap.sequence import compact
from shared.imap.sort import Sortable, SortCriterion, SortKey, base_subject, display, first_mailbox, sort
from shared.mailbox.messages import Want
from shared.message.collation import casemap
from shared.message.header import decode_words

if TYPE_CHECKING:
    from services.access.imap.session import ImapSession

THREAD_FROM = 2_000  # messages from which on they are sorted in another thread
_NOT_FUZZY = rejected(b"RELEVANCY needs a FUZZY key")
_OF_ADDRESSES = frozenset((SortKey.FROM, SortKey.TO, SortKey.CC, SortKey.DISPLAYFROM, SortKey.DISPLAYTO))


async def sort_messages(session: ImapSession, command: commands.Sort) -> Outcome:
    """Tell which messages match, in order."""
    criteria = command.criteria
    keys = frozenset(criterion.key for criterion in criteria)
    refusal = check_returns(session, command.tag, command.returns, command.key)
    if refusal is None and SortKey.RELEVANCY in keys and not is_fuzzy(command.key):
        refusal = _NOT_FUZZY
    if refusal is not None:
        return refusal
    selected = session.the_selected()
    matches = await find(session, command.key, command.tag, command.returns)
    ordered = await in_order(session, matches.uids, criteria, matches.scores)
    uids = [message.uid for message in ordered]
    if command.returns is None:
        numbers = uids if command.uid else numbers_of(selected, uids)
        session.write(response.sort(numbers, max(matches.modseqs.values(), default=0) if matches.modseqs else 0))
        return done(b"SORT completed")
    save(selected, command.returns, uids)
    answer(session, Origin(command.tag, command.uid), command.returns, matches, uids)
    if ReturnOption.UPDATE in command.returns.options:
        origin = Origin(command.tag, command.uid)
        context.keep_sorted(session, origin, command.key, criteria, ordered, command.returns.items)
    return done(b"SORT completed")


async def in_order(
    session: ImapSession,
    uids: Sequence[int],
    criteria: Sequence[SortCriterion],
    scores: Mapping[int, int] | None = None,
) -> list[Sortable]:
    """Return messages of the selected mailbox in order, without those that are gone for good."""
    keys = frozenset(criterion.key for criterion in criteria)
    messages: list[Sortable] = []
    rows_of = session.desk.messages.fetch_rows(session.the_selected().mailbox_id, compact(uids), _want(keys))
    async for rows in ahead(rows_of):
        messages += [_sortable(row, keys, scores or {}) for row in rows]
        await asyncio.sleep(0)
    if len(messages) < THREAD_FROM:
        return sort(messages, criteria)
    return await asyncio.to_thread(sort, messages, criteria)


def sent(row: Row) -> int:
    """Return when a message was sent in Unix seconds, its arrival if it doesn't say (RFC 5256 §2.2)."""
    return int(row[3] if row["sent_at"] is None else row["sent_at"])


def _want(keys: Iterable[SortKey]) -> Want:
    want = Want.BASE
    for key in keys:
        if key is SortKey.DATE:
            want |= Want.SENT
        elif key is SortKey.SUBJECT:
            want |= Want.TEXT
        elif key in _OF_ADDRESSES:
            want |= Want.ENVELOPE
    return want


def _sortable(row: Row, keys: frozenset[SortKey], scores: Mapping[int, int]) -> Sortable:
    uid = row[0]
    addresses = first_addresses(row["envelope"]) if keys & _OF_ADDRESSES else _NOBODY
    return Sortable(
        uid,
        arrival=row[3],
        size=row[4],
        sent=sent(row) if SortKey.DATE in keys else 0,
        relevancy=scores.get(uid, 100),
        subject=casemap(base_subject(row["subject"]).text) if SortKey.SUBJECT in keys else b"",
        sender=first_mailbox(addresses[FROM]) if SortKey.FROM in keys else b"",
        to=first_mailbox(addresses[TO]) if SortKey.TO in keys else b"",
        cc=first_mailbox(addresses[CC]) if SortKey.CC in keys else b"",
        display_from=display(addresses[FROM], decode_words) if SortKey.DISPLAYFROM in keys else b"",
        display_to=display(addresses[TO], decode_words) if SortKey.DISPLAYTO in keys else b"",
    )


_NOBODY = {FROM: None, TO: None, CC: None}
