"""The base language's match types, and how a test gets its matcher (RFC 5228 §2.7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.declare import MatchCall, MatchType
from shared.sieve.errors import Fault, RunError
from shared.sieve.glob import compile_glob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.sieve.declare import Matcher
    from shared.sieve.glob import Glob
    from shared.sieve.limits import Limits
    from shared.sieve.run import Run


def match_is(use: MatchCall) -> Matcher:
    """:is: a value equals a key."""
    fold, keys = use.comparator.fold, use.keys
    if keys.constant is not None:
        wanted = frozenset(map(fold, keys.constant))

        def constant(run: Run, values: Sequence[str]) -> bool:
            return _is_one_of(wanted, fold, run, values)

        return constant

    def variable(run: Run, values: Sequence[str]) -> bool:
        return _is_one_of(frozenset(map(fold, keys(run))), fold, run, values)

    return variable


def _is_one_of(wanted: frozenset[str], fold: Callable[[str], str], run: Run, values: Sequence[str]) -> bool:
    for value in values:
        run.charge(len(value))
        if fold(value) in wanted:
            return True
    return False


def match_contains(use: MatchCall) -> Matcher:
    """:contains: a key is somewhere in a value."""
    need_substrings(use, "contains")
    fold, keys = use.comparator.fold, use.keys
    constant = None if keys.constant is None else tuple(map(fold, keys.constant))

    def match(run: Run, values: Sequence[str]) -> bool:
        sought = tuple(map(fold, keys(run))) if constant is None else constant
        for value in values:
            folded = fold(value)
            run.charge(len(folded) * len(sought))
            for key in sought:
                if key in folded:
                    return True
        return False

    return match


def match_matches(use: MatchCall) -> Matcher:
    """:matches: a key with wildcards is the whole of a value."""
    need_substrings(use, "matches")
    comparator, keys, captures = use.comparator, use.keys, use.captures
    globs: tuple[Glob, ...] | None = None
    if keys.constant is not None:
        for item in keys.items:
            check_pattern(item.constant or "", use, item.node.line, item.node.column)
        globs = tuple([compile_glob(key, comparator) for key in keys.constant])

    def match(run: Run, values: Sequence[str]) -> bool:
        sought = globs
        if sought is None:
            sought = tuple([compile_glob(limited(key, run.limits), comparator) for key in keys(run)])
        for value in values:
            run.charge(len(value) * len(sought))
            for glob in sought:
                found = glob(value)
                if found is not None:
                    if captures:
                        run.set_matches(found)
                    return True
        return False

    return match


def need_substrings(use: MatchCall, name: str) -> None:
    """RFC 4790 §9.1: i;ascii-numeric has no substrings to look for."""
    if not use.comparator.substrings:
        raise use.call.fault(f":{name} can't be used with the comparator {use.comparator.name}")


def check_pattern(pattern: str, use: MatchCall, line: int, column: int) -> None:
    """Refuse a constant pattern that is too long."""
    most = use.compiler.limits.pattern_length
    if len(pattern) > most:
        raise Fault(f"a pattern has at most {most} characters", line, column)


def limited(pattern: str, limits: Limits) -> str:
    """A pattern made by variables, within its limit."""
    if len(pattern) > limits.pattern_length:
        raise RunError(f"a pattern is longer than {limits.pattern_length} characters")
    return pattern


BASE_MATCHES = (
    MatchType("is", match_is),
    MatchType("contains", match_contains),
    MatchType("matches", match_matches),
)
