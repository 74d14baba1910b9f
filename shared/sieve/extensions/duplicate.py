"""The duplicate extension: has this message been here before? (RFC 7352)"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from shared.sieve.actions import TrackDuplicate
from shared.sieve.declare import NUMBER, STRING, Declaration, Extension, Tag
from shared.sieve.message import field_key

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Check
    from shared.sieve.run import Run

DEFAULT_SECONDS = 7 * 24 * 3600
"""How long an id is remembered when the script doesn't say (RFC 7352 §3.2: up to the implementation)."""


def _duplicate(call: Call, compiler: Compiler) -> Check:
    handle, header, unique = call.tag_text("handle"), call.tag_text("header"), call.tag_text("uniqueid")
    seconds, last = call.tag_number("seconds"), call.has("last")

    def duplicate(run: Run) -> bool:
        if unique is not None:
            message_id: str | None = unique(run)
        else:
            # the octets of the field as it came, so that nothing that decoding makes equal is taken for a duplicate
            value = run.view.headers.get(field_key("message-id" if header is None else header(run)))
            message_id = None if value is None else value.decode("latin_1")
        if not message_id:
            run.because("there is nothing to know it by")
            return False
        run.charge(len(message_id))
        key = _key("" if handle is None else handle(run), message_id)
        seen = run.context.seen(key)
        period = min(DEFAULT_SECONDS if seconds is None else seconds, run.limits.max_duplicate_seconds)
        if not seen or last:
            run.decide(TrackDuplicate(key, period))
        return seen

    return duplicate


def _key(handle: str, message_id: str) -> str:
    return hashlib.sha256(f"{len(handle)}:{handle}{message_id}".encode("utf-8", "replace")).hexdigest()


EXTENSION = Extension(
    "duplicate",
    tests=(
        Declaration(
            "duplicate",
            _duplicate,
            (),
            (
                Tag("handle", STRING),
                Tag("header", STRING, group="id"),
                Tag("uniqueid", STRING, group="id"),
                Tag("seconds", NUMBER),
                Tag("last"),
            ),
            extensions=("duplicate",),
        ),
    ),
)
