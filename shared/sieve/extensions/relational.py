"""The relational extension: :value and :count (RFC 5231)."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

from shared.sieve.declare import STRING, Extension, MatchType
from shared.sieve.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from shared.sieve.declare import MatchCall, Matcher
    from shared.sieve.run import Run

_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
}


def _relation(use: MatchCall) -> Callable[[Any, Any], bool]:
    assert use.argument is not None
    name, node = use.argument.constant, use.argument.node
    relation = _RELATIONS.get((name or "").lower())
    if relation is None:
        raise Fault(f'"{node.value[:50]}" is no relation: gt, ge, lt, le, eq and ne are', node.line, node.column)
    return relation


def _value(use: MatchCall) -> Matcher:
    relation, order, keys = _relation(use), use.comparator.order, use.keys

    def match(run: Run, values: Sequence[str]) -> bool:
        wanted = [order(key) for key in keys(run)]
        run.charge(sum(map(len, values)) * len(wanted))
        return any(relation(order(value), key) for value in values for key in wanted)

    return match


def _count(use: MatchCall) -> Matcher:
    relation, order, keys = _relation(use), use.comparator.order, use.keys

    def match(run: Run, values: Sequence[str]) -> bool:
        count = order(str(len(values)))
        return any(relation(count, order(key)) for key in keys(run))

    return match


EXTENSION = Extension("relational", matches=(MatchType("value", _value, STRING), MatchType("count", _count, STRING)))
