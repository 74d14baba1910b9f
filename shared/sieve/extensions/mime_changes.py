"""The replace, enclose and extracttext extensions (RFC 5703 §5 to §7)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from shared.message.charset import codec_for
from shared.message.date import format_date
from shared.message.header import find_header_end, unfold
from shared.message.media import parse_media
from shared.message.octets import cut
from shared.sieve.actions import Enclose, ReplacePart
from shared.sieve.addresses import address_field, check_mailboxes, mailboxes_of
from shared.sieve.declare import NUMBER, STRING, STRINGS, Declaration, Extension, Tag
from shared.sieve.extensions.variables import (
    CASE,
    FIRST,
    LENGTH,
    MODIFIERS,
    QUOTE,
    assign,
    modifier_tag,
    variable_name,
)
from shared.sieve.headertext import header_field, one_line
from shared.sieve.message import is_readable, readable_text
from shared.sieve.revision import HeaderLine, Splice, split_header

if TYPE_CHECKING:
    from shared.message.structure import Part
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Operation
    from shared.sieve.revision import Revision
    from shared.sieve.run import Run

_TEXT_HEADER = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"


def _replace(call: Call, compiler: Compiler) -> Operation:
    text, mime = call.text(0), call.has("mime")
    subject, sender = call.tag_text("subject"), call.tag_text("from")
    for tag in ("subject", "from"):
        if mime and call.tag_text(tag) is not None:  # §5: it has a header of its own, to be flagged at compilation
            raise call.tag_fault(tag, f'":{tag}" has no use with ":mime"')
    check_mailboxes(sender)

    def replace(run: Run) -> None:
        entity = _entity(text(run), mime)
        part = run.loop[-1] if run.loop else run.view.root
        edit = ReplacePart(_number(run.view.root, part), _media_name(entity))
        if part is not run.view.root:
            revision = run.view.revision
            splice = Splice(part.header_start, part.body_end, entity.removesuffix(b"\r\n"))
            _revise_within(run, revision.with_splice(splice, edit))
            return
        if sender is not None:
            mailboxes_of(sender, run)
        title = None if subject is None else subject(run)
        author = None if sender is None else sender(run)
        data = _replace_whole(run, entity, title, author)
        run.revise(run.view.revision.rebased(data, (edit,)))
        if run.loop:
            run.loop[-1] = run.view.root

    return replace


def _revise_within(run: Run, revision: Revision) -> None:
    """Parts keep their places until the loop ends: only what is to be written changes."""
    run.count_edit()
    run.view.revision = revision


def _entity(text: str, mime: bool) -> bytes:
    """The new part with its header; plain text becomes UTF-8 text (§6)."""
    if mime:
        return text.encode("utf-8", "replace")
    return _TEXT_HEADER + b"\r\n" + text.encode("utf-8", "replace")


def _replace_whole(run: Run, entity: bytes, subject: str | None, sender: str | None) -> bytes:
    """The message's own fields with the new body and its MIME fields; what was changed is kept as Original-…"""
    end = find_header_end(entity)
    body = cut(entity, end, len(entity))
    mime_fields = b"".join(line.raw for line in split_header(cut(entity, 0, end)) if _is_mime(line))
    kept = [line for line in run.view.revision.header_lines() if not _is_mime(line)]
    lines = _renamed(_renamed(kept, b"subject", subject), b"from", sender)
    return b"".join(line.raw for line in lines) + b"MIME-Version: 1.0\r\n" + mime_fields + b"\r\n" + body


def _renamed(lines: list[HeaderLine], name: bytes, value: str | None) -> list[HeaderLine]:
    if value is None:
        return lines
    title = name.title()
    new, placed = list[HeaderLine](), False
    fresh = (address_field if name == b"from" else header_field)(title.decode(), value)
    line = HeaderLine(title, fresh.partition(b":")[2], fresh)
    for old in lines:
        if old.name.lower() != name:
            new.append(old)
            continue
        if not placed:
            new.append(line)
            placed = True
        raw = b"Original-" + title + b":" + old.raw.partition(b":")[2]
        new.append(HeaderLine(b"Original-" + title, old.value, raw))
    return new if placed else [*new, line]


def _is_mime(line: HeaderLine) -> bool:
    name = line.name.lower()
    return name.startswith(b"content-") or name == b"mime-version"


def _number(root: Part, part: Part) -> str:
    """The part's number as IMAP has it, "" for the message itself."""
    return _find(root, part, "") or ""


def _find(at: Part, part: Part, prefix: str) -> str | None:
    if at is part:
        return prefix
    for number, child in enumerate(at.children, 1):
        found = _find(child, part, f"{prefix}.{number}" if prefix else str(number))
        if found is not None:
            return found
    return None


