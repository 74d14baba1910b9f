"""SpamAssassin's spamd: SYMBOLS of the SPAMC protocol 1.5 (spamd/PROTOCOL in its source)."""

from __future__ import annotations

import asyncio
import re

from shared.filters.configuration import SpamassassinConfig
from shared.filters.endpoint import Endpoint, Streams
from shared.filters.failure import ScanFailed
from shared.filters.limits import MAX_ANSWER
from shared.filters.parcel import Parcel
from shared.message.verdict import Action, Verdict

_STATUS = re.compile(rb"SPAMD/\d{1,3}\.\d{1,3} (\d{1,3}) (\w{1,40})")
_SPAM = re.compile(rb"(?im)^Spam: *(True|False|Yes|No) *; *(-?\d+(?:\.\d+)?) */ *(-?\d+(?:\.\d+)?)")
_SYMBOLS = re.compile(r"[\s,]+")


class SpamAssassin:
    """A client of one spamd; a connection for each message."""

    def __init__(self, config: SpamassassinConfig) -> None:
        self._config = config
        self._endpoint = Endpoint.parse(config.address)

    async def scan(self, parcel: Parcel) -> Verdict:
        """Send the message, read score and rules; ScanFailed."""
        streams = await self._endpoint.connect()
        try:
            answer = await self._ask(streams, parcel)
        except (asyncio.IncompleteReadError, OSError) as error:
            raise ScanFailed(f"{self._endpoint}: {error}") from None
        finally:
            streams[1].transport.abort()
        return self._verdict(answer)

    async def close(self) -> None:
        """Nothing stays open."""

    async def _ask(self, streams: Streams, parcel: Parcel) -> bytes:
        reader, writer = streams
        head = f"SYMBOLS SPAMC/1.5\r\nContent-length: {parcel.size}\r\n"
        if self._config.user:
            head += f"User: {self._config.user}\r\n"
        writer.write(head.encode() + b"\r\n")
        async for piece in parcel.pieces():
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
        answer = bytearray()
        while piece := await reader.read(65536):
            answer += piece
            if len(answer) > MAX_ANSWER:
                raise ScanFailed(f"{self._endpoint}: an answer over {MAX_ANSWER} octets")
        return bytes(answer)

    def _verdict(self, answer: bytes) -> Verdict:
        head, _, body = answer.partition(b"\r\n\r\n")
        status, spam = _STATUS.match(head), _SPAM.search(head)
        if status is None or spam is None:
            said = status[2].decode() if status is not None else repr(head[:80])
            raise ScanFailed(f"{self._endpoint}: {said}")
        score, threshold = float(spam[2]), float(spam[3])
        symbols = [name for name in _SYMBOLS.split(body.decode("utf-8", "replace")) if name]
        return Verdict(
            self._config.name,
            self._action(score, threshold),
            kind="spamassassin",
            score=score,
            threshold=threshold,
            symbols=tuple(symbols),
        )

    def _action(self, score: float, threshold: float) -> Action:
        if self._config.reject_score is not None and score >= self._config.reject_score:
            return Action.REJECT
        return Action.TAG if score >= threshold else Action.NONE
