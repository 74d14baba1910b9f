"""The reject and ereject extensions (RFC 5429)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.actions import EReject, Reject
from shared.sieve.declare import STRING, Declaration, Extension

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Operation


def _reject(call: Call, compiler: Compiler) -> Operation:
    reason = call.text(0)
    return lambda run: run.decide(Reject(reason(run)))


def _ereject(call: Call, compiler: Compiler) -> Operation:
    reason = call.text(0)
    return lambda run: run.decide(EReject(reason(run)))


EXTENSION = Extension("reject", commands=(Declaration("reject", _reject, (STRING,), extensions=("reject",)),))

EREJECT = Extension("ereject", commands=(Declaration("ereject", _ereject, (STRING,), extensions=("ereject",)),))
