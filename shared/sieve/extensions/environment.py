"""The environment extension (RFC 5183)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.declare import COMPARATOR, MATCH, STRING, STRINGS, Declaration, Extension

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check
    from shared.sieve.run import Run


def _environment(call: Call, compiler: Compiler) -> Check:
    name, match = call.text(0), call.matcher(call.texts(1), compiler)

    def environment(run: Run) -> bool:
        value = run.context.environment.get(name(run).lower())
        if value is None:  # RFC 5183 §4: an unknown item is false whatever is asked
            run.because("there is no such item")
            return False
        return match(run, (value,))

    return environment


EXTENSION = Extension(
    "environment",
    tests=(
        Declaration(
            "environment", _environment, (STRING, STRINGS), groups=(MATCH, COMPARATOR), extensions=("environment",)
        ),
    ),
)
