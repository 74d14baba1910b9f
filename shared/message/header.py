"""Header fields of a message, read byte by byte as RFC 5322 §2.2 says and forgivingly where it doesn't."""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from quopri import decodestring
from typing import TYPE_CHECKING

from shared.message.charset import decode_text
from shared.message.octets import cut, find

if TYPE_CHECKING:
    from shared.message.octets import Octets

MAX_HEADER_BYTES = 1024 * 1024
"""Bytes of one header block that are parsed; what follows is kept but not understood."""
MAX_FIELDS = 5_000
"""Fields of one header block that are parsed."""
MAX_FIELD_BYTES = 768 * 1024
"""Bytes of one field's value that are understood: about 15,000 recipients."""
MAX_DECODED_BYTES = 64 * 1024
"""Bytes of a field that are decoded for people."""

# field = name ":" rest of line *(LF WSP rest of line); possessive, so that no input backtracks (but no group is:
# CPython 3.11.2 gets possessive groups wrong)
_FIELD = re.compile(rb"(?m)^([!-9;-~\x80-\xff]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*)")
_FOLD = re.compile(rb"\r?\n[ \t]*+")
_LINE_END = re.compile(rb"\r?\n")
_CONTROL = re.compile(rb"[\r\n\0]")
# encoded-word = "=?" charset ["*" language] "?" encoding "?" encoded-text "?=" (RFC 2047 §2, RFC 2231 §5)
_WORD = re.compile(rb"=\?([^?\s*]{1,64})(?:\*[^?\s]{0,64})?\?([bBqQ])\?([^?\n]*+)\?=")
_BLANK = re.compile(rb"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Field:
    """One header field: its name, its raw value after the colon, and where it lies, line end included."""

    name: bytes
    value: bytes
    start: int
    end: int


class Headers:
    """The fields of one header block by lower-case name; values come unfolded and stripped."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """From (name, raw value) pairs in the order of the message."""
        self._fields: dict[bytes, list[bytes]] = {}
        for name, value in fields:
            key = name.lower()
            if key in self._fields:
                self._fields[key].append(value)
            else:
                self._fields[key] = [value]

    def get(self, name: bytes) -> bytes | None:
        """The first field of this lower-case name, or None."""
        values = self._fields.get(name)
        return unfold(values[0]) if values else None

    def last(self, name: bytes) -> bytes | None:
        """The last field of this lower-case name as it was folded: only the line ends go; or None."""
        values = self._fields.get(name)
        return unfold_exactly(values[-1]) if values else None

    def first(self, name: bytes) -> bytes | None:
        """The same of the first one."""
        values = self._fields.get(name)
        return unfold_exactly(values[0]) if values else None

    def get_all(self, name: bytes) -> list[bytes]:
        """Every field of this lower-case name, in order."""
        return [unfold(value) for value in self._fields.get(name, ())]

    def get_text(self, name: bytes) -> str | None:
        """The first field of this lower-case name with its encoded words decoded, or None."""
        value = self.get(name)
        return None if value is None else decode_words(value)

    def __contains__(self, name: bytes) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._fields)


NO_HEADERS = Headers()


def parse_headers(block: bytes) -> Headers:
    """The fields of a header block (with or without its empty line), within the limits above."""
    if len(block) > MAX_HEADER_BYTES:
        block = block[:MAX_HEADER_BYTES]
    if block.count(b"\n") < MAX_FIELDS:
        return Headers(_FIELD.findall(block))
    return Headers((m[1], m[2]) for m in islice(_FIELD.finditer(block), MAX_FIELDS))


def find_header_end(data: Octets, start: int = 0, end: int | None = None) -> int:
    """The offset after the empty line that ends the header, or `end` when there is none."""
    if end is None:
        end = len(data)
    first_line = cut(data, start, min(start + 2, end))
    if first_line == b"\r\n":
        return start + 2
    if first_line[:1] == b"\n":
        return start + 1
    crlf = find(data, b"\n\r\n", start, end)
    bare = find(data, b"\n\n", start, crlf if crlf >= 0 else end)
    if bare >= 0:
        return bare + 2
    return crlf + 3 if crlf >= 0 else end


def iterate_fields(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Field]:
    """Each field of the header block data[start:end], lazily; lines that are no field are passed over."""
    end = len(data) if end is None else end
    for match in _FIELD.finditer(data, start, end):
        stop = match.end()
        yield Field(match[1], match[2], match.start(), stop + 1 if stop < end else stop)


def unfold(value: bytes) -> bytes:
    """A raw field value on one line, stripped; each fold becomes one space, stray CR and NUL too."""
    if len(value) > MAX_FIELD_BYTES:
        value = value[:MAX_FIELD_BYTES]
    value = value.strip()
    if b"\n" in value:
        value = _FOLD.sub(b" ", value)
    if b"\r" in value or b"\0" in value:
        value = _CONTROL.sub(b" ", value)
    return value


def unfold_exactly(value: bytes) -> bytes:
    """A raw field value on one line with its white space as it is (RFC 5322 §2.2.3), but for that at its ends."""
    if len(value) > MAX_FIELD_BYTES:
        value = value[:MAX_FIELD_BYTES]
    value = value.lstrip(b" \t").rstrip()
    if b"\n" in value:
        value = _LINE_END.sub(b"", value)
    return _CONTROL.sub(b" ", value) if b"\r" in value or b"\0" in value else value


def decode_words(value: bytes, limit: int = MAX_DECODED_BYTES) -> str:
    """An unfolded value as text for people: RFC 2047 words decoded, 8-bit text guessed; never raises."""
    if len(value) > limit:
        value = value[:limit]
    if b"=?" not in value:
        return decode_text(value)
    return "".join(decode_text(raw, charset) for raw, charset in _runs(value))


def _runs(value: bytes) -> Iterator[tuple[bytes, str | None]]:
    """Stretches of one charset: adjoining words of one charset are joined, since they may split a character."""
    charset: str | None = None
    at, pieces = 0, list[bytes]()
    for match in _WORD.finditer(value):
        between = value[at : match.start()]
        named = match[1].decode("latin_1").lower()
        if named != charset or not _BLANK.fullmatch(between):
            yield b"".join(pieces), charset
            pieces = []
            if charset is None or not _BLANK.fullmatch(between):
                yield between, None
        charset = named
        pieces.append(_decode_word(match[2], match[3]))
        at = match.end()
    yield b"".join(pieces), charset
    yield value[at:], None


def _decode_word(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"qQ":
        return decodestring(text, header=True)
    return decode_base64(text)


def decode_base64(text: bytes) -> bytes:
    """As many octets as broken base64 text gives; never raises."""
    try:
        return a2b_base64(text)
    except Base64Error:
        pass
    text = re.sub(rb"[^A-Za-z0-9+/]", b"", text)
    if len(text) % 4 == 1:
        text = text[:-1]
    return a2b_base64(text + b"==")
