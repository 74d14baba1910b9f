"""The MIME structure of a message as byte offsets, found in one pass that never raises (RFC 2045, 2046)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.message.header import MAX_HEADER_BYTES, Headers, find_header_end, parse_headers
from shared.message.media import (
    MESSAGE_RFC822,
    OCTET_STREAM,
    TEXT_PLAIN,
    Disposition,
    Media,
    decode_parameter,
    parse_disposition,
    parse_media,
    parse_tokens,
    parse_words,
)
from shared.message.octets import count_lines, cut, find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shared.message.octets import Octets

MAX_DEPTH = 100
"""Levels of nesting; what lies deeper is shown as one leaf."""
MAX_PARTS = 10_000
"""Parts of one message; the last one found keeps all that follows."""
MAX_DELIMITER_CANDIDATES = 50_000
"""Places in one message that look like the start of a delimiter line and are examined."""
MAX_ALL_HEADERS_BYTES = 8 * 1024 * 1024
"""Bytes of header of all parts of one message that are parsed; later parts count as having no fields."""
MAX_BOUNDARY_BYTES = 1000
"""RFC 2046 §5.1.1 says 70."""

_ENCODINGS = (b"7bit", b"8bit", b"base64", b"quoted-printable", b"binary")
_DELIMITER_END = re.compile(rb"[ \t]*+(--)?[ \t]*+(?:\r?\n|\Z)")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message: where it lies, in octets from the message's start, and what its header says.

    For message/rfc822 the one child is the nested message, its header included.
    """

    header_start: int
    body_start: int
    body_end: int
    media: Media
    headers: Headers
    lines: int = 0
    children: tuple[Part, ...] = ()

    @property
    def header_end(self) -> int:
        """The end of the header with its empty line: where the body starts."""
        return self.body_start

    @property
    def octets(self) -> int:
        """The size of the body as transferred, before decoding."""
        return self.body_end - self.body_start

    @property
    def is_multipart(self) -> bool:
        """Whether the children are the body parts of a multipart."""
        return self.media.type == b"multipart"

    @property
    def is_message(self) -> bool:
        """Whether the one child is a nested message."""
        return self.media.type == b"message" and bool(self.children)

    @property
    def encoding(self) -> bytes:
        """Content-Transfer-Encoding in lower case, 7bit when there is none (RFC 2045 §6.1)."""
        return encoding_of(self.headers)

    @property
    def written_encoding(self) -> bytes:
        """The same with its capitals."""
        value = self.headers.get(b"content-transfer-encoding")
        return (parse_words(value) if value else None) or b"7bit"

    @property
    def disposition(self) -> Disposition | None:
        """Content-Disposition, if it says anything."""
        found = None
        for value in self.headers.get_all(b"content-disposition"):
            found = parse_disposition(value) or found
            if found is not None and found.params:
                break  # of several the first one with parameters counts, or else the last
        return found

    @property
    def content_id(self) -> bytes | None:
        """Content-ID as it stands."""
        return self.headers.first(b"content-id")

    @property
    def description(self) -> bytes | None:
        """Content-Description, encoded words untouched."""
        return self.headers.first(b"content-description")

    @property
    def md5(self) -> bytes | None:
        """Content-MD5 (RFC 1864)."""
        return self.headers.first(b"content-md5")

    @property
    def location(self) -> bytes | None:
        """Content-Location (RFC 2557)."""
        return self.headers.first(b"content-location")

    @property
    def languages(self) -> list[bytes]:
        """The tags of Content-Language (RFC 3282)."""
        value = self.headers.get(b"content-language")
        return parse_tokens(value) if value else []

    @property
    def charset(self) -> str | None:
        """The charset parameter, if any."""
        value = self.media.param(b"charset")
        return value.decode("latin_1") if value else None

    @property
    def filename(self) -> str | None:
        """The file name for people, from the disposition or else the type's name parameter."""
        disposition = self.disposition
        name = decode_parameter(disposition.params, b"filename") if disposition else None
        return name if name is not None else decode_parameter(self.media.params, b"name")

    def walk(self) -> Iterator[Part]:
        """This part and all below it, in the order of the message."""
        yield self
        for child in self.children:
            yield from child.walk()


