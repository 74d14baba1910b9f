"""The copy extension: fileinto and redirect that leave the implicit keep alone (RFC 3894)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.sieve.declare import Extension, Tag

if TYPE_CHECKING:
    from shared.sieve.actions import FileInto, Redirect
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Modifier
    from shared.sieve.run import Run


def _copy(call: Call, compiler: Compiler) -> Modifier:
    def copy(run: Run, action: FileInto | Redirect) -> FileInto | Redirect:
        return replace(action, copy=True)

    return copy


_COPY = Tag("copy", extensions=("copy",), modify=_copy)

EXTENSION = Extension("copy", tags={"fileinto": (_COPY,), "redirect": (_COPY,)})
