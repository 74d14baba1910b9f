"""The ihave extension: which extensions are there, and errors of a script's own (RFC 5463)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.declare import STRING, STRINGS, Declaration, Extension
from shared.sieve.errors import Fault, RunError

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check, Operation
    from shared.sieve.run import Run


def _ihave(call: Call, compiler: Compiler) -> Check:
    """Decided when the script is compiled: what is there is as good as required from here on (RFC 5463 §4)."""
    names = [item.node for item in call.texts(0).items]
    for item in call.texts(0).items:
        if item.constant is None:
            raise Fault("the name of an extension can't have variables", item.node.line, item.node.column)
    there = all(node.value and compiler.language.knows(node.value) for node in names)
    if there:
        for node in names:
            compiler.require(node.value)
    compiler.known[id(call.node)] = there
    return lambda run: there


def _error(call: Call, compiler: Compiler) -> Operation:
    message = call.text(0)

    def error(run: Run) -> None:
        raise RunError(message(run))

    return error


EXTENSION = Extension(
    "ihave",
    commands=(Declaration("error", _error, (STRING,), extensions=("ihave",)),),
    tests=(Declaration("ihave", _ihave, (STRINGS,), extensions=("ihave",)),),
)
