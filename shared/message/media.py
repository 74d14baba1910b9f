"""Structured MIME field values: media types, dispositions and their parameters (RFC 2045 §5.1, RFC 2231)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

from shared.message.charset import decode_text
from shared.message.header import decode_words

Parameters: TypeAlias = tuple[tuple[bytes, bytes], ...]

MAX_PARAMETERS = 200
"""Parameters of one field that are understood."""
MAX_VALUE_BYTES = 16 * 1024
"""Bytes of one field value that are understood."""
MAX_CACHED_BYTES = 80
"""Only short values repeat from message to message and are worth remembering."""
MAX_SECTIONS = 100
"""Sections of one parameter split as in RFC 2231 §3."""

_TYPE = re.compile(rb"[ \t]*+([^\s/;=\"]++)[ \t]*+/[ \t]*+([^\s/;=\"]++)")
_TOKEN = re.compile(rb"[ \t]*+([^\s;=\"]++)")
_WORDS = re.compile(rb"[ \t]*+[^\s;=\"]++(?:[ \t]++[^\s;=\"]++)*")
# a quoted string, closed or not, or a token that may have spaces in it when no further "=" follows
_PARAMETER = re.compile(
    rb"(?:;|(?<!\s)\s)\s*+([^\s;=\"]++)\s*+=\s*+"
    rb"(?:\"((?:[^\"\\]++|\\.)*)\"?|([^;\s]*+(?:[ \t]++[^;\s=\"]++(?=[ \t]*+(?:;|\Z|[^;\s=\"])))*))",
    re.DOTALL,
)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_SECTION = re.compile(rb"([^*]+)(?:\*(\d{1,3}))?(\*)?")
_COMMENT_TOKEN = re.compile(rb"[^()\"\\]++|\"(?:[^\"\\]++|\\.)*\"?|\\.?|[()]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Media:
    """A media type in lower case, and as it was written, with its parameters in order as they were written."""

    type: bytes
    subtype: bytes
    params: Parameters = ()
    written: tuple[bytes, bytes] | None = field(default=None, compare=False)

    def param(self, name: bytes) -> bytes | None:
        """The value of the first parameter of this lower-case name, or None."""
        return next((value for key, value in self.params if key.lower() == name), None)


@dataclass(frozen=True, slots=True)
class Disposition:
    """Content-Disposition in lower case, and as it was written, with its parameters (RFC 2183)."""

    kind: bytes
    params: Parameters = ()
    written: bytes = field(default=b"", compare=False)


TEXT_PLAIN = Media(b"text", b"plain", ((b"charset", b"us-ascii"),))
"""What a part without (usable) Content-Type is (RFC 2045 §5.2)."""
OCTET_STREAM = Media(b"application", b"octet-stream")
MESSAGE_RFC822 = Media(b"message", b"rfc822")


def parse_media(value: bytes) -> Media | None:
    """The media type of an unfolded Content-Type value, or None when it has no type/subtype."""
    return _parse_media_cached(value) if len(value) <= MAX_CACHED_BYTES else _parse_media(value)


def _parse_media(value: bytes) -> Media | None:
    value = strip_comments(value[:MAX_VALUE_BYTES])
    match = _TYPE.match(value)
    if match is None:
        return None
    return Media(match[1].lower(), match[2].lower(), _parameters(value, match.end()), (match[1], match[2]))


_parse_media_cached = lru_cache(maxsize=512)(_parse_media)


@lru_cache(maxsize=128)
def _parse_disposition_cached(value: bytes) -> Disposition | None:
    return _parse_disposition(value)


def parse_disposition(value: bytes) -> Disposition | None:
    """The disposition of an unfolded Content-Disposition value, or None when it is empty."""
    return _parse_disposition_cached(value) if len(value) <= MAX_CACHED_BYTES else _parse_disposition(value)


def _parse_disposition(value: bytes) -> Disposition | None:
    value = strip_comments(value[:MAX_VALUE_BYTES])
    match = _TOKEN.match(value)
    return None if match is None else Disposition(match[1].lower(), _parameters(value, match.end()), match[1])


def parse_words(value: bytes) -> bytes | None:
    """The first token of an unfolded value such as Content-Transfer-Encoding, words joined (7 bit), or None."""
    match = _WORDS.match(strip_comments(value[:MAX_VALUE_BYTES]))
    return b"".join(match[0].split()) if match else None


def parse_tokens(value: bytes) -> list[bytes]:
    """The comma-separated tokens of an unfolded value such as Content-Language (RFC 3282)."""
    tokens = strip_comments(value[:MAX_VALUE_BYTES]).split(b",")
    return [token for token in (item.strip() for item in tokens[:MAX_PARAMETERS]) if token]


def decode_parameter(params: Parameters, name: bytes) -> str | None:
    """A parameter as text for people: RFC 2231 charset and %XX, or RFC 2047 words as senders misuse them."""
    extended = name + b"*"
    for key, value in params:
        key = key.lower()
        if key == extended:
            charset, _, rest = value.partition(b"'")
            text = rest.partition(b"'")[2] if rest else value
            return decode_text(unquote_to_bytes(text), charset.decode("latin_1"))
        if key == name:
            return decode_words(value)
    return None


def strip_comments(value: bytes) -> bytes:
    """A structured value without its RFC 5322 comments, nested or unclosed ones too."""
    if b"(" not in value:
        return value
    kept, depth = list[bytes](), 0
    for token in _COMMENT_TOKEN.findall(value):
        if token == b"(":
            depth += 1
        elif token == b")" and depth:
            depth -= 1
        elif not depth:
            kept.append(token)
    return b"".join(kept)


def _parameters(value: bytes, start: int) -> Parameters:
    if start >= len(value):
        return ()
    params = list[tuple[bytes, bytes]]()
    split = False
    for match in _PARAMETER.finditer(value, start):
        name, quoted, token = match.groups()
        split = split or b"*" in name
        params.append((name, token.rstrip() if quoted is None else _unquote(quoted)))
        if len(params) == MAX_PARAMETERS:
            break
    return _join_sections(params) if split else tuple(params)


def _unquote(quoted: bytes) -> bytes:
    return _QUOTED_PAIR.sub(rb"\1", quoted) if b"\\" in quoted else quoted


def _join_sections(params: list[tuple[bytes, bytes]]) -> Parameters:
    """RFC 2231 §3: name*0, name*1* … become one parameter, called name* when any section is extended."""
    joined = list[tuple[bytes, bytes]]()
    sections: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    for name, value in params:
        match = _SECTION.fullmatch(name)
        if match is None or match[2] is None:
            joined.append((name, value))
        elif int(match[2]) < MAX_SECTIONS:
            sections.setdefault(match[1], {}).setdefault(int(match[2]), (value, match[3] is not None))
    for name, numbered in sections.items():
        joined.append(_joined(name, numbered))
    return tuple(joined)


def _joined(name: bytes, numbered: dict[int, tuple[bytes, bool]]) -> tuple[bytes, bytes]:
    extended = any(marked for _, marked in numbered.values())
    ordered = [numbered[number] for number in sorted(numbered)]
    if not extended:
        return name, b"".join(value for value, _ in ordered)
    escaped = [value if marked else value.replace(b"%", b"%25") for value, marked in ordered]
    return name + b"*", b"".join(escaped)
