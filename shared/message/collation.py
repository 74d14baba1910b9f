"""The collation i;unicode-casemap, by which text is searched, sorted and threaded (RFC 5051, RFC 5255 §4.4)."""

from __future__ import annotations

import re
import unicodedata

MAX_CACHED_RUNS = 20_000
"""Runs of non-ASCII octets, mostly words, of which the mapping is remembered."""

_NOT_ASCII = re.compile(rb"[\x80-\xff]+")


def casemap(text: str) -> bytes:
    """Return text as it is compared: in title case, decomposed, as UTF-8.

    Characters are mapped one by one, so that what is a part of a text is a part of its mapping.
    """
    octets = text.encode("utf-8", "surrogatepass").upper()
    return octets if octets.isascii() else _NOT_ASCII.sub(_mapped, octets)


def _mapped(match: re.Match[bytes]) -> bytes:
    return _runs[match[0]]


class _Runs(dict[bytes, bytes]):
    """The mapping of runs, computed when they are asked for."""

    def __missing__(self, run: bytes) -> bytes:
        if len(self) >= MAX_CACHED_RUNS:
            self.clear()
        text = run.decode("utf-8", "surrogatepass")
        mapped = self[run] = "".join(map(map_character, text)).encode("utf-8", "surrogatepass")
        return mapped


_runs = _Runs()


def map_character(character: str) -> str:
    """Return the mapping of one character (RFC 5051 §2)."""
    title = character.title()
    # RFC 5051 uses the simple mapping of UnicodeData.txt, which never makes two characters of one
    return unicodedata.normalize("NFKD", title if len(title) == 1 else character)
