"""Where a scanner listens: HOST:PORT or the path of a Unix socket."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from shared.filters.failure import ScanFailed
from shared.filters.limits import MAX_LINE

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A TCP or a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read `HOST:PORT`, `[IPV6]:PORT` or `/PATH`; ValueError."""
        if text.startswith("/"):
            return cls(path=text)
        host, _, port = text.rpartition(":")
        host = host[1:-1] if host[:1] == "[" and host[-1:] == "]" else host
        if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
            raise ValueError("an address is HOST:PORT or the path of a socket")
        return cls(host, int(port))

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"

    async def connect(self) -> Streams:
        """Open a connection; ScanFailed."""
        try:
            if self.path:
                return await asyncio.open_unix_connection(self.path, limit=MAX_LINE)
            return await asyncio.open_connection(self.host, self.port, limit=MAX_LINE)
        except OSError as error:
            raise ScanFailed(f"{self}: {error.strerror or error}") from None
