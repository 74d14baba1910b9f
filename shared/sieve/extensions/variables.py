"""The variables extension: set and string (RFC 5229)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shared.sieve.declare import COMPARATOR, MATCH, STRING, STRINGS, Declaration, Extension, Tag
from shared.sieve.errors import Fault, RunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check, Operation
    from shared.sieve.limits import Limits
    from shared.sieve.run import Run
    from shared.sieve.template import Text

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_WILDCARD = re.compile(r"([*?\\])")

CASE, FIRST, QUOTE, LENGTH = "40", "30", "20", "10"
"""Precedences of modifiers (RFC 5229 §4.1): the highest is applied first, one of each is allowed."""
ENCODE = "15"
"""enotify's :encodeurl (RFC 5435 §6)."""


def _first(value: str, change: Callable[[str], str]) -> str:
    return change(value[:1]) + value[1:]


MODIFIERS: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "lowerfirst": lambda value: _first(value, str.lower),
    "upperfirst": lambda value: _first(value, str.upper),
    "quotewildcard": lambda value: _WILDCARD.sub(r"\\\1", value),
    "length": lambda value: str(len(value)),
}
"""What each modifier does."""


def modifier_tag(name: str, precedence: str, *extensions: str) -> Tag:
    """The tag of a modifier of set."""
    return Tag(name, group=precedence, extensions=extensions)


def variable_name(text: Text, compiler: Compiler) -> tuple[str, bool]:
    """A variable's lower-case name and whether it is in the namespace "global"; Fault when it can't be one."""
    node, name = text.node, text.node.value.lower()
    namespace, dot, rest = name.rpartition(".")
    if dot and not (namespace == "global" and compiler.has("include")):
        raise Fault(f'there is no namespace "{namespace}" for variables', node.line, node.column)
    if not _NAME.match(rest):
        raise Fault(f'"{node.value[:100]}" is not a name for a variable', node.line, node.column)
    if len(rest) > compiler.limits.variable_name:
        raise Fault(f"a variable's name has at most {compiler.limits.variable_name} characters", node.line, node.column)
    return rest, bool(dot)


def assign(run: Run, name: str, is_global: bool, value: str) -> None:
    """Set a variable, its value cut off at the limit."""
    value = value[: run.limits.variable_length]
    if is_global:
        run.globals[name] = value
    else:
        run.scope.set(name, value)
    count_variables(run, run.limits)


def count_variables(run: Run, limits: Limits) -> None:
    """RunError when there are too many."""
    if len(run.scope.values) + len(run.globals) > limits.variables:
        raise RunError(f"a script may set {limits.variables} variables")


def _set(call: Call, compiler: Compiler) -> Operation:
    name, is_global = variable_name(call.text(0), compiler)
    value = call.text(1)
    modifiers = _modifiers(call, compiler)

    def set_variable(run: Run) -> None:
        text = value(run)
        for modify in modifiers:
            text = modify(text)
        assign(run, name, is_global, text)
        if run.trace is not None:
            run.note_value(name, text)

    return set_variable


def _modifiers(call: Call, compiler: Compiler) -> tuple[Callable[[str], str], ...]:
    tags = [tag for tag in (call.given(group) for group in (CASE, FIRST, QUOTE, ENCODE, LENGTH)) if tag is not None]
    return tuple(MODIFIERS[tag.name] for tag in tags)


def _string(call: Call, compiler: Compiler) -> Check:
    source, match = call.texts(0), call.matcher(call.texts(1), compiler)
    counted = (tag := call.given(MATCH)) is not None and tag.name == "count"

    def string(run: Run) -> bool:
        values = source(run)
        # RFC 5229 §5: for :count, empty strings aren't counted
        return match(run, [value for value in values if value] if counted else values)

    return string


EXTENSION = Extension(
    "variables",
    commands=(
        Declaration(
            "set",
            _set,
            (STRING, STRING),
            (
                modifier_tag("lower", CASE),
                modifier_tag("upper", CASE),
                modifier_tag("lowerfirst", FIRST),
                modifier_tag("upperfirst", FIRST),
                modifier_tag("quotewildcard", QUOTE),
                modifier_tag("length", LENGTH),
            ),
            extensions=("variables",),
        ),
    ),
    tests=(Declaration("string", _string, (STRINGS, STRINGS), groups=(MATCH, COMPARATOR), extensions=("variables",)),),
)
