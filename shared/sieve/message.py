"""A message as tests look at it: decoded header values, addresses and MIME parts, each worked out once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import TYPE_CHECKING, NamedTuple

from shared.message.addresslist import MISSING_HOST, MISSING_MAILBOX, SYNTAX_ERROR, Kind, parse_addresses
from shared.message.charset import decode_text
from shared.message.header import Headers, decode_words, find_header_end, parse_headers
from shared.message.octets import cut
from shared.message.structure import parse_structure
from shared.message.text import part_text
from shared.sieve.revision import Revision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.message.octets import Octets
    from shared.message.structure import Part

MAX_BODY_PARTS = 1000
"""Parts whose text body tests look at."""

_ENCODINGS = frozenset([b"7bit", b"8bit", b"binary", b"quoted-printable", b"base64"])
_MARKUP = re.compile(r"(?is)<!--.*?(?:-->|\Z)|<(style|script|title|head)\b.*?(?:</\1\s*>|\Z)|</?[a-z!?][^>]*+(?:>|\Z)")


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message; give `headers` when they are parsed already."""

    data: Octets
    headers: Headers | None = None
    size: int = -1
    """Octets as size tests see them, by default those of `data`."""


class MailAddress(NamedTuple):
    """An address out of a header field or the envelope; `domain` is None where there is none."""

    local: str
    domain: str | None

    @property
    def whole(self) -> str:
        """local@domain."""
        return self.local if self.domain is None else f"{self.local}@{self.domain}"


class View:
    """The message of one run in its present state."""

    __slots__ = ("_addresses", "_bodies", "_headers", "_root", "_texts", "data", "revision", "size")

    def __init__(self, message: Message) -> None:
        """Of a message as it came."""
        self.data = message.data
        self.size = message.size if message.size >= 0 else len(message.data)
        self.revision = Revision(message.data)
        self._headers = message.headers
        self._root: Part | None = None
        self._forget()

    def revise(self, revision: Revision) -> None:
        """Look at another state of the message from now on."""
        if revision.data is not self.data:
            self.data = revision.data
            self.size = len(revision.data)
        self.revision = revision
        lines = revision.lines
        if lines is not None:
            self.size = len(self.data) + sum(len(line.raw) for line in lines) + 2 - find_header_end(self.data)
        self._headers = None if lines is None else Headers((line.name, line.value) for line in lines if line.name)
        self._forget()

    @property
    def headers(self) -> Headers:
        """The fields of the message's header."""
        if self._headers is None:
            self._headers = parse_headers(cut(self.data, 0, find_header_end(self.data)))
        return self._headers

    @property
    def root(self) -> Part:
        """The message's MIME structure."""
        if self._root is None:
            self._root = parse_structure(self.data)
        return self._root

    def texts(self, name: str) -> list[str]:
        """The values of the fields of this name, decoded (RFC 5228 §2.7.2)."""
        found = self._texts.get(name)
        if found is None:
            found = self._texts[name] = decoded_values(self.headers, name)
        return found

    def addresses(self, name: str) -> list[list[MailAddress]]:
        """The addresses in each field of this name."""
        found = self._addresses.get(name)
        if found is None:
            found = self._addresses[name] = field_addresses(self.headers, name)
        return found

    def bodies(self, key: str) -> list[str] | None:
        """What a body test made of the body before, under a key of its own."""
        return self._bodies.get(key)

    def keep_bodies(self, key: str, texts: list[str]) -> list[str]:
        """Remember what a body test made of the body."""
        self._bodies[key] = texts
        return texts

    def headers_of(self, part: Part) -> Headers:
        """A part's fields; for the whole message with the changes made so far."""
        return self.headers if part is self._root else part.headers

    def _forget(self) -> None:
        self._texts: dict[str, list[str]] = {}
        self._addresses: dict[str, list[list[MailAddress]]] = {}
        self._bodies: dict[str, list[str]] = {}
        self._root = None


def decoded_values(headers: Headers, name: str) -> list[str]:
    """Every field of a name, encoded words decoded, white space at both ends taken off."""
    return [decode_words(value).strip() for value in headers.get_all(field_key(name))]


def field_addresses(headers: Headers, name: str) -> list[list[MailAddress]]:
    """The addresses of every field of a name; group names and what makes no sense are left out."""
    return [list(_addresses(value)) for value in headers.get_all(field_key(name))]


