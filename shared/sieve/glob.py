"""Patterns of :matches: "*" and "?", a backslash before what is meant as it stands (RFC 5228 §2.7.1)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from shared.sieve.comparator import Comparator, fold_with_origins
from shared.sieve.errors import RunError
from shared.sieve.limits import MAX_CACHED_PATTERNS, MAX_MATCH_VALUES
from shared.sieve.pattern import Pattern, PatternError, compile_pattern, quote_pattern

if TYPE_CHECKING:
    from collections.abc import Callable

    Captures: TypeAlias = "tuple[str, ...] | None"
    Glob: TypeAlias = "Callable[[str], Captures]"


@lru_cache(maxsize=MAX_CACHED_PATTERNS)
def compile_glob(pattern: str, comparator: Comparator) -> Glob:
    """A function from a value to ${0}, ${1} … or None; linear in the value, wildcards take as little as they can."""
    pieces = split_glob(pattern)
    if not any(piece in (ANY, ONE) for piece in pieces):
        return _equal(comparator.fold("".join(pieces)), comparator)
    folded = [piece if piece in (ANY, ONE) else comparator.fold(piece) for piece in pieces]
    if comparator.by_character is not None:
        return _by_character(folded, comparator)
    return _general(folded, comparator) if ONE in folded else _stars(folded, comparator)


ANY = "\0*"
ONE = "\0?"


def split_glob(pattern: str) -> list[str]:
    """Literals, ANY and ONE in order; no literal has a NUL, so that none looks like a wildcard."""
    pieces, literal, escaped = list[str](), "", False
    for character in pattern:
        if escaped:
            literal, escaped = literal + character, False
        elif character == "\\":
            escaped = True
        elif character in "*?":
            if literal:
                pieces.append(literal)
            wildcard = ANY if character == "*" else ONE
            pieces.append(wildcard)
            literal = ""
        else:
            literal += character
    if escaped:
        literal += "\\"
    return [*pieces, literal] if literal else pieces


def _equal(wanted: str, comparator: Comparator) -> Glob:
    fold = comparator.fold

    def match(value: str) -> Captures:
        return (value,) if fold(value) == wanted else None

    return match


def _stars(pieces: list[str], comparator: Comparator) -> Glob:
    """Without "?": each literal at the first place after the one before is what little-taking stars come to."""
    fold = comparator.fold
    head = "" if pieces[0] == ANY else pieces[0]
    tail = "" if pieces[-1] == ANY else pieces[-1]
    inner = pieces[1 if head else 0 : len(pieces) - 1 if tail else len(pieces)]
    # between two stars there may be no literal: then the first of them takes nothing
    literals, last = list[str](), ANY
    for piece in inner[1:]:
        if piece == ANY and last == ANY:
            literals.append("")
        elif piece != ANY:
            literals.append(piece)
        last = piece
    least = len(head) + len(tail)

    def match(value: str) -> Captures:
        folded = fold(value)
        end = len(folded) - len(tail)
        if len(folded) < least or not folded.startswith(head) or not folded.endswith(tail):
            return None
        at = len(head)
        taken = [value]
        for literal in literals:
            found = folded.find(literal, at, end)
            if found < 0:
                return None
            taken.append(value[at:found])
            at = found + len(literal)
        taken.append(value[at:end])
        return tuple(taken[:MAX_MATCH_VALUES])

    return match


def _general(pieces: list[str], comparator: Comparator) -> Glob:
    expression, fold = _expression(pieces), comparator.fold

    def match(value: str) -> Captures:
        found = expression.match(fold(value))
        if found is None:
            return None
        spans = [found.span(group) for group in range(1, expression.groups + 1)]
        return (value, *(value[start:end] for start, end in spans))

    return match


def _by_character(pieces: list[str], comparator: Comparator) -> Glob:
    expression, by_character = _expression(pieces), comparator.by_character
    assert by_character is not None

    def match(value: str) -> Captures:
        folded, origins = fold_with_origins(value, by_character)
        found = expression.match(folded)
        if found is None:
            return None
        spans = [found.span(group) for group in range(1, expression.groups + 1)]
        return (value, *(value[origins[start] : origins[end]] for start, end in spans))

    return match


def _expression(pieces: list[str]) -> Pattern:
    groups, parts = 0, list[str]()
    for piece in pieces:
        if piece in (ANY, ONE):
            groups += 1
            inner = ".*?" if piece == ANY else "."
            parts.append(f"({inner})" if groups < MAX_MATCH_VALUES else f"(?:{inner})")
        else:
            parts.append(quote_pattern(piece))
    try:
        return compile_pattern("(?s)\\A" + "".join(parts) + "\\z")
    except PatternError:
        raise RunError("a :matches pattern is too large") from None
