"""What a scanner is given: the message and what is known of its way here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from shared.filters.limits import CHUNK


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message on its way: `head`, and then, if it is long, the octets of a file."""

    entry: str
    sender: str  # "" is the null reverse-path
    recipients: tuple[str, ...]
    head: bytes
    large: Path | None = None
    large_size: int = 0
    ip: str = ""
    helo: str = ""
    hostname: str = ""  # the confirmed name of the address, "" for none
    account: str = ""  # who was logged in
    listener: str = ""  # mx, submission
    tls: str = ""

    @property
    def size(self) -> int:
        """Octets of the message."""
        return len(self.head) + self.large_size

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the message, CHUNK octets at most at a time; OSError when its file can't be read."""
        view = memoryview(self.head)
        for start in range(0, len(view), CHUNK):
            yield bytes(view[start : start + CHUNK])
        if self.large is None:
            return
        file = await asyncio.to_thread(self.large.open, "rb")
        try:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk
        finally:
            await asyncio.to_thread(file.close)
