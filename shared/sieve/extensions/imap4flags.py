"""The imap4flags extension: flags for what is kept and filed (RFC 5232)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.sieve.actions import Fcc, FileInto, Keep, Notify, Vacation
from shared.sieve.declare import COMPARATOR, MATCH, STRINGS, Declaration, Extension, Tag
from shared.sieve.errors import RunError
from shared.sieve.extensions.variables import assign, variable_name
from shared.sieve.template import Text, Texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check, Modifier, Operation
    from shared.sieve.run import Run

_SYSTEM = {flag.lower(): flag for flag in ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")}
_KEYWORD = re.compile(r"[^\x00-\x20\x7f-\U0010ffff(){%*\"\\\]]{1,100}\Z")


class FlagKeys(Texts):
    """The keys of hasflag: a string with spaces stands for the list of its words (RFC 5232 §2)."""

    __slots__ = ()

    def __init__(self, keys: Texts) -> None:
        words = [word for item in keys.items for word in _split(item)]
        super().__init__(keys.node, tuple(words))

    def __call__(self, run: Run) -> tuple[str, ...]:
        """The words of every key."""
        if self.constant is not None:
            return self.constant
        return tuple(word for value in super().__call__(run) for word in value.split() or [value])


def _split(item: Text) -> Iterable[Text]:
    words = (item.constant or "").split()
    return [Text(item.node, word, ()) for word in words] or [item]


def parse_flags(texts: Iterable[str]) -> tuple[str, ...]:
    """The flags in strings, separated by spaces, each once; what can't be a flag is left out (RFC 5232 §2)."""
    found: dict[str, str] = {}
    for text in texts:
        for word in text.split():
            flag = _SYSTEM.get(word.lower()) or (word if _KEYWORD.match(word) else None)
            if flag is not None:
                found.setdefault(flag.lower(), flag)
    return tuple(found.values())


def _changing(change: Callable[[tuple[str, ...], tuple[str, ...]], tuple[str, ...]]) -> Callable[..., Operation]:
    def compile_change(call: Call, compiler: Compiler) -> Operation:
        flags = call.texts(len(call.arguments) - 1)
        variable = _variable(call, compiler)

        def operation(run: Run) -> None:
            result = change(_current(variable, run), parse_flags(flags(run)))
            if len(result) > run.limits.flags:
                raise RunError(f"a script may set {run.limits.flags} flags")
            if variable is None:
                run.flags = result
            else:
                assign(run, *variable, " ".join(result))

        return operation

    return compile_change


def _set(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    return new


def _add(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    return parse_flags((*old, *new))


def _remove(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[str, ...]:
    gone = {flag.lower() for flag in new}
    return tuple(flag for flag in old if flag.lower() not in gone)


def _variable(call: Call, compiler: Compiler) -> tuple[str, bool] | None:
    """The variable that is named before the flags, if any."""
    if len(call.arguments) < 2:
        return None
    if not compiler.has("variables"):
        raise call.fault(f'"{call.node.name}" takes a variable only with require "variables"')
    names = call.texts(0)
    if len(names.items) != 1:
        raise call.fault(f'"{call.node.name}" takes the name of one variable before the flags')
    return variable_name(names.items[0], compiler)


def _current(variable: tuple[str, bool] | None, run: Run) -> tuple[str, ...]:
    if variable is None:
        return run.flags
    name, is_global = variable
    return parse_flags([run.globals.get(name, "") if is_global else run.scope.get(name)])


def _hasflag(call: Call, compiler: Compiler) -> Check:
    keys = FlagKeys(call.texts(len(call.arguments) - 1))
    match = call.matcher(keys, compiler)
    tag = call.given(MATCH)
    plain = (tag is None or tag.name == "is") and not call.has(COMPARATOR)
    names = call.texts(0) if len(call.arguments) > 1 else None
    if names is not None and not compiler.has("variables"):
        raise call.fault('"hasflag" takes variables only with require "variables"')
    variables = [] if names is None else [variable_name(item, compiler) for item in names.items]

    def hasflag(run: Run) -> bool:
        if names is None:
            flags = list(run.flags)
        else:
            flags = [flag for variable in variables for flag in _current(variable, run)]
        if not plain:
            return match(run, flags)
        if run.trace is not None:
            run.because(f"the flags are {' '.join(flags)}")
        wanted = {flag.lower() for flag in parse_flags(keys(run))}
        return any(flag.lower() in wanted for flag in flags)

    return hasflag


def _flags(call: Call, compiler: Compiler) -> Modifier:
    texts = call.tag_texts("flags")
    assert texts is not None

    def modify(run: Run, action: Keep | FileInto | Vacation | Notify) -> Keep | FileInto | Vacation | Notify:
        flags = parse_flags(texts(run))
        if len(flags) > run.limits.flags:
            raise RunError(f"a script may set {run.limits.flags} flags")
        if isinstance(action, (Vacation, Notify)):
            return replace(action, fcc=replace(action.fcc or Fcc(""), flags=flags))
        return replace(action, flags=flags)

    return modify


_FLAGS = Tag("flags", STRINGS, extensions=("imap4flags",), modify=_flags)
_FCC_FLAGS = replace(_FLAGS, needs="fcc", order=1)


def _command(name: str, change: Callable[[tuple[str, ...], tuple[str, ...]], tuple[str, ...]]) -> Declaration:
    return Declaration(name, _changing(change), (STRINGS, STRINGS), optional=True, extensions=("imap4flags",))


EXTENSION = Extension(
    "imap4flags",
    commands=(_command("setflag", _set), _command("addflag", _add), _command("removeflag", _remove)),
    tests=(
        Declaration(
            "hasflag",
            _hasflag,
            (STRINGS, STRINGS),
            groups=(MATCH, COMPARATOR),
            optional=True,
            extensions=("imap4flags",),
        ),
    ),
    tags={"keep": (_FLAGS,), "fileinto": (_FLAGS,), "vacation": (_FCC_FLAGS,), "notify": (_FCC_FLAGS,)},
)
