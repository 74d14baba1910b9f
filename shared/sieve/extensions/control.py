"""Control commands and logical tests of the base language (RFC 5228 §3 and §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.declare import STRINGS, Declaration, Extension, Within
from shared.sieve.errors import Fault
from shared.sieve.run import Stop

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check, Operation
    from shared.sieve.run import Run


def _require(call: Call, compiler: Compiler) -> Operation | None:
    if not compiler.may_require:
        raise call.fault('"require" must come before all other commands')
    for item in call.texts(0).items:
        name = item.node.value
        if not name or not compiler.language.knows(name):
            compiler.report(Fault(f'unknown extension "{name}"', item.node.line, item.node.column))
        else:
            compiler.require(name)
    return None


def _stop(call: Call, compiler: Compiler) -> Operation:
    def stop(run: Run) -> None:
        raise Stop

    return stop


def _true(call: Call, compiler: Compiler) -> Check:
    return lambda run: True


def _false(call: Call, compiler: Compiler) -> Check:
    return lambda run: False


def _not(call: Call, compiler: Compiler) -> Check:
    inner = call.node.tests[0]
    check = compiler.test(inner)
    known = compiler.known.get(id(inner))
    if known is not None:
        compiler.known[id(call.node)] = not known
    return lambda run: not check(run)


def _allof(call: Call, compiler: Compiler) -> Check:
    checks = _members(call, compiler, decisive=False)

    def allof(run: Run) -> bool:
        for check in checks:  # noqa: SIM110 - half the time of all()
            if not check(run):
                return False
        return True

    return allof


def _anyof(call: Call, compiler: Compiler) -> Check:
    checks = _members(call, compiler, decisive=True)

    def anyof(run: Run) -> bool:
        for check in checks:  # noqa: SIM110 - half the time of any()
            if check(run):
                return True
        return False

    return anyof


def _members(call: Call, compiler: Compiler, *, decisive: bool) -> tuple[Check, ...]:
    """The tests up to one that decides beforehand; those behind it aren't looked at (RFC 5463 §4)."""
    checks: list[Check] = []
    known: list[bool | None] = []
    for node in call.node.tests:
        checks.append(compiler.test(node))
        known.append(compiler.known.get(id(node)))
        if known[-1] is decisive:
            compiler.known[id(call.node)] = decisive
            return tuple(checks)
    if all(value is (not decisive) for value in known):
        compiler.known[id(call.node)] = not decisive
    return tuple(checks)


EXTENSION = Extension(
    "",
    commands=(
        Declaration("require", _require, (STRINGS,)),
        Declaration("stop", _stop),
    ),
    tests=(
        Declaration("true", _true),
        Declaration("false", _false),
        Declaration("not", _not, within=Within.ONE),
        Declaration("allof", _allof, within=Within.LIST),
        Declaration("anyof", _anyof, within=Within.LIST),
    ),
)
