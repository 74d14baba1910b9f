"""The editheader extension: fields added and deleted (RFC 5293)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.message.header import decode_words, unfold
from shared.sieve.actions import AddHeader, DeleteHeader
from shared.sieve.declare import COMPARATOR, MATCH, NUMBER, STRING, STRINGS, Declaration, Extension, Tag
from shared.sieve.errors import Fault, RunError
from shared.sieve.extensions.index import index_of
from shared.sieve.headertext import header_field, is_field_name, unbroken
from shared.sieve.revision import HeaderLine
from shared.sieve.trace import TraceKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Matcher, Operation
    from shared.sieve.run import Run
    from shared.sieve.template import Text

COST_OF_LINE = 200
"""Characters that looking at one field counts for."""
PROTECTED = frozenset({b"received", b"auto-submitted"})
"""Fields that stay: they stop loops (RFC 5293 §7)."""


def _addheader(call: Call, compiler: Compiler) -> Operation:
    name, value, last = call.text(0), call.text(1), call.has("last")
    _check_name(name)

    def addheader(run: Run) -> None:
        field, text = _field_name(name, run), unbroken(value(run))
        if len(text) > run.limits.header_value_length:
            raise RunError(f"a field that is added has at most {run.limits.header_value_length} characters")
        raw = header_field(field, text)
        line = HeaderLine(field.encode(), raw.partition(b":")[2], raw)
        lines = run.view.revision.header_lines()
        lines = (*lines, line) if last else _on_top(lines, line)
        run.revise(run.view.revision.with_lines(lines, (AddHeader(field, text, last),)))

    return addheader


def _on_top(lines: tuple[HeaderLine, ...], line: HeaderLine) -> tuple[HeaderLine, ...]:
    """Below what is no field, such as an mbox file's From line."""
    at = 1 if lines and not lines[0].name and lines[0].raw.startswith((b"From ", b">From ")) else 0
    return (*lines[:at], line, *lines[at:])


def _deleteheader(call: Call, compiler: Compiler) -> Operation:
    name, (index, last) = call.text(0), index_of(call)
    _check_name(name)
    patterns = call.texts(1) if len(call.arguments) > 1 else None
    match = None if patterns is None else call.matcher(patterns, compiler, captures=False)
    counts = (tag := call.given(MATCH)) is not None and tag.name == "count"
    if counts:
        raise call.fault('":count" can\'t be used with "deleteheader"')

    def deleteheader(run: Run) -> None:
        field = _field_name(name, run).lower().encode()
        if field in PROTECTED:
            run.note(TraceKind.NOTE, f"{field.decode()} can't be deleted")
            return
        lines = run.view.revision.header_lines()
        run.charge(COST_OF_LINE * len(lines))
        places = [place for place, line in enumerate(lines) if line.name.lower() == field]
        chosen = [place for place in _numbered(places, index, last) if _fits(lines[place], match, run)]
        if chosen:
            edits = tuple(_deleted(lines[place], places.index(place) + 1) for place in chosen)
            kept = tuple(line for place, line in enumerate(lines) if place not in chosen)
            run.revise(run.view.revision.with_lines(kept, edits))

    return deleteheader


def _numbered(places: list[int], index: int | None, last: bool) -> Sequence[int]:
    if index is None:
        return places
    if not 1 <= index <= len(places):
        return ()
    return (places[-index if last else index - 1],)


def _fits(line: HeaderLine, match: Matcher | None, run: Run) -> bool:
    return match is None or match(run, (_text(line),))


def _deleted(line: HeaderLine, occurrence: int) -> DeleteHeader:
    return DeleteHeader(line.name.decode("latin_1"), occurrence, _text(line))


def _text(line: HeaderLine) -> str:
    return decode_words(unfold(line.value)).strip()


def _check_name(name: Text) -> None:
    if name.constant is not None and not is_field_name(name.constant):
        raise Fault(f'"{name.constant[:50]}" is not the name of a field', name.node.line, name.node.column)


def _field_name(name: Text, run: Run) -> str:
    value = name(run)
    if not is_field_name(value):
        raise RunError(f'"{value[:50]}" is not the name of a field')
    return value


EXTENSION = Extension(
    "editheader",
    commands=(
        Declaration("addheader", _addheader, (STRING, STRING), (Tag("last"),), extensions=("editheader",)),
        Declaration(
            "deleteheader",
            _deleteheader,
            (STRING, STRINGS),
            (Tag("index", NUMBER), Tag("last", needs="index")),
            (MATCH, COMPARATOR),
            optional_last=True,
            extensions=("editheader",),
        ),
    ),
)
