"""Which passwords were verified lately: a table in memory that the workers of a service share.

Made before they are forked, so a client that comes back costs no second hash of 50 ms, whichever worker it meets.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import time
from collections.abc import Callable, Iterator

REMEMBERED = 600.0  # seconds
BUCKETS = 4_096
BUCKET_ENTRIES = 4  # of one bucket, the oldest of which gives way

_ENTRY = struct.Struct("=32sd")  # digest; the clock's seconds until which it holds


class VerifiedPasswords:
    """Keyed digests of (stored hash, password) pairs that matched; a changed hash is another pair.

    Nothing is locked: an entry that another process is just writing has no digest that anybody looks for.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = os.urandom(32)
        self._table = mmap.mmap(-1, BUCKETS * BUCKET_ENTRIES * _ENTRY.size)

    def knows(self, stored: str, password: str) -> bool:
        """Whether the pair was added lately."""
        digest = self._digest(stored, password)
        return any(found == digest and self._clock() < until for _, found, until in self._bucket(digest))

    def add(self, stored: str, password: str) -> None:
        """Remember a pair that matched."""
        digest = self._digest(stored, password)
        place = min(self._bucket(digest), key=lambda entry: (entry[1] != digest, entry[2]))[0]
        _ENTRY.pack_into(self._table, place, digest, self._clock() + REMEMBERED)

    def _bucket(self, digest: bytes) -> Iterator[tuple[int, bytes, float]]:
        """Yield place, digest and end of the entries that a digest may be among."""
        first = int.from_bytes(digest[:4], "big") % BUCKETS * BUCKET_ENTRIES
        for place in range(first * _ENTRY.size, (first + BUCKET_ENTRIES) * _ENTRY.size, _ENTRY.size):
            yield place, *_ENTRY.unpack_from(self._table, place)

    def _digest(self, stored: str, password: str) -> bytes:
        text = f"{stored}\0{password}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()
