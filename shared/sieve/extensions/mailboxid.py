"""The mailboxid extension: mailboxes by their unchanging id (RFC 9042)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from shared.sieve.actions import Fcc, FileInto, Notify, Vacation
from shared.sieve.declare import STRING, STRINGS, Declaration, Extension, Tag

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check, Modifier
    from shared.sieve.run import Run


def _mailboxidexists(call: Call, compiler: Compiler) -> Check:
    ids = call.texts(0)
    return lambda run: all(run.context.mailboxes.by_id(mailbox_id) is not None for mailbox_id in ids(run))


def _mailboxid(call: Call, compiler: Compiler) -> Modifier:
    text = call.tag_text("mailboxid")
    assert text is not None

    def modify(run: Run, action: FileInto | Vacation | Notify) -> FileInto | Vacation | Notify:
        if isinstance(action, FileInto):
            return replace(action, mailbox_id=text(run))
        return replace(action, fcc=replace(action.fcc or Fcc(""), mailbox_id=text(run)))

    return modify


# RFC 9042 §4.3: :mailboxid and :specialuse exclude each other
_TAG = Tag("mailboxid", STRING, "by", extensions=("mailboxid",), modify=_mailboxid)
_FCC_TAG = replace(_TAG, needs="fcc", order=1)

EXTENSION = Extension(
    "mailboxid",
    tests=(Declaration("mailboxidexists", _mailboxidexists, (STRINGS,), extensions=("mailboxid",)),),
    tags={"fileinto": (_TAG,), "vacation": (_FCC_TAG,), "notify": (_FCC_TAG,)},
)