def _media_name(entity: bytes) -> str:
    for line in split_header(cut(entity, 0, find_header_end(entity))):
        if line.name.lower() == b"content-type":
            media = parse_media(unfold(line.value))
            if media is not None:
                return (media.type + b"/" + media.subtype).decode("latin_1")
    return "text/plain"


def _enclose(call: Call, compiler: Compiler) -> Operation:
    text, subject, headers = call.text(0), call.tag_text("subject"), call.tag_texts("headers")

    def enclose(run: Run) -> None:
        if run.unenclosed is None:
            run.unenclosed = run.view.revision
        names = {name.lower().encode("utf-8", "replace") for name in (() if headers is None else headers(run))}
        title = _subject(run) if subject is None else one_line(subject(run))
        data = _enclosed(run, text(run), title, names)
        run.revise(run.view.revision.rebased(data, (Enclose(title),)))
        run.loop[:] = [run.view.root] * len(run.loop)

    return enclose


def _enclosed(run: Run, text: str, subject: str, names: set[bytes]) -> bytes:
    """A multipart/mixed of the text and the message (§7); Date and From are made unless copied."""
    revision = run.view.revision
    original = revision.render()
    fields = [line for line in revision.header_lines() if line.name.lower() in names and not _is_mime(line)]
    copied = {line.name.lower() for line in fields}
    lines = [line.raw for line in fields if line.name.lower() != b"subject"]
    if b"from" not in copied:
        lines.append(address_field("From", run.context.user or run.context.envelope.recipient))
    if b"date" not in copied:
        lines.append(header_field("Date", format_date(run.now)))
    lines.append(header_field("Subject", subject))
    body = text.encode("utf-8", "replace")
    boundary = hashlib.sha256(body + b"\0" + original).hexdigest()[:40].encode()
    return b"".join(
        [
            *lines,
            b"MIME-Version: 1.0\r\n",
            b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n',
            b"--" + boundary + b"\r\n" + _TEXT_HEADER + b"\r\n" + body,
            b"" if body.endswith(b"\r\n") else b"\r\n",
            b"--" + boundary + b"\r\nContent-Type: message/rfc822\r\n\r\n" + original,
            b"\r\n--" + boundary + b"--\r\n",
        ]
    )


def _subject(run: Run) -> str:
    subjects = run.view.texts("subject")
    return one_line(subjects[0]) if subjects else ""


def _extracttext(call: Call, compiler: Compiler) -> Operation:
    if not compiler.loops:
        raise call.fault('"extracttext" is for "foreverypart" only')
    if not compiler.has("variables"):
        raise call.fault('"extracttext" needs require "variables"')
    name, is_global = variable_name(call.text(0), compiler)
    first = call.tag_number("first")
    tags = [tag for tag in (call.given(group) for group in (CASE, FIRST, QUOTE, LENGTH)) if tag is not None]

    def extracttext(run: Run) -> None:
        part = run.loop[-1]
        run.charge(min(part.octets, run.limits.body_bytes))
        known = is_readable(part) and (not part.charset or codec_for(part.charset) is not None)  # §7: else ""
        text = readable_text(run.view.data, part, run.limits.body_bytes) if known else ""
        if first is not None:
            text = text[:first]
        for tag in tags:
            text = MODIFIERS[tag.name](text)
        assign(run, name, is_global, text)
        if run.trace is not None:
            run.note_value(name, text)

    return extracttext


REPLACE = Extension(
    "replace",
    commands=(
        Declaration(
            "replace",
            _replace,
            (STRING,),
            (Tag("mime"), Tag("subject", STRING), Tag("from", STRING)),
            extensions=("replace",),
        ),
    ),
)

ENCLOSE = Extension(
    "enclose",
    commands=(
        Declaration(
            "enclose",
            _enclose,
            (STRING,),
            (Tag("subject", STRING), Tag("headers", STRINGS)),
            extensions=("enclose",),
        ),
    ),
)

EXTRACTTEXT = Extension(
    "extracttext",
    commands=(
        Declaration(
            "extracttext",
            _extracttext,
            (STRING,),
            (
                Tag("first", NUMBER),
                modifier_tag("lower", CASE),
                modifier_tag("upper", CASE),
                modifier_tag("lowerfirst", FIRST),
                modifier_tag("upperfirst", FIRST),
                modifier_tag("quotewildcard", QUOTE),
                modifier_tag("length", LENGTH),
            ),
            extensions=("extracttext",),
        ),
    ),
)
