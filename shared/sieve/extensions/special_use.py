"""The special-use extension: mailboxes by what they are for (RFC 8579)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from shared.sieve.actions import Fcc, FileInto, Notify, Vacation
from shared.sieve.declare import STRING, STRINGS, Declaration, Extension, Tag
from shared.sieve.errors import Fault, RunError

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check, Modifier
    from shared.sieve.run import Run

_USE = re.compile(r"\\[A-Za-z0-9!#$&'+,./:;<=>?@^_`|}~-]+\Z")


def _specialuse_exists(call: Call, compiler: Compiler) -> Check:
    uses = call.texts(len(call.arguments) - 1)
    mailbox = call.text(0) if len(call.arguments) > 1 else None

    def specialuse_exists(run: Run) -> bool:
        view = run.context.mailboxes
        if mailbox is None:
            return all(view.special_use(use) is not None for use in uses(run))
        name = mailbox(run)
        has = {use.lower() for use in view.uses(name)}
        return view.exists(name) and all(use.lower() in has for use in uses(run))

    return specialuse_exists


def _specialuse(call: Call, compiler: Compiler) -> Modifier:
    text = call.tag_text("specialuse")
    assert text is not None
    if text.constant is not None and not _USE.match(text.constant):
        raise Fault(f'"{text.constant}" is no special use such as "\\Junk"', text.node.line, text.node.column)

    def modify(run: Run, action: FileInto | Vacation | Notify) -> FileInto | Vacation | Notify:
        use = text(run)
        if not _USE.match(use):
            raise RunError(f'"{use[:50]}" is no special use such as "\\Junk"')
        if isinstance(action, FileInto):
            return replace(action, special_use=use)
        return replace(action, fcc=replace(action.fcc or Fcc(""), special_use=use))

    return modify


_TAG = Tag("specialuse", STRING, "by", extensions=("special-use",), modify=_specialuse)
_FCC_TAG = replace(_TAG, needs="fcc", order=1)

EXTENSION = Extension(
    "special-use",
    tests=(
        Declaration(
            "specialuse_exists", _specialuse_exists, (STRING, STRINGS), optional=True, extensions=("special-use",)
        ),
    ),
    tags={"fileinto": (_TAG,), "vacation": (_FCC_TAG,), "notify": (_FCC_TAG,)},
)
