"""The include extension: include, return, global (RFC 6609)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.context import Location
from shared.sieve.declare import STRING, STRINGS, Declaration, Extension, Tag
from shared.sieve.errors import Fault, RunError, ScriptError
from shared.sieve.extensions.variables import variable_name
from shared.sieve.run import Return, Scope

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Operation
    from shared.sieve.run import Run
    from shared.sieve.script import Script

MAX_SCRIPT_NAME = 512
"""Octets of a script's name (RFC 5804 §1.6)."""


def _include(call: Call, compiler: Compiler) -> Operation:
    text = call.text(0)
    tag = call.given("location")
    location = Location.PERSONAL if tag is None else Location(tag.name)
    once, optional = call.has("once"), call.has("optional")
    name = text.constant
    if name is None:  # RFC 6609 §3.2
        raise Fault("the name of an included script can't have variables", text.node.line, text.node.column)
    if not name or len(name.encode("utf-8", "replace")) > MAX_SCRIPT_NAME or not name.isprintable() or "/" in name:
        raise Fault("this can't be the name of a script", text.node.line, text.node.column)

    def include(run: Run) -> None:
        key = (location.value, name)
        if once and key in run.included:
            return
        script = _load(run, location, name)
        if script is None:
            if not optional:
                raise RunError(f'there is no {location.value} script "{name}" to include')
            return
        _enter(run, key, script)

    return include


def _load(run: Run, location: Location, name: str) -> Script | None:
    try:
        return run.context.load(location, name)
    except ScriptError as error:
        raise RunError(f'the included script "{name}" has an error: {error.errors[0]}') from None


def _enter(run: Run, key: tuple[str, str], script: Script) -> None:
    label = f"{key[0]}:{key[1]}"
    run.includes += 1
    if label in run.scripts:
        raise RunError(f'the script "{key[1]}" includes itself')
    if len(run.scripts) > run.limits.include_depth:
        raise RunError(f"scripts are included more than {run.limits.include_depth} levels deep")
    if run.includes > run.limits.includes:
        raise RunError(f"a script may include {run.limits.includes} scripts")
    run.included.add(key)
    scope, depth, loop = run.scope, run.depth, run.loop
    run.scope, run.loop = Scope(run.globals), list(loop)
    run.scripts.append(label)
    run.depth += 1
    try:
        script.execute(run)
    except Return:
        pass
    finally:
        run.scope, run.depth, run.loop = scope, depth, loop
        run.scripts.pop()


def _return(call: Call, compiler: Compiler) -> Operation:
    def leave(run: Run) -> None:
        raise Return

    return leave


def _global(call: Call, compiler: Compiler) -> Operation:
    if not compiler.has("variables"):
        raise call.fault('"global" needs require "variables"')
    names = [variable_name(item, compiler)[0] for item in call.texts(0).items]

    def declare(run: Run) -> None:
        for name in names:
            run.scope.values.pop(name, None)
            run.scope.shared.add(name)

    return declare


EXTENSION = Extension(
    "include",
    commands=(
        Declaration(
            "include",
            _include,
            (STRING,),
            (
                Tag("personal", group="location"),
                Tag("global", group="location"),
                Tag("once"),
                Tag("optional"),
            ),
            extensions=("include",),
        ),
        Declaration("return", _return, extensions=("include",)),
        Declaration("global", _global, (STRINGS,), extensions=("include",)),
    ),
)
