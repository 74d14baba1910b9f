"""The date extension: date and currentdate (RFC 5260)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.declare import COMPARATOR, MATCH, STRING, STRINGS, Declaration, Extension, Tag
from shared.sieve.errors import Fault, RunError
from shared.sieve.extensions.index import index_of, pick
from shared.sieve.instant import DATE_PARTS, date_part, parse_zone, sent_moment, shifted
from shared.sieve.message import field_key

if TYPE_CHECKING:
    from datetime import timedelta

    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check
    from shared.sieve.run import Run
    from shared.sieve.template import Text


COST_OF_DATE = 2000
"""Characters that one field with a date counts for."""


def _date(call: Call, compiler: Compiler) -> Check:
    field, part, match = call.text(0), call.text(1), call.matcher(call.texts(2), compiler)
    zone, original = call.tag_text("zone"), call.has("originalzone")
    index, last = index_of(call)
    _check(part, zone)

    def date(run: Run) -> bool:
        raw = run.view.headers.get_all(field_key(field(run)))
        run.charge(COST_OF_DATE * len(raw))
        moments = [moment for moment in map(sent_moment, raw if index is None else pick(raw, index, last)) if moment]
        if not original:
            offset = _offset(zone, run)
            moments = [shifted(moment, offset) for moment in moments]
        wanted = _part(part, run)
        return match(run, [date_part(moment, wanted) for moment in moments])

    return date


def _currentdate(call: Call, compiler: Compiler) -> Check:
    part, match, zone = call.text(0), call.matcher(call.texts(1), compiler), call.tag_text("zone")
    _check(part, zone)

    def currentdate(run: Run) -> bool:
        return match(run, [date_part(shifted(run.now, _offset(zone, run)), _part(part, run))])

    return currentdate


def _check(part: Text, zone: Text | None) -> None:
    if part.constant is not None and part.constant.lower() not in DATE_PARTS:
        raise Fault(f'unknown date part "{part.constant}"', part.node.line, part.node.column)
    if zone is not None and zone.constant is not None and parse_zone(zone.constant) is None:
        raise Fault(f'"{zone.constant}" is no time zone such as "+0100"', zone.node.line, zone.node.column)


def _part(part: Text, run: Run) -> str:
    name = part(run).lower()
    if name not in DATE_PARTS:
        raise RunError(f'unknown date part "{name}"')
    return name


def _offset(zone: Text | None, run: Run) -> timedelta | None:
    if zone is None:
        return run.now.utcoffset()
    offset = parse_zone(zone(run))
    if offset is None:
        raise RunError(f'"{zone(run)}" is no time zone such as "+0100"')
    return offset


_ZONE = Tag("zone", STRING, group="zone")

EXTENSION = Extension(
    "date",
    tests=(
        Declaration(
            "date",
            _date,
            (STRING, STRING, STRINGS),
            (_ZONE, Tag("originalzone", group="zone")),
            (MATCH, COMPARATOR),
            extensions=("date",),
        ),
        Declaration(
            "currentdate", _currentdate, (STRING, STRINGS), (_ZONE,), (MATCH, COMPARATOR), extensions=("date",)
        ),
    ),
)
