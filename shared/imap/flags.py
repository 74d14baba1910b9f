"""Flags as a 64-bit set: system flags in bits 0-4, a mailbox's own keywords from bit 8 (RFC 3501 §2.3.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from shared.imap.limits import MAX_CACHED_FLAG_LISTS, MAX_KEYWORD
from shared.imap.sequence import Range, contains, intersect

SEEN = 1
ANSWERED = 2
FLAGGED = 4
DELETED = 8
DRAFT = 16
SYSTEM_MASK = SEEN | ANSWERED | FLAGGED | DELETED | DRAFT
KEYWORD_SHIFT = 8
MAX_KEYWORDS = 64 - KEYWORD_SHIFT
ALL_BITS = (1 << 63) - 1  # bit 63 is SQL's sign
KEYWORD_BITS = ALL_BITS & ~((1 << KEYWORD_SHIFT) - 1)

SYSTEM_FLAGS: dict[bytes, int] = {
    b"\\Answered": ANSWERED,
    b"\\Flagged": FLAGGED,
    b"\\Deleted": DELETED,
    b"\\Seen": SEEN,
    b"\\Draft": DRAFT,
}
RECENT_NAME = b"\\Recent"

_SYSTEM_BY_LOWER = {name.lower(): bit for name, bit in SYSTEM_FLAGS.items()}
# flag-keyword = atom
_KEYWORD = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")


class BadFlag(ValueError):
    """Not a flag, or one that a client can't set."""


class TooManyKeywords(ValueError):
    """The mailbox has no bit left for another keyword: answer NO [LIMIT]."""


@dataclass(frozen=True, slots=True)
class FlagSet:
    """Flags as a client names them: system bits, and keywords that a mailbox still has to map."""

    system: int = 0
    keywords: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Keywords:
    """The keywords of one mailbox; the n-th name is bit `KEYWORD_SHIFT + n`. Names ignore case."""

    names: tuple[bytes, ...] = ()
    _bits: dict[bytes, int] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.names) > MAX_KEYWORDS:
            raise TooManyKeywords("a mailbox holds at most 56 keywords")
        for index, name in enumerate(self.names):
            self._bits.setdefault(name.lower(), 1 << (KEYWORD_SHIFT + index))

    def bit(self, name: bytes) -> int | None:
        """Return the bit of a keyword, or None when the mailbox doesn't know it."""
        return self._bits.get(name.lower())

    def missing(self, flags: FlagSet) -> tuple[bytes, ...]:
        """Return the keywords that the mailbox has to learn before `mask`, each once."""
        unknown: dict[bytes, bytes] = {}
        for name in flags.keywords:
            if name.lower() not in self._bits:
                unknown.setdefault(name.lower(), name)
        return tuple(unknown.values())

    def learn(self, names: Iterable[bytes]) -> Keywords:
        """Return these keywords and those new ones behind them; raises TooManyKeywords."""
        return Keywords(self.names + self.missing(FlagSet(keywords=tuple(names))))

    def mask(self, flags: FlagSet) -> int:
        """Return the 64-bit set; keywords the mailbox doesn't know are left out."""
        mask = flags.system
        for name in flags.keywords:
            mask |= self._bits.get(name.lower(), 0)
        return mask

    def names_of(self, mask: int) -> list[bytes]:
        """Return the names of the flags in a set, system flags first."""
        names = [name for name, bit in SYSTEM_FLAGS.items() if mask & bit]
        names += [name for i, name in enumerate(self.names) if mask >> (KEYWORD_SHIFT + i) & 1]
        return names


class FlagLists:
    r"""Renders the flag lists of one mailbox and remembers them: a mailbox has few different ones.

    `recent` are the UIDs of messages that are \Recent in the session.
    """

    def __init__(self, keywords: Keywords, recent: tuple[Range, ...] = ()) -> None:
        self.keywords = keywords
        self.recent = recent
        self._rendered: dict[tuple[int, bool], bytes] = {}

    def render(self, mask: int, recent: bool = False) -> bytes:
        r"""Return `(\Seen $Forwarded)`."""
        rendered = self._rendered.get((mask, recent))
        if rendered is None:
            names = self.keywords.names_of(mask) + ([RECENT_NAME] if recent else [])
            rendered = render_list(names)
            if len(self._rendered) >= MAX_CACHED_FLAG_LISTS:
                self._rendered.clear()
            self._rendered[mask, recent] = rendered
        return rendered

    def render_all(self, uids: Sequence[int], masks: Sequence[int]) -> list[bytes]:
        """Return the lists of messages with these UIDs and flags."""
        span = ((min(uids), max(uids)),) if self.recent and uids else ()
        recent = intersect(self.recent, span)
        if recent and recent != span:
            return [self.render(mask, contains(recent, uid)) for uid, mask in zip(uids, masks, strict=True)]
        rendered = {mask: self.render(mask, bool(recent)) for mask in set(masks)}
        return list(map(rendered.__getitem__, masks))

    def render_known(self) -> bytes:
        """Return the list for the untagged FLAGS response: all flags the mailbox knows."""
        return render_list([*SYSTEM_FLAGS, *self.keywords.names])

    def render_permanent(self, settable: int = ALL_BITS) -> bytes:
        r"""Return the list for PERMANENTFLAGS, with `\*` while new keywords can be made (RFC 3501 §7.1).

        `settable` are the flags that may be changed (RFC 4314 §5.1.1); keywords go together.
        """
        system = [name for name, bit in SYSTEM_FLAGS.items() if settable & bit]
        if not settable >> KEYWORD_SHIFT:
            return render_list(system)
        more = [b"\\*"] if len(self.keywords.names) < MAX_KEYWORDS else []
        return render_list([*system, *self.keywords.names, *more])


def render_list(names: Iterable[bytes]) -> bytes:
    """Return a parenthesised list of names."""
    return b"(" + b" ".join(names) + b")"


def parse_flags(names: Iterable[bytes]) -> FlagSet:
    r"""Turn flag names from a client into a set; raises BadFlag for \Recent and unknown system flags."""
    system = 0
    keywords: dict[bytes, bytes] = {}
    for name in names:
        if name.startswith(b"\\"):
            system |= _system_bit(name)
        elif len(name) > MAX_KEYWORD or _KEYWORD.fullmatch(name) is None:
            raise BadFlag("not a flag keyword")
        else:
            keywords.setdefault(name.lower(), name)
    return FlagSet(system, tuple(keywords.values()))


def _system_bit(name: bytes) -> int:
    bit = _SYSTEM_BY_LOWER.get(name.lower())
    if bit is None:
        raise BadFlag("not a flag that can be set")
    return bit