def encoding_of(headers: Headers) -> bytes:
    """A part's transfer encoding in lower case, 7bit when its header names none (RFC 2045 §6.1)."""
    value = (headers.get(b"content-transfer-encoding") or b"7bit").lower()
    return value if value in _ENCODINGS else parse_words(value) or b"7bit"


def parse_structure(data: Octets) -> Part:
    """The structure of a whole message, in time linear in its size for any bytes whatever."""
    return _Scanner(data).part(0, len(data), TEXT_PLAIN, MAX_DEPTH)


class _Scanner:
    """One pass over one message: its buffer and what is left of the limits."""

    __slots__ = ("candidates", "data", "header_bytes", "parts")

    def __init__(self, data: Octets) -> None:
        self.data = data
        self.parts = MAX_PARTS - 1
        self.candidates = MAX_DELIMITER_CANDIDATES
        self.header_bytes = MAX_ALL_HEADERS_BYTES

    def part(self, start: int, end: int, default: Media, depth: int) -> Part:
        """The part in data[start:end], which is `default` unless its header says otherwise."""
        body_start = find_header_end(self.data, start, end)
        headers = self.headers(start, body_start)
        value = headers.get(b"content-type")
        media = (parse_media(value) or TEXT_PLAIN) if value else default
        if media.type == b"multipart":
            children = self.multipart(media, body_start, end, depth)
            if children:
                return Part(start, body_start, end, media, headers, 0, children)
            media = TEXT_PLAIN  # nothing in it can be told apart: let it be read as it stands
        elif media.type == b"message" and media.subtype == b"rfc822":
            if depth > 0 and self.parts > 0:
                self.parts -= 1
                nested = (self.part(body_start, end, TEXT_PLAIN, depth - 1),)
                return Part(start, body_start, end, media, headers, self.lines(body_start, end), nested)
            media = OCTET_STREAM
        lines = self.lines(body_start, end) if media.type == b"text" else 0
        return Part(start, body_start, end, media, headers, lines)

    def headers(self, start: int, end: int) -> Headers:
        """The fields in data[start:end], as far as the limits go."""
        end = min(end, start + MAX_HEADER_BYTES, start + self.header_bytes)
        self.header_bytes -= end - start
        return parse_headers(cut(self.data, start, end))

    def lines(self, start: int, end: int) -> int:
        """The number of line ends in data[start:end]."""
        return count_lines(self.data, start, end)

    def multipart(self, media: Media, start: int, end: int, depth: int) -> tuple[Part, ...]:
        """The body parts of a multipart with its body in data[start:end]; none without a delimiter line."""
        boundary = (media.param(b"boundary") or b"").rstrip()
        if not boundary or len(boundary) > MAX_BOUNDARY_BYTES or depth == 0:
            return ()
        default = MESSAGE_RFC822 if media.subtype == b"digest" else TEXT_PLAIN
        ranges = list(self.ranges(b"\n--" + boundary, start, end))
        return tuple([self.part(a, b, default, depth - 1) for a, b in ranges])

    def ranges(self, needle: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Where each body part lies: between delimiter lines, whose preceding line end is theirs."""
        part_start = -1
        while (found := self.delimiter(needle, start, end)) is not None:
            at, after, closing = found
            if part_start >= 0:
                yield part_start, max(part_start, at)
            if closing or self.parts <= 0:
                part_start = -1 if closing else after
                break
            self.parts -= 1
            part_start = start = after
        if part_start >= 0:
            yield part_start, end

    def delimiter(self, needle: bytes, start: int, end: int) -> tuple[int, int, bool] | None:
        """The next delimiter line: where its line end before it starts, where it ends, whether it closes."""
        at = start - 1  # the line end before the body may be the delimiter's
        while self.candidates > 0:
            at = find(self.data, needle, at, end)
            if at < 0:
                return None
            self.candidates -= 1
            match = _DELIMITER_END.match(self.data, at + len(needle), end)
            if match is not None:
                crlf = at > 0 and self.data[at - 1] == 0x0D
                return at - crlf, match.end(), match[1] is not None
            at += 1
        return None
