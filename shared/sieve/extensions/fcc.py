"""The fcc extension: a copy of what vacation and notify send (RFC 8580)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.sieve.actions import Fcc, Notify, Vacation
from shared.sieve.declare import STRING, Extension, Tag
from shared.sieve.extensions.fileinto import check_mailbox, mailbox_of

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Modifier
    from shared.sieve.run import Run


def _fcc(call: Call, compiler: Compiler) -> Modifier:
    mailbox = call.tag_text("fcc")
    assert mailbox is not None
    check_mailbox(mailbox)

    def modify(run: Run, action: Vacation | Notify) -> Vacation | Notify:
        return replace(action, fcc=Fcc(mailbox_of(mailbox, run)))

    return modify


_TAG = Tag("fcc", STRING, extensions=("fcc",), modify=_fcc)

EXTENSION = Extension("fcc", tags={"vacation": (_TAG,), "notify": (_TAG,)})
