"""Messages with binary parts (RFC 3030, RFC 3516) made such that IMAP's literals can hold them: base64 where need be.

A part whose body has a NUL, or a bare CR or LF in what it calls binary, becomes base64; all else stays as it is,
with CRLF for bare LF.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from shared.errors import PermanentFailure
from shared.message.lineends import to_crlf
from shared.message.octets import CHUNK_BYTES, cut, find
from shared.message.structure import parse_structure

if TYPE_CHECKING:
    from shared.message.octets import Octets
    from shared.message.structure import Part

LINE_BYTES = 57
"""Octets of one line of base64, 76 characters of it."""
CHUNK_LINES = CHUNK_BYTES // LINE_BYTES
"""Lines that are encoded at a time."""

_IDENTITY = (b"7bit", b"8bit", b"binary")
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_ENCODING_FIELD = re.compile(rb"(?im)^content-transfer-encoding[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)")


class NotTransferable(PermanentFailure):
    """A NUL is where no transfer encoding can hide it: answer NO [UNKNOWN-CTE] (RFC 3516 §4.4)."""


def to_transferable(data: Octets) -> Generator[bytes, None, None]:
    """Yield the message piece by piece with its binary parts in base64; raises NotTransferable."""
    done = 0
    ends_with_cr = False
    for part in _binary_parts(data):
        yield from _plain(data, done, part.header_start)
        yield _header(data, part)
        yield from _base64(data, part.body_start, part.body_end)
        done = part.body_end
        ends_with_cr = True
    if done < len(data):
        if ends_with_cr and data[done] not in b"\r\n":
            yield b"\r\n"
        yield from _plain(data, done, len(data))


def _binary_parts(data: Octets) -> list[Part]:
    """The leaves that can't stay as they are, in the order of the message."""
    return [part for part in parse_structure(data).walk() if not part.children and _is_binary(data, part)]


def _is_binary(data: Octets, part: Part) -> bool:
    if part.encoding not in _IDENTITY:
        return False
    if find(data, b"\0", part.body_start, part.body_end) >= 0:
        return True
    return part.encoding == b"binary" and _BARE.search(data, part.body_start, part.body_end) is not None


def _header(data: Octets, part: Part) -> bytes:
    """The part's header with its encoding named base64."""
    header = _crlf(cut(data, part.header_start, part.body_start))
    fields = header.removesuffix(b"\r\n") if header.endswith(b"\r\n\r\n") or header == b"\r\n" else header
    fields = _ENCODING_FIELD.sub(b"", fields)
    if fields and not fields.endswith(b"\n"):
        fields += b"\r\n"
    return fields + b"Content-Transfer-Encoding: base64\r\n\r\n"


def _base64(data: Octets, start: int, end: int) -> Iterator[bytes]:
    """Lines of base64; the last line end is there only if something follows that isn't one (a delimiter's is)."""
    first = True
    for at in range(start, end, LINE_BYTES * CHUNK_LINES):
        chunk = cut(data, at, min(at + LINE_BYTES * CHUNK_LINES, end))
        lines = [
            b2a_base64(chunk[place : place + LINE_BYTES], newline=False) for place in range(0, len(chunk), LINE_BYTES)
        ]
        yield (b"" if first else b"\r\n") + b"\r\n".join(lines)
        first = False
    if end == len(data):
        yield b"\r\n"


def _plain(data: Octets, start: int, end: int) -> Iterator[bytes]:
    held = b""
    for at in range(start, end, CHUNK_BYTES):
        chunk = cut(data, at, min(at + CHUNK_BYTES, end))
        yield _crlf(held + chunk)[len(held) :]
        held = b"\r" if chunk.endswith(b"\r") else b""


def _crlf(octets: bytes) -> bytes:
    if b"\0" in octets:
        raise NotTransferable("A NUL octet outside of a binary part", code=550, status="5.6.0")
    return to_crlf(octets)
