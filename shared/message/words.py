"""The words of a message's text, for an index that answers as `contains_text` does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shared.message.collation import casemap
from shared.message.text import is_plain, searchable_text

if TYPE_CHECKING:
    from shared.message.octets import Octets

MAX_WORD_QUERY = 1_000
"""Octets of a text that is looked up as a word."""

# Runs of what isn't ASCII punctuation or white space, after `casemap`.
_WORD = re.compile(rb"[0-9A-Za-z\x80-\xff]+")


def words_of(data: Octets) -> set[bytes]:
    """Return every word of a message: the text of `contains_text` is in one of them if it is a word itself."""
    found: set[bytes] = set()
    if is_plain(data):
        found.update(_ASCII_WORD.findall(data.upper()))
        if data.isascii():
            return found
    for text in searchable_text(data):
        found.update(_WORD.findall(casemap(text)))
    return found


_ASCII_WORD = re.compile(rb"[0-9A-Z]+")


def query_words(text: str) -> list[bytes]:
    """Return the words that a message has, perhaps inside longer ones, if it contains a text."""
    return _WORD.findall(casemap(text)[:MAX_WORD_QUERY])


def is_word(text: str) -> bool:
    """Say whether a text is a single word, so that a message contains it exactly if a word of it does."""
    mapped = casemap(text)
    same_kind = text.isascii() == mapped.isascii()  # only ASCII is looked for in a message as it stands
    return same_kind and len(mapped) <= MAX_WORD_QUERY and _WORD.fullmatch(mapped) is not None
