"""The spamtest, spamtestplus and virustest extensions (RFC 5235)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.declare import COMPARATOR, MATCH, STRING, Declaration, Extension, Tag
from shared.sieve.syntax import Strings
from shared.sieve.template import Texts

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check, Matcher
    from shared.sieve.run import Run


def _spamtest(call: Call, compiler: Compiler) -> Check:
    match, counts, percent = _matcher(call, compiler), _counts(call), call.has("percent")

    def spamtest(run: Run) -> bool:
        surely = run.context.spam_percent
        if surely is None:
            return match(run, () if counts else ("0",))
        surely = min(max(surely, 0.0), 100.0)
        if percent:
            return match(run, (str(round(surely)),))
        return match(run, (str(1 + round(surely * 9 / 100)),))

    return spamtest


def _virustest(call: Call, compiler: Compiler) -> Check:
    match, counts = _matcher(call, compiler), _counts(call)

    def virustest(run: Run) -> bool:
        verdict = run.context.virus
        if verdict is None:
            return match(run, () if counts else ("0",))
        return match(run, (str(min(max(verdict, 1), 5)),))

    return virustest


def _matcher(call: Call, compiler: Compiler) -> Matcher:
    text = call.text(0)
    node = text.node
    return call.matcher(Texts(Strings((node,), node.line, node.column, False), (text,)), compiler)


def _counts(call: Call) -> bool:
    tag = call.given(MATCH)
    return tag is not None and tag.name == "count"


EXTENSION = Extension(
    "spamtest",
    tests=(
        Declaration(
            "spamtest",
            _spamtest,
            (STRING,),
            (Tag("percent", extensions=("spamtestplus",)),),
            (MATCH, COMPARATOR),
            extensions=("spamtest", "spamtestplus"),
        ),
    ),
)

SPAMTESTPLUS = Extension("spamtestplus")

VIRUSTEST = Extension(
    "virustest",
    tests=(Declaration("virustest", _virustest, (STRING,), (), (MATCH, COMPARATOR), extensions=("virustest",)),),
)
