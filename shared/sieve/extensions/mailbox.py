"""The mailbox extension: mailboxexists and :create (RFC 5490 §3)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.sieve.actions import Fcc, FileInto, Notify, Vacation
from shared.sieve.declare import STRINGS, Declaration, Extension, Tag

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check, Modifier
    from shared.sieve.run import Run


def _mailboxexists(call: Call, compiler: Compiler) -> Check:
    names = call.texts(0)

    def mailboxexists(run: Run) -> bool:
        for name in names(run):
            if not run.context.mailboxes.exists(name):
                run.because(f"there is no {name!r}")
                return False
        return True

    return mailboxexists


def _create(call: Call, compiler: Compiler) -> Modifier:
    def create(run: Run, action: FileInto | Vacation | Notify) -> FileInto | Vacation | Notify:
        if isinstance(action, FileInto):
            return replace(action, create=True)
        return replace(action, fcc=replace(action.fcc or Fcc(""), create=True))

    return create


_CREATE = Tag("create", extensions=("mailbox",), modify=_create)
_FCC_CREATE = replace(_CREATE, needs="fcc", order=1)

EXTENSION = Extension(
    "mailbox",
    tests=(Declaration("mailboxexists", _mailboxexists, (STRINGS,), extensions=("mailbox",)),),
    tags={"fileinto": (_CREATE,), "vacation": (_FCC_CREATE,), "notify": (_FCC_CREATE,)},
)
