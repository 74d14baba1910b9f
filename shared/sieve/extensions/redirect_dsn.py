"""The redirect-dsn and redirect-deliverby extensions: what a redirect asks of the next server (RFC 6009)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from shared.sieve.actions import DeliverBy, Redirect
from shared.sieve.declare import NUMBER, STRING, Extension, Tag
from shared.sieve.errors import Fault, RunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Modifier
    from shared.sieve.run import Run
    from shared.sieve.template import Text

_EVENTS = ("SUCCESS", "FAILURE", "DELAY")
_ISO8601 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)\Z", re.IGNORECASE)
_MODES = {"notify": "N", "return": "R"}


def notify_value(text: str) -> str | None:
    """NOTIFY's value in canonical form (RFC 3461 §4.1), or None."""
    events = text.upper().split(",")
    if events == ["NEVER"]:
        return "NEVER"
    return ",".join(dict.fromkeys(events)) if all(event in _EVENTS for event in events) else None


def _ret_value(text: str) -> str | None:
    return text.upper() if text.upper() in ("FULL", "HDRS") else None


def _absolute(text: str) -> str | None:
    try:
        datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    return text.upper() if _ISO8601.match(text) else None


def _mode(text: str) -> str | None:
    return _MODES.get(text.lower())


def _checked(tag: str, call: Call, understand: Callable[[str], str | None], what: str) -> Callable[[Run], str]:
    """The tag's value, checked now when it is constant, else when it runs."""
    text: Text | None = call.tag_text(tag)
    assert text is not None
    if text.constant is not None and understand(text.constant) is None:
        raise Fault(f'"{text.constant[:50]}" is not {what}', text.node.line, text.node.column)

    def value(run: Run) -> str:
        found = understand(text(run))
        if found is None:
            raise RunError(f'"{text(run)[:50]}" is not {what}')
        return found

    return value


def _notify(call: Call, compiler: Compiler) -> Modifier:
    value = _checked("notify", call, notify_value, '"NEVER" or a list of "SUCCESS", "FAILURE" and "DELAY"')
    return lambda run, action: replace(action, notify=value(run))


def _ret(call: Call, compiler: Compiler) -> Modifier:
    value = _checked("ret", call, _ret_value, '"FULL" or "HDRS"')
    return lambda run, action: replace(action, ret=value(run))


def _by_relative(call: Call, compiler: Compiler) -> Modifier:
    seconds = call.tag_number("bytimerelative")
    return lambda run, action: _with_deadline(action, DeliverBy(relative=seconds))


def _by_absolute(call: Call, compiler: Compiler) -> Modifier:
    value = _checked("bytimeabsolute", call, _absolute, "an ISO 8601 date and time with its zone")
    return lambda run, action: _with_deadline(action, DeliverBy(absolute=value(run)))


def _by_mode(call: Call, compiler: Compiler) -> Modifier:
    _need_time(call, "bymode")
    value = _checked("bymode", call, _mode, '"notify" or "return"')
    return lambda run, action: replace(action, deliver_by=replace(action.deliver_by, mode=value(run)))


def _by_trace(call: Call, compiler: Compiler) -> Modifier:
    _need_time(call, "bytrace")
    return lambda run, action: replace(action, deliver_by=replace(action.deliver_by, trace=True))


def _need_time(call: Call, tag: str) -> None:
    if call.given("bytime") is None:
        raise call.tag_fault(tag, f'":{tag}" needs ":bytimerelative" or ":bytimeabsolute"')


def _with_deadline(action: Redirect, deadline: DeliverBy) -> Redirect:
    return replace(action, deliver_by=deadline)


_DSN, _DELIVERBY = ("redirect-dsn",), ("redirect-deliverby",)

EXTENSION = Extension(
    "redirect-dsn",
    tags={
        "redirect": (
            Tag("notify", STRING, extensions=_DSN, modify=_notify),
            Tag("ret", STRING, extensions=_DSN, modify=_ret),
        )
    },
)

REDIRECT_DELIVERBY = Extension(
    "redirect-deliverby",
    tags={
        "redirect": (
            Tag("bytimerelative", NUMBER, "bytime", extensions=_DELIVERBY, modify=_by_relative),
            Tag("bytimeabsolute", STRING, "bytime", extensions=_DELIVERBY, modify=_by_absolute),
            Tag("bymode", STRING, extensions=_DELIVERBY, modify=_by_mode, order=1),
            Tag("bytrace", extensions=_DELIVERBY, modify=_by_trace, order=1),
        )
    },
)
