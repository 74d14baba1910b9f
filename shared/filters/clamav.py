"""clamd over its socket: INSTREAM (man 8 clamd)."""

from __future__ import annotations

import asyncio
import struct

from shared.filters.configuration import ClamavConfig
from shared.filters.endpoint import Endpoint, Streams
from shared.filters.failure import NotScanned, ScanFailed
from shared.filters.parcel import Parcel
from shared.message.verdict import Action, Change, HeaderChange, Verdict

_LENGTH = struct.Struct(">I")


class Clamav:
    """A client of one clamd; a connection for each message, as clamd wants it."""

    def __init__(self, config: ClamavConfig) -> None:
        self._config = config
        self._endpoint = Endpoint.parse(config.address)

    async def scan(self, parcel: Parcel) -> Verdict:
        """Send the message, read what was found; ScanFailed, NotScanned when it is too long for clamd."""
        streams = await self._endpoint.connect()
        try:
            answer = await self._ask(streams, parcel)
        finally:
            streams[1].transport.abort()
        return self._verdict(answer)

    async def close(self) -> None:
        """Nothing stays open."""

    async def _ask(self, streams: Streams, parcel: Parcel) -> str:
        reader, writer = streams
        answer = asyncio.create_task(reader.readuntil(b"\0"))  # it may answer, and hang up, before the end
        try:
            await _send(writer, parcel, answer)
            return (await answer)[:-1].decode("utf-8", "replace").strip()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError) as error:
            raise ScanFailed(f"{self._endpoint}: {error}") from None
        finally:
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)

    def _verdict(self, answer: str) -> Verdict:
        name = self._config.name
        if answer == "stream: OK":
            return Verdict(name, kind="clamav", looked_for_viruses=True)
        if answer.startswith("stream: ") and answer.endswith(" FOUND"):
            virus = answer.removeprefix("stream: ").removesuffix(" FOUND")
            return Verdict(
                name,
                Action(self._config.virus.value),
                kind="clamav",
                virus=virus,
                looked_for_viruses=True,
                reason=f"The message has a virus: {virus}",
                changes=(HeaderChange(Change.INSERT, "X-Virus-Status", f"Infected ({virus})".encode()),),
            )
        if "size limit exceeded" in answer:
            raise NotScanned("longer than clamd takes")
        raise ScanFailed(f"{self._endpoint}: {answer[:200]!r}")


async def _send(writer: asyncio.StreamWriter, parcel: Parcel, answer: asyncio.Task[bytes]) -> None:
    writer.write(b"zINSTREAM\0")
    async for piece in parcel.pieces():
        if answer.done():
            return
        writer.write(_LENGTH.pack(len(piece)) + piece)
        await writer.drain()
        await asyncio.sleep(0)
    writer.write(_LENGTH.pack(0))
    await writer.drain()
