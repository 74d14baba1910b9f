"""Scripts: checked, compiled once, run on as many messages as come."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.sieve.actions import Keep
from shared.sieve.compiler import Compiler
from shared.sieve.errors import Fault, RunError, ScriptError, SieveError
from shared.sieve.grammar import decode_script, parse
from shared.sieve.language import LANGUAGE
from shared.sieve.limits import DEFAULT, Limits
from shared.sieve.revision import Revision
from shared.sieve.run import Return, Run, Scope, Stop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.sieve.actions import Action
    from shared.sieve.context import Context
    from shared.sieve.declare import Operation
    from shared.sieve.language import Language
    from shared.sieve.trace import TraceEvent


@dataclass(frozen=True, slots=True)
class Script:
    """A compiled script; it holds nothing of any run and may be kept and shared."""

    name: str
    operations: tuple[Operation, ...]
    required: frozenset[str]

    def execute(self, run: Run) -> None:
        """Carry out every command; Stop, Return and RunError come through."""
        for operation in self.operations:
            operation(run)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to.

    `actions` are in order, the implicit keep last where it holds (then `implicit_keep` is true too). After an
    error they are one implicit keep of the message as it came. `message` is its state at the end.
    """

    actions: tuple[Action, ...]
    message: Revision
    implicit_keep: bool
    error: SieveError | None = None
    trace: tuple[TraceEvent, ...] = ()
    by: tuple[str, ...] = ()


def check(
    source: str | bytes, *, name: str = "", limits: Limits = DEFAULT, language: Language = LANGUAGE
) -> list[SieveError]:
    """Everything that is wrong with a script, in the order of its lines; [] when it may be run."""
    try:
        compile_script(source, name=name, limits=limits, language=language)
    except ScriptError as error:
        return list(error.errors)
    return []


def compile_script(
    source: str | bytes, *, name: str = "", limits: Limits = DEFAULT, language: Language = LANGUAGE
) -> Script:
    """Parse, check and compile a script; ScriptError tells all that is wrong with it."""
    try:
        source = _text(source, limits)
        commands = parse(source, limits)
    except Fault as fault:
        raise ScriptError((SieveError(fault.line, fault.column, fault.message, name),)) from None
    compiler = Compiler(source, name, language, limits)
    operations = compiler.block(commands)
    if compiler.errors:
        raise ScriptError(tuple(sorted(compiler.errors)))
    return Script(name, operations, frozenset(compiler.required - {""}))


def run(script: Script, context: Context, *, traced: bool = False) -> Result:
    """Run one script on one message; never raises for anything that a script or a message may hold."""
    return run_sequence((script,), context, traced=traced)


def run_sequence(scripts: Sequence[Script], context: Context, *, traced: bool = False) -> Result:
    """Run scripts one after another, the next one only while the implicit keep holds; an error undoes them all."""
    state = Run(context, traced=traced)
    try:
        for script in scripts:
            _begin(state, script)
            with suppress(Stop, Return):
                script.execute(state)
            if not state.implicit_keep:
                break
    except RunError as error:
        return _failed(context, state, error.value())
    except RecursionError:
        return _failed(context, state, SieveError(1, 1, "scripts and blocks are nested too deep"))
    if state.implicit_keep:
        state.implicit_keep = False
        flags = state.flags or None
        if flags is None and not state.view.revision.changed:
            state.scripts[:] = [""]
        try:
            state.decide(Keep(state.view.revision, flags, implicit=True))
        except RunError as error:
            return _failed(context, state, error.value())
        state.implicit_keep = True
    trace = tuple(state.trace or ())
    return Result(tuple(state.actions), state.view.revision, state.implicit_keep, None, trace, tuple(state.by))


def _begin(state: Run, script: Script) -> None:
    """Each script has variables and flags of its own (RFC 5232 §2)."""
    state.scope = Scope(state.globals)
    state.flags = ()
    state.depth = 0
    state.loop.clear()
    state.scripts[:] = [script.name]


def _failed(context: Context, state: Run, error: SieveError) -> Result:
    """RFC 5228 §2.10.6: the message as it came is kept, and nothing else is done."""
    original = Revision(context.message.data)
    keep = Keep(original, implicit=True)
    return Result((keep,), original, True, error, tuple(state.trace or ()), ("",))


def _text(source: str | bytes, limits: Limits) -> str:
    octets = len(source) if isinstance(source, bytes) else len(source.encode("utf-8", "surrogatepass"))
    if octets > limits.script_bytes:
        raise Fault(f"a script has at most {limits.script_bytes} octets, this one has {octets}", 1, 1)
    return decode_script(source) if isinstance(source, bytes) else source
