"""LIST: which names a client is shown, with which attributes (RFC 3501 §6.3.8, RFC 5258, RFC 6154, RFC 9051 §6.3.9)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar

from shared.imap.mailbox_name import ListPattern, parents

NOSELECT = b"\\Noselect"
NONEXISTENT = b"\\NonExistent"
SUBSCRIBED = b"\\Subscribed"
HAS_CHILDREN = b"\\HasChildren"
HAS_NO_CHILDREN = b"\\HasNoChildren"


class Selection(Enum):
    """Which names are listed; the value is the option's name on the wire."""

    SUBSCRIBED = b"SUBSCRIBED"
    REMOTE = b"REMOTE"  # there are none
    RECURSIVEMATCH = b"RECURSIVEMATCH"
    SPECIAL_USE = b"SPECIAL-USE"


CRITERIA = (Selection.SUBSCRIBED, Selection.SPECIAL_USE)
"""Selection options that can be used by themselves, in the order that CHILDINFO names them."""


class Return(Enum):
    """What is told of each name, beside what is always told; STATUS and METADATA have arguments."""

    SUBSCRIBED = b"SUBSCRIBED"
    CHILDREN = b"CHILDREN"  # always
    SPECIAL_USE = b"SPECIAL-USE"  # always
    MYRIGHTS = b"MYRIGHTS"


class Entry(Protocol):
    """A name of the hierarchy; one that doesn't exist is a parent of others, or only subscribed."""

    @property
    def name(self) -> str: ...

    @property
    def exists(self) -> bool: ...

    @property
    def selectable(self) -> bool: ...

    @property
    def has_children(self) -> bool: ...

    @property
    def subscribed(self) -> bool: ...

    @property
    def special_use(self) -> str: ...


E = TypeVar("E", bound=Entry)


@dataclass(frozen=True, slots=True)
class Line(Generic[E]):
    """A line of LIST; one that is only there for what is below it `is_parent_only`."""

    entry: E
    child_info: tuple[bytes, ...] = ()
    is_parent_only: bool = False


@dataclass(frozen=True, slots=True)
class Style:
    """How attributes are told: with what was asked for, and by which revision."""

    with_subscribed: bool = False
    with_nonexistent: bool = False  # \\NonExistent is known to the client, else \\Noselect


def choose(entries: Sequence[E], patterns: Iterable[str], selection: frozenset[Selection]) -> Iterator[Line[E]]:
    """Yield the lines of the entries that match any pattern and the selection."""
    matches = matcher(patterns)
    criteria = tuple(option for option in CRITERIA if option in selection)
    if not criteria:
        for entry in entries:
            if (entry.exists or entry.has_children) and matches(entry.name):
                yield Line(entry)
    elif Selection.RECURSIVEMATCH in selection:
        yield from _choose_with_parents(entries, matches, criteria)
    else:
        for entry in entries:
            if _meets(entry, criteria) and matches(entry.name):
                yield Line(entry)


def attributes(entry: Entry, style: Style) -> list[bytes]:
    """Return the attributes of a name."""
    told: list[bytes] = []
    if style.with_subscribed and entry.subscribed:
        told.append(SUBSCRIBED)
    if not entry.exists:
        told.append(NONEXISTENT if style.with_nonexistent else NOSELECT)
    elif not entry.selectable:
        told.append(NOSELECT)
    told.append(HAS_CHILDREN if entry.has_children else HAS_NO_CHILDREN)
    if entry.special_use:
        told += [use.encode("ascii") for use in entry.special_use.split(" ")]
    return told


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return what says whether a name matches any of the patterns; an empty one matches none."""
    made = [ListPattern(pattern) for pattern in patterns if pattern]
    if any(pattern.text == "*" for pattern in made):
        return lambda name: True
    return lambda name: any(pattern.matches(name) for pattern in made)


def _meets(entry: Entry, criteria: Iterable[Selection]) -> bool:
    return all(
        entry.subscribed if option is Selection.SUBSCRIBED else bool(entry.special_use and entry.exists)
        for option in criteria
    )


def _choose_with_parents(
    entries: Sequence[E], matches: Callable[[str], bool], criteria: tuple[Selection, ...]
) -> Iterator[Line[E]]:
    """Also yield names above those that meet the criteria and aren't shown themselves (RFC 5258 §3.3, §3.5)."""
    met = {entry.name for entry in entries if _meets(entry, criteria)}
    shown = {name for name in met if matches(name)}
    above = {parent for name in met for parent in parents(name)}
    above_hidden = {parent for name in met - shown for parent in parents(name)}
    info = tuple(option.value for option in criteria)
    for entry in entries:
        if entry.name in shown:
            yield Line(entry, info if entry.name in above else ())
        elif entry.name in above_hidden and matches(entry.name):
            yield Line(entry, info, is_parent_only=True)
