"""What FETCH can ask for, and the parser of its items (RFC 3501 §6.4.5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import partial

from shared.imap.grammar import Scanner, SyntaxFailure
from shared.imap.limits import MAX_FETCH_ITEMS, MAX_HEADER_FIELDS, MAX_NUMBER, MAX_SECTION_DEPTH


class FetchItem(Enum):
    """An item without arguments; the value is its name on the wire."""

    FLAGS = b"FLAGS"
    UID = b"UID"
    INTERNALDATE = b"INTERNALDATE"
    RFC822_SIZE = b"RFC822.SIZE"
    ENVELOPE = b"ENVELOPE"
    BODY = b"BODY"
    BODYSTRUCTURE = b"BODYSTRUCTURE"
    MODSEQ = b"MODSEQ"
    PREVIEW = b"PREVIEW"
    SAVEDATE = b"SAVEDATE"
    EMAILID = b"EMAILID"
    THREADID = b"THREADID"


class SectionText(Enum):
    """Which octets of a part a section means."""

    WHOLE = b""
    HEADER = b"HEADER"
    HEADER_FIELDS = b"HEADER.FIELDS"
    HEADER_FIELDS_NOT = b"HEADER.FIELDS.NOT"
    TEXT = b"TEXT"
    MIME = b"MIME"


@dataclass(frozen=True, slots=True)
class Partial:
    """`<start.length>`: at most `length` octets from `start`."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class BodySection:
    """Octets of a message: `BODY[…]`, `BODY.PEEK[…]`, `RFC822`, `RFC822.HEADER`, `RFC822.TEXT`.

    `label` is the item's name in the response. `peek` leaves \\Seen alone. `path` is empty
    for the message itself.
    """

    label: bytes
    path: tuple[int, ...] = ()
    text: SectionText = SectionText.WHOLE
    fields: tuple[bytes, ...] = ()
    partial: Partial | None = None
    peek: bool = False


@dataclass(frozen=True, slots=True)
class BinarySection:
    """Octets of a part without its transfer encoding, or how many: `BINARY[…]`, `BINARY.SIZE[…]` (RFC 3516).

    `text` and `fields` are as in `BodySection`: what isn't a whole part has no encoding, and is as BODY has it.
    """

    label: bytes
    path: tuple[int, ...] = ()
    partial: Partial | None = None
    peek: bool = False
    size_only: bool = False
    text: SectionText = SectionText.WHOLE
    fields: tuple[bytes, ...] = ()


FetchAttribute = FetchItem | BodySection | BinarySection

MACROS: dict[bytes, tuple[FetchAttribute, ...]] = {
    b"FAST": (FetchItem.FLAGS, FetchItem.INTERNALDATE, FetchItem.RFC822_SIZE),
    b"ALL": (FetchItem.FLAGS, FetchItem.INTERNALDATE, FetchItem.RFC822_SIZE, FetchItem.ENVELOPE),
    b"FULL": (
        FetchItem.FLAGS,
        FetchItem.INTERNALDATE,
        FetchItem.RFC822_SIZE,
        FetchItem.ENVELOPE,
        FetchItem.BODY,
    ),
}

_ITEMS: dict[bytes, FetchAttribute] = {
    **{item.value: item for item in FetchItem},
    b"RFC822": BodySection(b"RFC822"),
    b"RFC822.HEADER": BodySection(b"RFC822.HEADER", text=SectionText.HEADER, peek=True),
    b"RFC822.TEXT": BodySection(b"RFC822.TEXT", text=SectionText.TEXT),
}


def parse_fetch_items(scanner: Scanner) -> tuple[FetchAttribute, ...]:
    """Read a macro, one item, or a list of items; each item is returned once."""
    if scanner.peek() == b"(":
        items = scanner.parenthesised(lambda: _parse_item(scanner), MAX_FETCH_ITEMS, "FETCH items")
        if not items:
            raise SyntaxFailure("Nothing to fetch")
        return tuple(dict.fromkeys(items))
    start = scanner.position
    macro = MACROS.get(scanner.keyword())
    if macro is not None:
        return macro
    scanner.position = start
    return (_parse_item(scanner),)


def sets_seen(items: Iterable[FetchAttribute]) -> bool:
    r"""Say whether fetching these items marks a message as \Seen (RFC 3501 §6.4.5)."""
    return any(not isinstance(item, FetchItem) and not item.peek for item in items)


def _parse_item(scanner: Scanner) -> FetchAttribute:
    name = scanner.keyword()
    if scanner.peek() == b"[":
        section = _SECTION_ITEMS.get(name)
        if section is None:
            raise SyntaxFailure("Unknown FETCH item")
        return section(scanner)
    item = _ITEMS.get(name)
    if item is None:
        raise SyntaxFailure("Unknown FETCH item")
    if item is FetchItem.PREVIEW:
        _skip_preview_modifiers(scanner)
    return item


_PREVIEW_MODIFIERS = re.compile(rb" \(LAZY(?: LAZY)*\)", re.IGNORECASE)


