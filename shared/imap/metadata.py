"""Annotations of mailboxes and of the server: entry names, and what GETMETADATA asks for (RFC 5464)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

MAX_ENTRY_NAME = 256  # octets
MAX_ENTRIES_ASKED = 100  # in one command
PRIVATE = "/private"
SHARED = "/shared"
SPECIAL_USE_ENTRY = "/private/specialuse"  # RFC 6154 §4
ADMIN_ENTRY = "/shared/admin"  # of the server: whom to write to

# slash-separated, printable ASCII without * and %, no empty part (§3.2)
_ENTRY = re.compile(r"/(?:private|shared)(?:/[!-$&-)+-.0-~]+)+")


class BadEntry(ValueError):
    """Not the name of an entry: answer BAD."""


class Depth(Enum):
    """Which entries below those named are meant too (§4.2.2)."""

    NONE = b"0"
    ONE = b"1"
    ALL = b"INFINITY"


@dataclass(frozen=True, slots=True)
class Query:
    """Entries in lower case, and GETMETADATA's options: values over `max_size` octets are left out."""

    entries: tuple[str, ...]
    depth: Depth = Depth.NONE
    max_size: int | None = None

    def covers(self, entry: str) -> bool:
        """Say whether an entry was asked for."""
        return any(self._reaches(asked, entry) for asked in self.entries)

    def _reaches(self, asked: str, entry: str) -> bool:
        if entry == asked:
            return True
        if self.depth is Depth.NONE or not entry.startswith(asked + "/"):
            return False
        return self.depth is Depth.ALL or "/" not in entry[len(asked) + 1 :]


def parse_asked(name: bytes) -> str:
    """Return the name of an entry that is asked for: also what all of one's own, or all shared ones, are below."""
    scope = name.decode("ascii", "replace").lower()
    return scope if scope in (PRIVATE, SHARED) else parse_entry(name)


def parse_entry(name: bytes) -> str:
    """Return an entry's name in lower case; raises BadEntry."""
    try:
        entry = name.decode("ascii").lower()
    except UnicodeDecodeError:
        raise BadEntry("the name of an entry is ASCII") from None
    if len(entry) > MAX_ENTRY_NAME or _ENTRY.fullmatch(entry) is None:
        raise BadEntry("an entry is /private/… or /shared/…")
    return entry


def is_private(entry: str) -> bool:
    """Say whether an entry is each account's own."""
    return entry.startswith(PRIVATE)
