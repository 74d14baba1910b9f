"""The index extension: one of several fields of a name (RFC 5260 §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from shared.sieve.declare import NUMBER, Extension, Tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.sieve.compiler import Call

Value = TypeVar("Value")


def index_of(call: Call) -> tuple[int | None, bool]:
    """Which field is asked for, counted from 1, and whether from the end; None for all of them."""
    index = call.tag_number("index")
    if index == 0:
        raise call.tag_fault("index", '":index" counts from 1')
    return index, call.has("last")


def pick(values: Sequence[Value], index: int, last: bool) -> Sequence[Value]:
    """The value with a number from 1, from the end with `last`; none when there is none such."""
    if not 1 <= index <= len(values):
        return ()
    return (values[-index if last else index - 1],)


_TAGS = (Tag("index", NUMBER, extensions=("index",)), Tag("last", needs="index", extensions=("index",)))

EXTENSION = Extension("index", tags={"header": _TAGS, "address": _TAGS, "date": _TAGS})
