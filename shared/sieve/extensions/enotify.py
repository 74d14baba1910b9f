"""The enotify extension with the mailto method (RFC 5435, RFC 5436)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from shared.sieve.actions import Notify
from shared.sieve.addresses import address_of, check_address
from shared.sieve.declare import COMPARATOR, MATCH, STRING, STRINGS, Declaration, Extension, Tag
from shared.sieve.errors import Fault, RunError
from shared.sieve.extensions.variables import ENCODE, MODIFIERS, modifier_tag
from shared.sieve.headertext import one_line
from shared.sieve.mailto import MailtoError, parse_mailto
from shared.sieve.trace import TraceKind

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check, Operation
    from shared.sieve.run import Run
    from shared.sieve.template import Text, Texts

_OPTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*=[^\0\r\n]+\Z")
MAX_SENDER = 100
"""Characters of a sender that the default message shows."""


def _notify(call: Call, compiler: Compiler) -> Operation:
    method, from_, message = call.text(0), call.tag_text("from"), call.tag_text("message")
    importance, options = call.tag_text("importance"), call.tag_texts("options")
    modifiers = call.modifiers(compiler)
    _check_method(method)
    check_address(from_)
    _check_options(options)
    if importance is not None and importance.constant is not None and importance.constant not in ("1", "2", "3"):
        raise Fault('":importance" is "1", "2" or "3"', importance.node.line, importance.node.column)

    def notify(run: Run) -> None:
        uri = method(run)
        try:
            mailto = parse_mailto(uri)
        except MailtoError as error:
            raise RunError(str(error)) from None
        refusal = _why_not(run)
        if refusal:
            run.note(TraceKind.NOTE, f"no notification: {refusal}")
            return
        if from_ is not None:
            address_of(from_, run)
        action = Notify(
            uri,
            mailto,
            message(run) if message is not None else _default_message(run),
            one_line("" if from_ is None else from_(run)),
            _importance(importance, run),
            () if options is None else options(run),
        )
        for modify in modifiers:
            action = modify(run, action)
        run.decide(action)

    return notify


def _check_options(options: Texts | None) -> None:
    """RFC 5435 §3.5: each is a name, "=" and a value on one line."""
    for item in () if options is None else options.items:
        if item.constant is not None and not _OPTION.match(item.constant):
            raise Fault(f'"{item.constant[:60]}" is no option such as "name=value"', item.node.line, item.node.column)


def _why_not(run: Run) -> str:
    """RFC 5436 §2.2: what a program sent is not notified of, else two programs might go on for ever."""
    for value in run.view.texts("auto-submitted"):
        if value.partition(";")[0].strip().lower() != "no":
            return f"Auto-Submitted is {value[:50]!r}"
    return ""


def _importance(text: Text | None, run: Run) -> int:
    value = "2" if text is None else text(run)
    if value not in ("1", "2", "3"):
        raise RunError('":importance" is "1", "2" or "3"')
    return int(value)


def _default_message(run: Run) -> str:
    """RFC 5436 §2.3: who wrote, and about what."""
    senders, subjects = run.view.texts("from"), run.view.texts("subject")
    sender = senders[0] if senders else run.context.envelope.sender
    return one_line(f"{sender[:MAX_SENDER]}: {subjects[0] if subjects else ''}")


def _check_method(method: Text) -> None:
    if method.constant is not None:
        try:
            parse_mailto(method.constant)
        except MailtoError as error:
            raise Fault(str(error), method.node.line, method.node.column) from None


def _valid_notify_method(call: Call, compiler: Compiler) -> Check:
    uris = call.texts(0)
    return lambda run: all(_is_valid(uri) for uri in uris(run))


def _is_valid(uri: str) -> bool:
    try:
        parse_mailto(uri)
    except MailtoError:
        return False
    return True


def _notify_method_capability(call: Call, compiler: Compiler) -> Check:
    uri, capability, match = call.text(0), call.text(1), call.matcher(call.texts(2), compiler)

    def notify_method_capability(run: Run) -> bool:
        if not _is_valid(uri(run)) or capability(run).lower() != "online":
            return False
        return match(run, ("maybe",))  # RFC 5436 §2.4: whoever reads mail may be there or not

    return notify_method_capability


def _encode(value: str) -> str:
    """All but unreserved characters as %XX of their UTF-8 (RFC 5435 §6)."""
    return quote(value, safe="-._~", errors="replace")


MODIFIERS["encodeurl"] = _encode

EXTENSION = Extension(
    "enotify",
    commands=(
        Declaration(
            "notify",
            _notify,
            (STRING,),
            (
                Tag("from", STRING),
                Tag("importance", STRING),
                Tag("options", STRINGS),
                Tag("message", STRING),
            ),
            extensions=("enotify",),
        ),
    ),
    tests=(
        Declaration("valid_notify_method", _valid_notify_method, (STRINGS,), extensions=("enotify",)),
        Declaration(
            "notify_method_capability",
            _notify_method_capability,
            (STRING, STRING, STRINGS),
            groups=(MATCH, COMPARATOR),
            extensions=("enotify",),
        ),
    ),
    tags={"set": (modifier_tag("encodeurl", ENCODE, "enotify"),)},
)
