"""The foreverypart extension: commands for each MIME part (RFC 5703 §3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.declare import STRING, Declaration, Extension, Tag
from shared.sieve.errors import Fault
from shared.sieve.run import Break
from shared.sieve.syntax import Command
from shared.sieve.trace import TraceKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shared.message.structure import Part
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Operation
    from shared.sieve.run import Run


def _foreverypart(call: Call, compiler: Compiler) -> Operation:
    name = _loop_name(call)
    if len(compiler.loops) >= compiler.limits.loop_depth:
        raise call.fault(f'"foreverypart" is nested more than {compiler.limits.loop_depth} levels deep')
    assert isinstance(call.node, Command)
    compiler.loops.append(name)
    body = compiler.block(call.node.block or ())
    compiler.loops.pop()

    def foreverypart(run: Run) -> None:
        depth, data = run.depth, run.view.data
        for part in _parts(run):
            run.count_step()
            if run.view.data is not data:
                break  # the whole message is another one: these parts are no more
            if _is_gone(run, part):
                continue
            run.loop.append(part)
            run.depth = depth + 1
            media = f"{part.media.type.decode('latin_1')}/{part.media.subtype.decode('latin_1')}"
            run.note(TraceKind.NOTE, f"part {media}")
            try:
                for operation in body:
                    operation(run)
            except Break as leaving:
                if leaving.name not in ("", name):
                    raise
                break
            finally:
                run.loop.pop()
                run.depth = depth
        if not run.loop:
            _settle(run)

    return foreverypart


def _parts(run: Run) -> Iterable[Part]:
    """All parts of the message, or those within the present part, one after the other in order (§3)."""
    if not run.loop:
        return list(run.view.root.walk())
    return list(run.loop[-1].walk())[1:]


def _is_gone(run: Run, part: Part) -> bool:
    """Whether the part was within one that was replaced: the loop doesn't go into it (RFC 5703 §5)."""
    place = (part.header_start, part.body_end)
    return any(
        splice.start <= place[0] and place[1] <= splice.end and place != (splice.start, splice.end)
        for splice in run.view.revision.splices
    )


def _settle(run: Run) -> None:
    """After the outermost loop the parts that were replaced make a new message: later tests see it."""
    revision = run.view.revision
    if revision.splices:
        run.view.revise(revision.rebased(revision.render()))


def _break(call: Call, compiler: Compiler) -> Operation:
    name = _loop_name(call)
    if not compiler.loops:
        raise call.fault('"break" is for "foreverypart" only')
    if name and name not in compiler.loops:
        raise call.fault(f'there is no "foreverypart" with the name "{name}" around this "break"')

    def leave(run: Run) -> None:
        raise Break(name)

    return leave


def _loop_name(call: Call) -> str:
    text = call.tag_text("name")
    if text is None:
        return ""
    if not text.constant:
        raise Fault("the name of a loop must be constant", text.node.line, text.node.column)
    return text.constant


EXTENSION = Extension(
    "foreverypart",
    commands=(
        Declaration(
            "foreverypart", _foreverypart, (), (Tag("name", STRING),), block=True, extensions=("foreverypart",)
        ),
        Declaration("break", _break, (), (Tag("name", STRING),), extensions=("foreverypart",)),
    ),
)