def field_key(name: str) -> bytes:
    """A field's name as headers are looked up by; what can't be a name finds nothing."""
    return name.lower().encode("utf-8", "replace")


def _addresses(value: bytes) -> Iterator[MailAddress]:
    for entry in parse_addresses(value):
        if entry.kind is not Kind.MAILBOX or entry.mailbox is None:
            continue
        if entry.mailbox == MISSING_MAILBOX:
            continue
        missing = entry.host in (None, MISSING_HOST, SYNTAX_ERROR)
        yield MailAddress(decode_text(entry.mailbox), None if missing else decode_text(entry.host or b""))


def has_body(data: Octets) -> bool:
    """Whether an empty line ends the header (RFC 5173 §4)."""
    end = find_header_end(data)
    head = cut(data, max(0, end - 4), end)
    return end < len(data) or head.endswith((b"\r\n\r\n", b"\n\n")) or (end <= 2 and head.endswith(b"\n"))


def raw_body(view: View, limit: int) -> str:
    """The body undecoded (RFC 5173 §5.1), from at most `limit` octets."""
    data = view.revision.render() if view.revision.splices else view.data
    start = find_header_end(data)
    return decode_text(cut(data, start, min(len(data), start + limit)))


def body_content(view: View, types: list[str], limit: int) -> list[str]:
    """The bodies of the parts of certain types (RFC 5173 §5.2): of multiparts what stands around their parts."""
    found = list[str]()
    for part in view.root.walk():
        if len(found) >= MAX_BODY_PARTS:
            break
        if any(_is_of_type(part, wanted) for wanted in types):
            found += _content(view.data, part, limit)
    return found


def body_text(view: View, limit: int) -> list[str]:
    """The text of a message as its reader sees it: text parts, markup taken off (RFC 5173 §5.3)."""
    found = list[str]()
    for part in view.root.walk():
        if is_readable(part) and len(found) < MAX_BODY_PARTS:
            found.append(readable_text(view.data, part, limit))
    return found


def is_readable(part: Part) -> bool:
    """Whether it is text for people; with an unknown transfer encoding it is octets only (RFC 2045 §6.4)."""
    if part.children or part.encoding not in _ENCODINGS:
        return False
    return part.media.type == b"text" or (part.media.type, part.media.subtype) == (b"application", b"xhtml+xml")


def readable_text(data: Octets, part: Part, limit: int) -> str:
    """A text part for people."""
    text = part_text(data, part, limit)
    if part.media.subtype not in (b"html", b"xhtml", b"xhtml+xml"):
        return text
    return " ".join(unescape(_MARKUP.sub(" ", text)).split())


def _is_of_type(part: Part, wanted: str) -> bool:
    """RFC 5173 §5.2: "" is any type, "text" a main type, "text/html" a whole one."""
    if not wanted:
        return True
    main, slash, subtype = wanted.lower().encode("utf-8", "replace").partition(b"/")
    if slash and (not main or not subtype or b"/" in subtype):
        return False
    return main == part.media.type and (not slash or subtype == part.media.subtype)


def _content(data: Octets, part: Part, limit: int) -> Iterator[str]:
    if part.is_multipart and part.children:
        before = cut(data, part.body_start, min(part.children[0].header_start, part.body_start + limit))
        after = cut(data, part.children[-1].body_end, min(part.body_end, part.children[-1].body_end + limit))
        yield decode_text(_without_last_line(before))
        yield decode_text(_without_first_line(after))
    elif part.is_message:
        nested = part.children[0]
        yield _whole_header(cut(data, nested.header_start, min(nested.header_end, nested.header_start + limit)))
    else:
        yield part_text(data, part, limit)


def _without_last_line(prologue: bytes) -> bytes:
    """Up to the delimiter that the first part begins after."""
    return prologue[: max(0, prologue.rstrip(b"\r\n").rfind(b"\n") + 1)]


def _without_first_line(epilogue: bytes) -> bytes:
    """After the line with the closing delimiter, which the last part ends before."""
    return epilogue.lstrip(b"\r\n").partition(b"\n")[2]


def _whole_header(block: bytes) -> str:
    """A header as one string, its encoded words decoded, folded as it came and without the empty line after it."""
    if block.endswith(b"\r\n\r\n"):
        block = block[:-2]
    return "".join(decode_words(line) + "\r\n" for line in block.removesuffix(b"\r\n").split(b"\r\n"))
