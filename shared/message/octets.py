"""Message bytes in whatever buffer holds them: bytes, a memoryview or a mapped large file."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from mmap import mmap

    Octets: TypeAlias = bytes | bytearray | memoryview | mmap

CHUNK_BYTES = 256 * 1024
"""How much of a buffer without its own search is copied at a time."""


def find(data: Octets, needle: bytes, start: int, end: int) -> int:
    """The first offset of needle within data[start:end], or -1."""
    if isinstance(data, (bytes, bytearray)):
        return data.find(needle, start, end)
    while end - start >= len(needle):
        chunk_end = min(start + CHUNK_BYTES + len(needle) - 1, end)
        found = cut(data, start, chunk_end).find(needle)
        if found >= 0:
            return start + found
        start += CHUNK_BYTES
    return -1


def count_lines(data: Octets, start: int, end: int) -> int:
    """The number of LF within data[start:end]."""
    if isinstance(data, (bytes, bytearray)):
        return data.count(b"\n", start, end)
    chunks = range(start, end, CHUNK_BYTES)
    return sum(cut(data, at, min(at + CHUNK_BYTES, end)).count(b"\n") for at in chunks)


def cut(data: Octets, start: int, end: int) -> bytes:
    """A copy of data[start:end]; no copy where that is all of a bytes object."""
    return bytes(data[start:end])
