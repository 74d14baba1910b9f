"""The envelope extension (RFC 5228 §5.4) and what RFC 6009 adds: envelope-dsn and envelope-deliverby."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shared.sieve.declare import (
    ADDRESS_PART,
    COMPARATOR,
    MATCH,
    STRING,
    STRINGS,
    Declaration,
    Extension,
    Tag,
)
from shared.sieve.errors import Fault, RunError
from shared.sieve.extensions.subaddress import part_of
from shared.sieve.instant import date_part, parse_zone, shifted
from shared.sieve.message import MailAddress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check
    from shared.sieve.run import Run
    from shared.sieve.template import Text

_ADDRESSES = ("from", "to")
_ROUTE = re.compile(r"@[^,:@\s]++(?:,@[^,:@\s]++)*+:")  # RFC 5321 §4.1.2
_NO_LOCAL = re.compile(r"[@:;,<>()\[\]\\\s]")


def _envelope(call: Call, compiler: Compiler) -> Check:
    parts, match, address_part = call.texts(0), call.matcher(call.texts(1), compiler), call.address_part()
    zone = call.tag_text("zone")
    for item in parts.items:
        if item.constant is not None:
            problem = _problem(item.constant.lower(), compiler)
            if problem:
                raise Fault(problem, item.node.line, item.node.column)
    if (tag := call.given(ADDRESS_PART)) is not None and tag.name != "all":
        _check_address_parts(parts.items)

    def envelope(run: Run) -> bool:
        values = list[str]()
        offset = "" if zone is None else zone(run)
        for name in parts(run):
            values += _values(run, name.lower(), address_part, offset, compiler)
        return match(run, values)

    return envelope


def _check_address_parts(items: Sequence[Text]) -> None:
    for item in items:
        if item.constant is not None and item.constant.lower() not in _ADDRESSES:
            raise Fault(
                f'the envelope part "{item.constant}" is no address and has no parts', item.node.line, item.node.column
            )


def _problem(name: str, compiler: Compiler) -> str:
    part = compiler.language.envelope_parts.get(name)
    if part is None:
        return f'unknown envelope part "{name}"'
    return "" if compiler.has(part[0]) else f'the envelope part "{name}" needs require "{part[0]}"'


def _values(run: Run, name: str, address_part: str, zone: str, compiler: Compiler) -> Sequence[str]:
    problem = _problem(name, compiler)
    if problem:
        raise RunError(problem)
    values = compiler.language.envelope_parts[name][1](run, zone)
    if name not in _ADDRESSES:
        return values
    found = list[str]()
    for value in values:
        # RFC 5228 §5.4: the null reverse-path is "" whatever the address part, a source route is left out
        path = value[route.end() :] if (route := _ROUTE.match(value)) else value
        shown = "" if not path else part_of(_path_address(path), address_part, run.context.separator)
        if shown is not None:
            found.append(shown)
    return found


def _path_address(path: str) -> MailAddress:
    """A path's address; without a domain when it is no address, so that it has no parts (RFC 5228 §2.7.4)."""
    local, at, domain = path.rpartition("@")
    valid = at and local and domain and (local.startswith('"') or not _NO_LOCAL.search(local))
    return MailAddress(local, domain) if valid else MailAddress(path, None)


def _from(run: Run, zone: str) -> Sequence[str]:
    return (run.context.envelope.sender,)


def _to(run: Run, zone: str) -> Sequence[str]:
    return (run.context.envelope.recipient,)


def _notify(run: Run, zone: str) -> Sequence[str]:
    return run.context.envelope.notify


def _orcpt(run: Run, zone: str) -> Sequence[str]:
    return _present(run.context.envelope.orcpt)


def _ret(run: Run, zone: str) -> Sequence[str]:
    return _present(run.context.envelope.ret)


def _envid(run: Run, zone: str) -> Sequence[str]:
    return _present(run.context.envelope.envid)


def _present(value: str) -> Sequence[str]:
    return (value,) if value else ()


def _by_time_absolute(run: Run, zone: str) -> Sequence[str]:
    request = run.context.envelope.deliver_by
    if request is None:
        return ()
    offset = parse_zone(zone) if zone else None
    if zone and offset is None:
        raise RunError(f'"{zone}" is no time zone')
    local = shifted(request.deadline, run.now.utcoffset() if offset is None else offset)
    return (date_part(local, "iso8601"),)


def _by_time_relative(run: Run, zone: str) -> Sequence[str]:
    request = run.context.envelope.deliver_by
    return () if request is None else (str(int((request.deadline - run.now).total_seconds())),)


def _by_mode(run: Run, zone: str) -> Sequence[str]:
    request = run.context.envelope.deliver_by
    return () if request is None else (request.mode,)


def _by_trace(run: Run, zone: str) -> Sequence[str]:
    request = run.context.envelope.deliver_by
    return () if request is None else (str(request.trace).lower(),)


EXTENSION = Extension(
    "envelope",
    tests=(
        Declaration(
            "envelope",
            _envelope,
            (STRINGS, STRINGS),
            groups=(MATCH, COMPARATOR, ADDRESS_PART),
            extensions=("envelope",),
        ),
    ),
    envelope_parts={"from": _from, "to": _to},
)

ENVELOPE_DSN = Extension(
    "envelope-dsn",
    envelope_parts={"notify": _notify, "orcpt": _orcpt, "ret": _ret, "envid": _envid},
)

ENVELOPE_DELIVERBY = Extension(
    "envelope-deliverby",
    tags={"envelope": (Tag("zone", STRING, extensions=("envelope-deliverby",)),)},
    envelope_parts={
        "bytimeabsolute": _by_time_absolute,
        "bytimerelative": _by_time_relative,
        "bymode": _by_mode,
        "bytrace": _by_trace,
    },
)