def _skip_preview_modifiers(scanner: Scanner) -> None:
    """Read what asks for previews only if they are at hand: they always are (RFC 8970 §4)."""
    found = _PREVIEW_MODIFIERS.match(scanner.text, scanner.position)
    if found is not None:
        scanner.position = found.end()


# section = "[" [section-spec] "]"
# section-spec = section-msgtext / (section-part ["." section-text])
_PATH = re.compile(rb"[1-9][0-9]*(?:\.[1-9][0-9]*)*")
_SECTION_TEXTS = {text.value: text for text in SectionText if text.value}
_HEADER_LISTS = frozenset((SectionText.HEADER_FIELDS, SectionText.HEADER_FIELDS_NOT))


def _parse_body(scanner: Scanner) -> BodySection:
    return parse_section(scanner, peek=False)


def _parse_body_peek(scanner: Scanner) -> BodySection:
    return parse_section(scanner, peek=True)


def _parse_binary(scanner: Scanner, peek: bool) -> BinarySection:
    """RFC 3516 knows parts only, and partials with a length; Dovecot, and so imaptest, takes all that BODY does."""
    path, text, fields = _parse_spec(scanner)
    octets = _parse_partial(scanner, open_ended=True)
    return BinarySection(_label(b"BINARY", path, text, fields, octets), path, octets, peek, text=text, fields=fields)


def _parse_binary_size(scanner: Scanner) -> BinarySection:
    path, text, fields = _parse_spec(scanner)
    label = _label(b"BINARY.SIZE", path, text, fields, None)
    return BinarySection(label, path, peek=True, size_only=True, text=text, fields=fields)


_SECTION_ITEMS: dict[bytes, Callable[[Scanner], FetchAttribute]] = {
    b"BODY": _parse_body,
    b"BODY.PEEK": _parse_body_peek,
    b"BINARY": partial(_parse_binary, peek=False),
    b"BINARY.PEEK": partial(_parse_binary, peek=True),
    b"BINARY.SIZE": _parse_binary_size,
}


def parse_section(scanner: Scanner, peek: bool) -> BodySection:
    """Read `[section]<partial>`; raises SyntaxFailure."""
    path, text, fields = _parse_spec(scanner)
    partial = _parse_partial(scanner)
    return BodySection(_label(b"BODY", path, text, fields, partial), path, text, fields, partial, peek)


def _parse_spec(scanner: Scanner) -> tuple[tuple[int, ...], SectionText, tuple[bytes, ...]]:
    """Read `[section]`."""
    scanner.expect(b"[")
    path = _parse_path(scanner)
    text = SectionText.WHOLE
    fields: tuple[bytes, ...] = ()
    if not path or scanner.accept(b"."):
        text = _parse_section_text(scanner, bool(path))
    if text in _HEADER_LISTS:
        scanner.space()
        fields = tuple(scanner.parenthesised(scanner.astring, MAX_HEADER_FIELDS, "header fields"))
        if not fields:
            raise SyntaxFailure("Expected header fields")
    scanner.expect(b"]")
    return path, text, fields


def _parse_path(scanner: Scanner) -> tuple[int, ...]:
    if not scanner.peek().isdigit():
        return ()
    numbers = scanner.match(_PATH, "a part number").split(b".")
    if len(numbers) > MAX_SECTION_DEPTH or max(map(len, numbers)) > 9:
        raise SyntaxFailure("Section has too many levels or too large a number")
    return tuple(map(int, numbers))


def _parse_section_text(scanner: Scanner, in_part: bool) -> SectionText:
    if not in_part and scanner.peek() == b"]":
        return SectionText.WHOLE
    text = _SECTION_TEXTS.get(scanner.keyword())
    if text is None or (text is SectionText.MIME and not in_part):
        raise SyntaxFailure("Unknown section")
    return text


def _parse_partial(scanner: Scanner, *, open_ended: bool = False) -> Partial | None:
    """Read `<start.length>`, or also `<start>` when `open_ended`."""
    if not scanner.accept(b"<"):
        return None
    start = scanner.number()
    if open_ended and scanner.accept(b">"):
        return Partial(start, MAX_NUMBER)
    scanner.expect(b".")
    length = scanner.number()
    if not length:
        raise SyntaxFailure("Partial must not be empty")
    scanner.expect(b">")
    return Partial(start, length)


def _label(
    name: bytes, path: tuple[int, ...], text: SectionText, fields: tuple[bytes, ...], partial: Partial | None
) -> bytes:
    section = b".".join([b"%d" % number for number in path] + ([text.value] if text.value else []))
    if fields:
        section += b" (" + b" ".join(map(_field_name, fields)) + b")"
    return name + b"[" + section + b"]" + (b"<%d>" % partial.start if partial else b"")


_PLAIN_FIELD = re.compile(rb"[^\x00-\x20\x7f-\xff(){%*\"\\\]]+")


def _field_name(name: bytes) -> bytes:
    if _PLAIN_FIELD.fullmatch(name):
        return name
    if b"\r" in name or b"\n" in name or not name.isascii():
        return b"{%d}\r\n" % len(name) + name
    return b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
