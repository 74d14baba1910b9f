"""The base language's actions: keep, discard, redirect (RFC 5228 §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.actions import Discard, Keep, Redirect
from shared.sieve.addresses import address_of, check_address
from shared.sieve.declare import STRING, Declaration, Extension

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Operation
    from shared.sieve.run import Run


def _keep(call: Call, compiler: Compiler) -> Operation:
    modifiers = call.modifiers(compiler)

    def keep(run: Run) -> None:
        action = Keep(run.view.revision, run.flags or None)
        for modify in modifiers:
            action = modify(run, action)
        run.decide(action)

    return keep


def _discard(call: Call, compiler: Compiler) -> Operation:
    return lambda run: run.decide(Discard())


def _redirect(call: Call, compiler: Compiler) -> Operation:
    target, modifiers, to_list = call.text(0), call.modifiers(compiler), call.has("list")
    if not to_list:
        check_address(target)

    def redirect(run: Run) -> None:
        # RFC 5703 §7: what is redirected isn't what enclose made
        message = run.unenclosed or run.view.revision
        action = Redirect(target(run) if to_list else str(address_of(target, run)), message)
        for modify in modifiers:
            action = modify(run, action)
        if not to_list:
            run.decide(action)

    return redirect


EXTENSION = Extension(
    "",
    commands=(
        Declaration("keep", _keep),
        Declaration("discard", _discard),
        Declaration("redirect", _redirect, (STRING,)),
    ),
)
