"""SEARCH, and ESEARCH in several mailboxes (RFC 3501 §6.4.4, 4731, 5182, 5267, 7377, 9051, 9394)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.access.imap import context
from services.access.imap.enable import use
from services.access.imap.matching import Matches, Progress, matching
from services.access.imap.outcome import Outcome, done, rejected
from services.access.imap.sources import Source, sources
from shared.imap import command as commands
from shared.imap import response
from shared.imap.esearch import Found, Origin, esearch, saved
from shared.imap.mailbox_filter import FilterKind
from shared.imap.search import SearchKey, asks_modseq, bind, clipped, is_fuzzy, names_saved
from shared.imap.search_return import Return, ReturnOption
from shared.imap.sequence import Range, compact
from shared.imap.state import Extension
from shared.imap.view import View
from shared.mailbox.errors import NoSuchMailbox

if TYPE_CHECKING:
    from services.access.imap.selected import Selected
    from services.access.imap.session import ImapSession

_NO_CHARSET = rejected(b"With UTF8=ACCEPT a search names no charset")
_NOT_FUZZY = rejected(b"RELEVANCY needs a FUZZY key")
_NOT_SELECTED = rejected(b"No mailbox is selected")
_NO_SAVED = rejected(b"$ means something in the selected mailbox only")
_NOT_THERE = rejected(b"SAVE and UPDATE are for the selected mailbox only")
_TAG_REUSED = rejected(b"A result of that tag is kept up to date already")
_OF_SELECTED = frozenset((ReturnOption.SAVE, ReturnOption.UPDATE))


async def search(session: ImapSession, command: commands.Search) -> Outcome:
    """Tell which messages of the selected mailbox match."""
    if Extension.UTF8 in session.enabled and command.charset is not None:
        return _NO_CHARSET
    returns = command.returns
    if returns is None and Extension.REV2 in session.enabled:
        returns = Return()
    refusal = check_returns(session, command.tag, returns, command.key)
    if refusal is not None:
        return refusal
    selected = session.the_selected()
    matches = await find(session, command.key, command.tag, returns)
    if returns is None:
        numbers = matches.uids if command.uid else numbers_of(selected, matches.uids)
        session.write(response.search(numbers, max(matches.modseqs.values(), default=0) if matches.modseqs else 0))
        return done(b"SEARCH completed")
    _finish(session, Origin(command.tag, command.uid), command.key, returns, matches)
    return done(b"SEARCH completed")


async def multi_search(session: ImapSession, command: commands.MultiSearch) -> Outcome:
    """Tell which messages of several mailboxes match, mailbox by mailbox; those without any aren't told of."""
    if Extension.UTF8 in session.enabled and command.charset is not None:
        return _NO_CHARSET
    refusal = check_returns(session, command.tag, command.returns, command.key)
    if refusal is not None:
        return refusal
    if {source.kind for source in command.sources} <= {FilterKind.SELECTED}:
        return await _search_selected(session, command)
    if names_saved(command.key):
        return _NO_SAVED
    if command.returns.options & _OF_SELECTED:
        return _NOT_THERE
    progress = Progress(session, command.tag, counts=False)
    for source in await sources(session, command.sources):
        await _search_source(session, command, source, progress)
    return done(b"ESEARCH completed")


async def _search_selected(session: ImapSession, command: commands.MultiSearch) -> Outcome:
    selected = session.selected
    if selected is None:
        return _NOT_SELECTED
    matches = await find(session, command.key, command.tag, command.returns)
    name = response.mailbox(selected.name, utf8=session.utf8)
    origin = Origin(command.tag, True, name, selected.uidvalidity)
    _finish(session, origin, command.key, command.returns, matches)
    return done(b"ESEARCH completed")


def _finish(session: ImapSession, origin: Origin, key: SearchKey, returns: Return, matches: Matches) -> None:
    """Save, tell and keep a result as was asked."""
    save(session.the_selected(), returns, matches.uids)
    answer(session, origin, returns, matches, matches.uids)
    if ReturnOption.UPDATE in returns.options:
        context.keep(session, origin, key, matches.uids, returns.items)


async def find(session: ImapSession, key: SearchKey, tag: bytes, returns: Return | None = None) -> Matches:
    """Return the messages of the selected mailbox that match; a failure leaves `$` empty (RFC 5182 §2.1)."""
    selected = session.the_selected()
    if asks_modseq(key):
        use(session, Extension.CONDSTORE)
    is_saved = returns is not None and ReturnOption.SAVE in returns.options
    bound = bind(key, selected.view, selected.flags.keywords, selected.saved, int(time.time()), selected.flags.recent)
    if is_saved:
        selected.saved = ()
    progress = Progress(session, tag)
    return await matching(session, selected.mailbox_id, bound, tuple(selected.view.ranges()), progress)


def save(selected: Selected, returns: Return, uids: Sequence[int]) -> None:
    """Keep what `$` stands for from now on."""
    if ReturnOption.SAVE in returns.options:
        selected.saved = compact(saved(returns, uids))


def answer(session: ImapSession, origin: Origin, returns: Return, matches: Matches, order: Sequence[int]) -> None:
    """Tell a result, its UIDs in this order, unless it's only to be saved."""
    if returns.saves_only:
        return
    numbers = order if origin.uid else numbers_of(session.the_selected(), order)
    session.write(esearch(origin, returns, Found(numbers, order, matches.modseqs, matches.scores)))


def check_returns(session: ImapSession, tag: bytes, returns: Return | None, key: SearchKey) -> Outcome | None:
    """Return why options aren't allowed with a key or a tag, None if they are."""
    if returns is None:
        return None
    if ReturnOption.RELEVANCY in returns.options and not is_fuzzy(key):
        return _NOT_FUZZY
    if ReturnOption.UPDATE in returns.options and session.selected is not None and tag in session.selected.contexts:
        return _TAG_REUSED  # RFC 5267 §4.3
    return None


def numbers_of(selected: Selected, uids: Sequence[int]) -> list[int]:
    """Return the sequence numbers of UIDs in their order, without those that the client doesn't know."""
    view = selected.view
    return [number for uid in uids if (number := view.sequence(uid)) is not None]


async def _search_source(
    session: ImapSession, command: commands.MultiSearch, source: Source, progress: Progress
) -> None:
    selected = session.selected
    recent: tuple[Range, ...] = ()
    if selected is not None and selected.mailbox_id == source.mailbox_id:
        view, keywords, uidvalidity = selected.view, selected.flags.keywords, selected.uidvalidity
        recent = selected.flags.recent
    else:
        try:
            found = await session.desk.messages.select(source.mailbox_id)
        except NoSuchMailbox:
            return
        view, keywords, uidvalidity = View(found.uids), found.keywords, found.mailbox.uidvalidity
    key = bind(clipped(command.key, len(view)), view, keywords, (), int(time.time()), recent)
    matches = await matching(session, source.mailbox_id, key, tuple(view.ranges()), progress)
    if matches.uids:
        origin = Origin(command.tag, True, response.mailbox(source.name, utf8=session.utf8), uidvalidity)
        result = Found(matches.uids, matches.uids, matches.modseqs, matches.scores)
        session.write(esearch(origin, command.returns, result))
        await session.connection.drain()
