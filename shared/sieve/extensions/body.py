"""The body extension (RFC 5173)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.declare import COMPARATOR, MATCH, STRINGS, Declaration, Extension, Tag
from shared.sieve.message import body_content, body_text, has_body, raw_body

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check
    from shared.sieve.run import Run
    from shared.sieve.template import Texts


def _body(call: Call, compiler: Compiler) -> Check:
    # RFC 5173 §6: wildcards in body tests set no match variables
    match = call.matcher(call.texts(0), compiler, captures=False)
    tag, types = call.given("transform"), call.tag_texts("content")
    transform = "text" if tag is None else tag.name

    def body(run: Run) -> bool:
        return match(run, _values(run, transform, types))

    return body


def _values(run: Run, transform: str, types: Texts | None) -> list[str]:
    view, limit = run.view, run.limits.body_bytes
    if not has_body(view.data):
        return []  # RFC 5173 §4: then every test is false
    wanted = [] if types is None else list(types(run))
    key = "\0".join([transform, *wanted])
    known = view.bodies(key)
    if known is not None:
        return known
    match transform:
        case "raw":
            found = [raw_body(view, limit)]
        case "content":
            found = body_content(view, wanted, limit)
        case _:
            found = body_text(view, limit)
    return view.keep_bodies(key, found)


EXTENSION = Extension(
    "body",
    tests=(
        Declaration(
            "body",
            _body,
            (STRINGS,),
            (
                Tag("raw", group="transform"),
                Tag("content", STRINGS, group="transform"),
                Tag("text", group="transform"),
            ),
            (MATCH, COMPARATOR),
            extensions=("body",),
        ),
    ),
)
