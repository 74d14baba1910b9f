"""Rights on mailboxes: their letters, how clients change them, which flags they let change (RFC 4314 §2).

Rights are a string of letters in the order of `ALL_RIGHTS`, each once, so that `"r" in rights` asks for one.
"""

from __future__ import annotations

from collections.abc import Iterable

from shared.imap.flags import ALL_BITS, DELETED, SEEN, FlagSet

ALL_RIGHTS = "lrswipkxtea"
"""lookup, read, seen, write, insert, post, create, delete mailbox, delete message, expunge, administer."""

NEW_RIGHTS = "texk"
"""What the capability RIGHTS= has to name: rights that RFC 2086 didn't know."""

ANYONE = "anyone"
"""The identifier of every account."""

NEGATIVE = "-"
"""Begins an identifier whose rights are taken away (§2)."""

FLAG_RIGHTS = "swt"
READ_WRITE_RIGHTS = "ieswt"
"""With any of these SELECT says READ-WRITE (§5.2)."""

MAX_IDENTIFIER = 320  # octets
_OBSOLETE = {"c": "kx", "d": "te"}  # RFC 2086's create and delete (§2.1.1)


class BadRights(ValueError):
    """Not rights that we know: answer BAD (§3.1)."""


def canonical(letters: Iterable[str]) -> str:
    """Return rights in order, each once."""
    wanted = set(letters)
    return "".join(letter for letter in ALL_RIGHTS if letter in wanted)


def parse_rights(text: str) -> str:
    """Return the rights that a client names, the obsolete c and d as what they stand for; BadRights."""
    expanded = "".join(_OBSOLETE.get(letter, letter) for letter in text)
    unknown = set(expanded) - set(ALL_RIGHTS)
    if unknown:
        raise BadRights(f"There is no right {min(unknown)!r}")
    return canonical(expanded)


def show_rights(rights: str) -> bytes:
    """Return rights as they go over the wire, with c and d for clients of RFC 2086 (§2.1.1); "" if none."""
    virtual = "".join(letter for letter, members in _OBSOLETE.items() if set(members) & set(rights))
    return (rights + virtual).encode("ascii") or b'""'


def effective(granted: Iterable[tuple[str, str]]) -> str:
    """Return a person's rights from the (identifier, rights) entries that are about them.

    All positive rights together, less all negative ones (§2, the recommended implementation).
    """
    given: set[str] = set()
    taken: set[str] = set()
    for identifier, rights in granted:
        (taken if identifier.startswith(NEGATIVE) else given).update(rights)
    return canonical(given - taken)


def changeable_flags(rights: str) -> int:
    r"""Return the bits of the flags that may be changed: s is \Seen, t is \Deleted, w all others (§4)."""
    bits = 0
    if "s" in rights:
        bits |= SEEN
    if "t" in rights:
        bits |= DELETED
    if "w" in rights:
        bits |= ALL_BITS & ~(SEEN | DELETED)
    return bits


def restrict(flags: FlagSet, settable: int) -> FlagSet:
    """Return the flags of a new message that may be set in its mailbox; the others are passed over (§4)."""
    if settable == ALL_BITS:
        return flags
    keywords = flags.keywords if settable & ~(SEEN | DELETED) else ()
    return FlagSet(flags.system & settable, keywords)
