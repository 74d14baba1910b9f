"""A mailbox's keywords: names for bits 8 to 62 of its messages' flags (bit 63 is SQL's sign)."""

from __future__ import annotations

from shared.db import Work, load
from shared.imap.flags import KEYWORD_SHIFT, SYSTEM_MASK, FlagSet, Keywords
from shared.mailbox.errors import LimitReached

MAX_KEYWORDS = 63 - KEYWORD_SHIFT  # of one mailbox
KEYWORD_MASK = ((1 << 63) - 1) & ~((1 << KEYWORD_SHIFT) - 1)

sql = load("flags")


def keywords_of(mailbox_id: int) -> Work[Keywords]:
    """Return the keywords of a mailbox."""
    rows = yield sql.keywords(mailbox_id=mailbox_id)
    return Keywords(tuple(row["name"].encode("ascii") for row in rows))


def learn(mailbox_id: int, flags: FlagSet) -> Work[Keywords]:
    """Return the mailbox's keywords with those of `flags` added; the mailbox is locked. LimitReached."""
    known = yield from keywords_of(mailbox_id)
    missing = known.missing(flags)
    if not missing:
        return known
    if len(known.names) + len(missing) > MAX_KEYWORDS:
        raise LimitReached(f"A mailbox holds at most {MAX_KEYWORDS} keywords")
    first = KEYWORD_SHIFT + len(known.names)
    rows = [(mailbox_id, first + number, name.decode("ascii")) for number, name in enumerate(missing)]
    yield sql.insert_keywords(rows=rows)
    return known.learn(missing)


def translate(mask: int, source: Keywords, target: Keywords) -> int:
    """Return a set of one mailbox's flags in another one's bits; unknown keywords are left out."""
    if not mask & KEYWORD_MASK:
        return mask & SYSTEM_MASK
    names = [name for name in source.names_of(mask) if not name.startswith(b"\\")]
    return target.mask(FlagSet(mask & SYSTEM_MASK, tuple(names)))
