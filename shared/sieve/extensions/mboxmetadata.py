"""The mboxmetadata and servermetadata extensions: annotations (RFC 5490 §3.3 to §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.sieve.declare import COMPARATOR, MATCH, STRING, STRINGS, Declaration, Extension

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check
    from shared.sieve.run import Run


def _metadata(call: Call, compiler: Compiler) -> Check:
    mailbox, key, match = call.text(0), call.text(1), call.matcher(call.texts(2), compiler)

    def metadata(run: Run) -> bool:
        value = run.context.mailboxes.metadata(mailbox(run), key(run))
        return match(run, () if value is None else (value,))

    return metadata


def _metadataexists(call: Call, compiler: Compiler) -> Check:
    mailbox, keys = call.text(0), call.texts(1)

    def metadataexists(run: Run) -> bool:
        name, view = mailbox(run), run.context.mailboxes
        return all(view.metadata(name, key) is not None for key in keys(run))

    return metadataexists


def _servermetadata(call: Call, compiler: Compiler) -> Check:
    key, match = call.text(0), call.matcher(call.texts(1), compiler)

    def servermetadata(run: Run) -> bool:
        value = run.context.mailboxes.metadata(None, key(run))
        return match(run, () if value is None else (value,))

    return servermetadata


def _servermetadataexists(call: Call, compiler: Compiler) -> Check:
    keys = call.texts(0)
    return lambda run: all(run.context.mailboxes.metadata(None, key) is not None for key in keys(run))


EXTENSION = Extension(
    "mboxmetadata",
    tests=(
        Declaration(
            "metadata",
            _metadata,
            (STRING, STRING, STRINGS),
            groups=(MATCH, COMPARATOR),
            extensions=("mboxmetadata",),
        ),
        Declaration("metadataexists", _metadataexists, (STRING, STRINGS), extensions=("mboxmetadata",)),
    ),
)

SERVERMETADATA = Extension(
    "servermetadata",
    tests=(
        Declaration(
            "servermetadata",
            _servermetadata,
            (STRING, STRINGS),
            groups=(MATCH, COMPARATOR),
            extensions=("servermetadata",),
        ),
        Declaration("servermetadataexists", _servermetadataexists, (STRINGS,), extensions=("servermetadata",)),
    ),
)
