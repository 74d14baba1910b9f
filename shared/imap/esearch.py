"""The ESEARCH response, and the news of a result that is kept up to date (RFC 4731, 5267, 6203, 7377, 9394)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from shared.imap.response import CRLF, NIL, quoted
from shared.imap.search_return import Return, ReturnOption
from shared.imap.sequence import render_runs


@dataclass(frozen=True, slots=True)
class Found:
    """A result in the order to tell it in: numbers or UIDs; `uids` are the UIDs of the same messages.

    `modseqs` has the mod-sequence of each UID if the search asked for MODSEQ, `scores` the relevancy of each UID
    if it was fuzzy.
    """

    numbers: Sequence[int]
    uids: Sequence[int]
    modseqs: Mapping[int, int] | None = None
    scores: Mapping[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Whom a response is for: the command's tag, and ESEARCH's mailbox, rendered (RFC 7377)."""

    tag: bytes
    uid: bool
    mailbox: bytes | None = None
    uidvalidity: int = 0


def esearch(origin: Origin, wanted: Return, found: Found) -> bytes:
    """Return the ESEARCH response."""
    items: list[bytes] = []
    numbers = found.numbers
    for option, render in _ITEMS.items():
        if option in wanted.options:
            items += render(numbers)
    if wanted.partial is not None:
        first, last = wanted.partial.window(len(numbers))
        items.append(b"PARTIAL (%s %s)" % (wanted.partial.render(), render_runs(numbers[first:last]) or NIL))
    modseq = _highest_modseq(wanted, found)
    if modseq:
        items.append(b"MODSEQ %d" % modseq)
    if ReturnOption.RELEVANCY in wanted.options and numbers:
        scores = found.scores or {}
        items.append(b"RELEVANCY (%s)" % b" ".join([b"%d" % scores.get(uid, 100) for uid in found.uids]))
    return b" ".join((_head(origin), *items)) + CRLF


def update(origin: Origin, removed: Sequence[tuple[int, int]], added: Sequence[tuple[int, int]]) -> bytes:
    """Return what has left and entered a result, as (place in it, message), in this order (RFC 5267 §4.3)."""
    responses = b""
    for name, changes in ((b"REMOVEFROM", removed), (b"ADDTO", added)):
        if changes:
            responses += b"%s %s (%s)\r\n" % (_head(origin), name, _placed(changes))
    return responses


def saved(wanted: Return, uids: Sequence[int]) -> Sequence[int]:
    """Return what `$` stands for after SAVE (RFC 5182 §2.4, RFC 9394 §3.3)."""
    if wanted.options & {ReturnOption.ALL, ReturnOption.COUNT} or not uids:
        return uids
    kept: set[int] = set()
    if ReturnOption.MIN in wanted.options:
        kept.add(uids[0])
    if ReturnOption.MAX in wanted.options:
        kept.add(uids[-1])
    if wanted.partial is not None:
        kept.update(uids[slice(*wanted.partial.window(len(uids)))])
    elif not kept:
        return uids
    return sorted(kept)


_ITEMS: dict[ReturnOption, Callable[[Sequence[int]], tuple[bytes, ...]]] = {
    ReturnOption.MIN: lambda numbers: (b"MIN %d" % numbers[0],) if numbers else (),
    ReturnOption.MAX: lambda numbers: (b"MAX %d" % numbers[-1],) if numbers else (),
    ReturnOption.ALL: lambda numbers: (b"ALL " + render_runs(numbers),) if numbers else (),
    ReturnOption.COUNT: lambda numbers: (b"COUNT %d" % len(numbers),),
}


def _head(origin: Origin) -> bytes:
    which = b""
    if origin.mailbox is not None:
        which = b" MAILBOX %s UIDVALIDITY %d" % (origin.mailbox, origin.uidvalidity)
    return b"* ESEARCH (TAG %s%s)%s" % (quoted(origin.tag), which, b" UID" if origin.uid else b"")


def _highest_modseq(wanted: Return, found: Found) -> int:
    """Return the mod-sequence to tell: of what is returned, or of all with ALL or COUNT (RFC 7162 §3.1.5)."""
    if not found.modseqs or not found.uids:
        return 0
    uids = found.uids
    if not wanted.options & {ReturnOption.ALL, ReturnOption.COUNT}:
        uids = saved(wanted, uids)
    return max(map(found.modseqs.__getitem__, uids), default=0)


def _placed(changes: Sequence[tuple[int, int]]) -> bytes:
    """Return `0 1:3,7` for what has no place of its own, else a pair for each message."""
    if all(not place for place, _ in changes):
        return b"0 " + render_runs([number for _, number in changes])
    return b" ".join([b"%d %d" % change for change in changes])
