"""Comparators of RFC 4790 and RFC 5051: how two strings are equal, ordered, and found in one another."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from shared.message.collation import map_character

_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, slots=True)
class Comparator:
    """`fold` makes equal strings the same, `order` gives what sorts; `substrings` says whether parts can be sought.

    `by_character` folds one character, where folding changes the length: captures are found through it.
    """

    name: str
    fold: Callable[[str], str]
    order: Callable[[str], Any]
    substrings: bool = True
    by_character: Callable[[str], str] | None = None
    required: bool = True
    """Whether a script must require comparator-<name>; i;octet and i;ascii-casemap are always there."""


def _same(value: str) -> str:
    return value


def _ascii_fold(value: str) -> str:
    return value.lower() if value.isascii() else value.translate(_LOWER)


def _unicode_fold(value: str) -> str:
    """RFC 5051 §2: the titlecase mapping of each character, then compatibility decomposition."""
    if value.isascii():
        return value.upper()
    return "".join(map(_unicode_fold_character, value))


_unicode_fold_character = lru_cache(maxsize=4096)(map_character)


def _number(value: str) -> str:
    """The digits that it begins with, less leading zeros; "" is positive infinity (RFC 4790 §9.1)."""
    match = _DIGITS.match(value)
    return "" if match is None else match[0].lstrip("0") or "0"


def _number_order(value: str) -> tuple[float, str]:
    digits = _number(value)
    return (len(digits), digits) if digits else (float("inf"), "")


OCTET = Comparator("i;octet", _same, _same, required=False)
ASCII_CASEMAP = Comparator("i;ascii-casemap", _ascii_fold, _ascii_fold, required=False)
ASCII_NUMERIC = Comparator("i;ascii-numeric", _number, _number_order, substrings=False)
UNICODE_CASEMAP = Comparator("i;unicode-casemap", _unicode_fold, _unicode_fold, by_character=_unicode_fold_character)

COMPARATORS = {c.name: c for c in (OCTET, ASCII_CASEMAP, ASCII_NUMERIC, UNICODE_CASEMAP)}


def fold_with_origins(value: str, by_character: Callable[[str], str]) -> tuple[str, list[int]]:
    """The folded string, and for each of its characters (and its end) which character of the value it came from."""
    pieces, origins = list[str](), list[int]()
    for index, character in enumerate(value):
        piece = by_character(character)
        pieces.append(piece)
        origins += [index] * len(piece)
    origins.append(len(value))
    return "".join(pieces), origins
