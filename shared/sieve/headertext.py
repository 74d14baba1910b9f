"""Text for people made fit for a header: RFC 2047 words where needed, folded, never a line of its own."""

from __future__ import annotations

import re
from base64 import b64encode

LINE_LENGTH = 78
"""Characters of a line where it can be folded (RFC 5322 §2.1.1)."""
WORD_OCTETS = 42
"""Octets of text in one encoded word: with its charset it stays below 75 characters (RFC 2047 §2)."""
MAX_WORD = 900
"""Characters without a space that may stand on a line; longer ones are encoded (RFC 5322 §2.1.1: 998)."""

_BREAK = re.compile(r"[ \t]*[\r\n]+[ \t]*")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NAME = re.compile(r"[!-9;-~]{1,900}\Z")


def is_field_name(name: str) -> bool:
    """Whether it may stand before a colon (RFC 5322 §3.6.8)."""
    return _NAME.match(name) is not None


def one_line(text: str) -> str:
    """Text on one line, without control characters."""
    return _CONTROL.sub(" ", unbroken(text)).strip()


def unbroken(text: str) -> str:
    """Text on one line, its control characters kept."""
    return _BREAK.sub(" ", text).strip()


def header_field(name: str, text: str) -> bytes:
    """A whole field with its line end; control characters are kept, encoded."""
    text = unbroken(text)
    longest = max(map(len, text.split()), default=0)
    plain = text.isascii() and longest <= MAX_WORD and not _CONTROL.search(text)
    words = text.split(" ") if plain else encoded_words(text)
    lines = [f"{name}: {words[0] if words else ''}"]
    for word in words[1:]:
        if word and len(lines[-1]) + 1 + len(word) > LINE_LENGTH:
            lines.append(" " + word)
        else:
            lines[-1] += " " + word
    return "\r\n".join(lines).encode() + b"\r\n"


def encoded_words(text: str) -> list[str]:
    """The text as RFC 2047 words; no character is split between two."""
    words, chunk, size = list[str](), "", 0
    for character in text:
        octets = len(character.encode("utf-8", "replace"))
        if size + octets > WORD_OCTETS:
            words.append(_word(chunk))
            chunk, size = "", 0
        chunk, size = chunk + character, size + octets
    if chunk:
        words.append(_word(chunk))
    return words


def _word(text: str) -> str:
    return f"=?utf-8?B?{b64encode(text.encode('utf-8', 'replace')).decode()}?="
