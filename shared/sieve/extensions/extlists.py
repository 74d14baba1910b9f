"""The extlists extension: tests against lists kept elsewhere, and redirecting to them (RFC 6134)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.sieve.addresses import mail_address
from shared.sieve.declare import STRINGS, Declaration, Extension, MatchType, Tag
from shared.sieve.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.sieve.actions import Redirect
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check, MatchCall, Matcher, Modifier
    from shared.sieve.run import Run


def _list(use: MatchCall) -> Matcher:
    keys, captures = use.keys, use.captures
    if use.call.has("comparator"):  # RFC 6134 §2.2
        raise use.call.fault('":list" can\'t be used with a comparator')

    def match(run: Run, values: Sequence[str]) -> bool:
        lists = run.context.lists
        for name in keys(run):
            if not lists.exists(name):
                raise RunError(f'there is no list "{name}"')
            for value in values:
                if lists.contains(name, value):
                    if captures:
                        run.set_matches((value,))
                    return True
        return False

    return match


def _valid_ext_list(call: Call, compiler: Compiler) -> Check:
    names = call.texts(0)
    return lambda run: all(run.context.lists.exists(name) for name in names(run))


def _redirect(call: Call, compiler: Compiler) -> Modifier:
    def redirect(run: Run, action: Redirect) -> Redirect:
        """Decides on one redirect for each member; the one that was given is for nobody then."""
        name = action.address
        members = run.context.lists.members(name) if run.context.lists.exists(name) else None
        if members is None:
            raise RunError(f'there is no list "{name}" to redirect to')
        for member in members:
            address = mail_address(member)
            if address is not None:
                run.decide(replace(action, address=str(address), list=name))
        return action

    return redirect


EXTENSION = Extension(
    "extlists",
    tests=(Declaration("valid_ext_list", _valid_ext_list, (STRINGS,), extensions=("extlists",)),),
    tags={"redirect": (Tag("list", extensions=("extlists",), modify=_redirect, order=2),)},
    matches=(MatchType("list", _list),),
)
