"""The regex extension (draft-ietf-sieve-regex) on an engine that takes linear time, hence without back-references."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from shared.sieve.declare import Extension, MatchType
from shared.sieve.errors import Fault, RunError
from shared.sieve.extensions.variables import MODIFIERS, QUOTE, modifier_tag
from shared.sieve.limits import MAX_CACHED_PATTERNS, MAX_MATCH_VALUES
from shared.sieve.match import check_pattern, limited, need_substrings
from shared.sieve.pattern import Pattern, PatternError, compile_pattern

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.sieve.declare import MatchCall, Matcher
    from shared.sieve.run import Run

_SPECIAL = re.compile(r"([\\.*+?()\[\]{}|^$])")


def _regex(use: MatchCall) -> Matcher:
    need_substrings(use, "regex")
    sensitive, keys, captures = use.comparator.name == "i;octet", use.keys, use.captures
    constant: list[Pattern] | None = None
    memory = use.compiler.limits.regex_memory
    if keys.constant is not None:
        constant = []
        use.compiler.expressions += len(keys.items)
        if use.compiler.expressions > use.compiler.limits.expressions:
            raise use.call.fault(f"a script has at most {use.compiler.limits.expressions} regular expressions")
        for item in keys.items:
            check_pattern(item.constant or "", use, item.node.line, item.node.column)
            try:
                constant.append(_compile(item.constant or "", sensitive, memory))
            except RunError as error:
                raise Fault(error.message, item.node.line, item.node.column) from None

    def match(run: Run, values: Sequence[str]) -> bool:
        patterns = constant
        if patterns is None:
            patterns = [_compile(limited(key, run.limits), sensitive, run.limits.regex_memory) for key in keys(run)]
        for value in values:
            run.charge(len(value) * len(patterns))
            for pattern in patterns:
                found = pattern.search(value)
                if found is not None:
                    if captures:
                        run.set_matches([group or "" for group in (found.group(0), *found.groups())][:MAX_MATCH_VALUES])
                    return True
        return False

    return match


@lru_cache(maxsize=MAX_CACHED_PATTERNS)
def _compile(pattern: str, sensitive: bool, memory: int) -> Pattern:
    try:
        return compile_pattern(pattern, sensitive=sensitive, memory=memory)
    except PatternError as error:
        raise RunError(f"bad regular expression: {error}") from None


def _quote(value: str) -> str:
    return _SPECIAL.sub(r"\\\1", value)


MODIFIERS["quoteregex"] = _quote

EXTENSION = Extension(
    "regex",
    matches=(MatchType("regex", _regex),),
    tags={"set": (modifier_tag("quoteregex", QUOTE, "regex"),)},
)
