"""A conversation with one milter, beside one SMTP session: what shared.milter's packets are sent over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shared.filters.configuration import MilterConfig
from shared.filters.endpoint import Endpoint, Streams
from shared.filters.failure import ScanFailed
from shared.milter import command
from shared.milter.limits import BODY_CHUNK, MAX_MODIFICATIONS, MAX_PROGRESS, MAX_REPLACED
from shared.milter.options import Options, Stage, Steps, agree, offer
from shared.milter.packet import MilterError, Packet, PacketReader
from shared.milter.reply import (
    Answer,
    Modification,
    ReplaceBody,
    Reply,
    ReplyCode,
    parse_reply,
)

READ = 65_536  # octets asked for at once

Answered = Answer | ReplyCode
Sink = Callable[[bytes], Awaitable[None]]


@dataclass(slots=True)
class Ending:
    """What a milter said at the end of a message, and what it changes of it, in its order."""

    answer: Answered
    modifications: list[Modification] = field(default_factory=list)
    replaced: bool = False  # the body went to the sink


class MilterConversation:
    """One milter and one SMTP session. Every method raises ScanFailed when the milter is away, late or speaks nonsense.

    After ACCEPT the milter isn't asked about that message (at connect or helo: nor about any other).
    """

    def __init__(self, config: MilterConfig, streams: Streams) -> None:
        self._config = config
        self._reader, self._writer = streams
        self._packets = PacketReader()
        self._options = Options()
        self._out: list[bytes] = []

    @classmethod
    async def open(cls, config: MilterConfig) -> MilterConversation:
        """Connect and negotiate."""
        try:
            async with asyncio.timeout(config.timeout):
                conversation = cls(config, await Endpoint.parse(config.address).connect())
        except TimeoutError:
            raise ScanFailed(f"{config.address}: no connection within {config.timeout} s") from None
        try:
            await conversation._negotiate()
        except BaseException:
            conversation.abandon()
            raise
        return conversation

    async def connect(self, hostname: str, ip: str, port: int, macros: Mapping[str, str]) -> Answered:
        """Tell who is connected."""
        self._macros(b"C", Stage.CONNECT, macros)
        return await self._step(command.connect(hostname, ip, port), Steps.NO_CONNECT, Steps.SILENT_CONNECT)

    async def helo(self, name: str, macros: Mapping[str, str]) -> Answered:
        """Tell the greeting."""
        self._macros(b"H", Stage.HELO, macros)
        return await self._step(command.helo(name), Steps.NO_HELO, Steps.SILENT_HELO)

    async def mail(self, sender: str, parameters: Sequence[str], macros: Mapping[str, str]) -> Answered:
        """Tell the reverse-path."""
        self._macros(b"M", Stage.MAIL, macros)
        return await self._step(command.mail(sender, parameters), Steps.NO_MAIL, Steps.SILENT_MAIL)

    async def rcpt(self, recipient: str, parameters: Sequence[str], macros: Mapping[str, str]) -> Answered:
        """Tell a recipient; a refusal is for it alone."""
        self._macros(b"R", Stage.RCPT, macros)
        return await self._step(command.rcpt(recipient, parameters), Steps.NO_RCPT, Steps.SILENT_RCPT)

    async def data(self, macros: Mapping[str, str]) -> Answered:
        """Tell that the text follows."""
        self._macros(b"T", Stage.DATA, macros)
        return await self._step(command.DATA, Steps.NO_DATA, Steps.SILENT_DATA)

    async def message(
        self,
        fields: Sequence[tuple[bytes, bytes]],
        body: AsyncIterator[bytes],
        macros: Mapping[str, str],
        sink: Sink,
    ) -> Ending:
        """Tell the header, raw values after the colon, and the body; a replaced body goes to `sink` as it comes."""
        for name, value in fields:
            if not self._options.steps & Steps.LEADING_SPACE:
                value = value[1:] if value[:1] == b" " else value
            answer = await self._step(command.header(name, value), Steps.NO_HEADERS, Steps.SILENT_HEADER)
            if answer is not Answer.CONTINUE:
                return Ending(answer)
        self._macros(b"N", Stage.END_OF_HEADERS, macros)
        answer = await self._step(command.END_OF_HEADERS, Steps.NO_END_OF_HEADERS, Steps.SILENT_END_OF_HEADERS)
        if answer is Answer.CONTINUE:
            answer = await self._body(body)
        if answer not in (Answer.CONTINUE, Answer.SKIP):
            return Ending(answer)
        self._macros(b"E", Stage.END_OF_MESSAGE, macros)
        return await self._end(sink)

    async def abort(self) -> None:
        """Forget the message; the next one may follow."""
        self._out.append(command.ABORT.encode())
        await self._flush()

    def quit(self) -> None:
        """Say goodbye and hang up, without waiting."""
        if not self._writer.is_closing():
            self._writer.write(b"".join(self._out) + command.QUIT.encode())
            self._out.clear()
            self._writer.close()

    def abandon(self) -> None:
        """Hang up at once."""
        self._writer.transport.abort()

    async def _negotiate(self) -> None:
        self._out.append(offer().encode())
        try:
            self._options = agree(await self._next())
        except MilterError as error:
            raise ScanFailed(f"{self._config.address}: {error}") from None

    async def _body(self, body: AsyncIterator[bytes]) -> Answered:
        async for piece in body:
            for start in range(0, len(piece), BODY_CHUNK):
                chunk = command.body(piece[start : start + BODY_CHUNK])
                answer = await self._step(chunk, Steps.NO_BODY, Steps.SILENT_BODY)
                if answer is not Answer.CONTINUE:
                    return answer
        return Answer.CONTINUE

    async def _end(self, sink: Sink) -> Ending:
        """Collect changes until the final answer."""
        ending = Ending(Answer.CONTINUE)
        replaced = 0
        self._out.append(command.END_OF_MESSAGE.encode())
        while True:
            reply = await self._reply()
            if isinstance(reply, Answer | ReplyCode):
                ending.answer = reply
                return ending
            if isinstance(reply, ReplaceBody):
                ending.replaced = True
                replaced += len(reply.chunk)
                if replaced > MAX_REPLACED:
                    raise ScanFailed(f"{self._config.address}: a body of over {MAX_REPLACED} octets")
                await sink(reply.chunk)
                continue
            ending.modifications.append(reply)
            if len(ending.modifications) > MAX_MODIFICATIONS:
                raise ScanFailed(f"{self._config.address}: over {MAX_MODIFICATIONS} changes")

    def _macros(self, letter: bytes, stage: Stage, values: Mapping[str, str]) -> None:
        wanted = self._options.symbols.get(stage)
        told = {name: value for name, value in values.items() if value and (wanted is None or name in wanted)}
        if told:
            self._out.append(command.macros(letter, told).encode())

    async def _step(self, packet: Packet, left_out: Steps, silent: Steps) -> Answered:
        """Send a step, unless the milter doesn't want it, and wait for the answer, unless it gives none."""
        if self._options.steps & left_out:
            return Answer.CONTINUE
        self._out.append(packet.encode())
        if self._options.steps & silent:
            if len(self._out) > 64 or len(packet.data) > READ // 2:
                await self._flush()
            return Answer.CONTINUE
        reply = await self._reply()
        if isinstance(reply, Answer | ReplyCode):
            return reply
        raise ScanFailed(f"{self._config.address}: a change before the end of the message")

    async def _reply(self) -> Reply:
        """Return what it says, once it has asked for no more time."""
        for _ in range(MAX_PROGRESS):
            try:
                reply = parse_reply(await self._next())
            except MilterError as error:
                raise ScanFailed(f"{self._config.address}: {error}") from None
            if reply is not Answer.PROGRESS:
                return reply
        raise ScanFailed(f"{self._config.address}: nothing but progress")

    async def _next(self) -> Packet:
        try:
            async with asyncio.timeout(self._config.timeout):
                await self._flush()
                while (packet := self._packets.next()) is None:
                    data = await self._reader.read(READ)
                    if not data:
                        raise ScanFailed(f"{self._config.address}: it hung up")
                    self._packets.feed(data)
                return packet
        except MilterError as error:
            raise ScanFailed(f"{self._config.address}: {error}") from None
        except TimeoutError:
            raise ScanFailed(f"{self._config.address}: no answer within {self._config.timeout} s") from None
        except OSError as error:
            raise ScanFailed(f"{self._config.address}: {error}") from None

    async def _flush(self) -> None:
        if not self._out:
            return
        self._writer.write(b"".join(self._out))
        self._out.clear()
        try:
            async with asyncio.timeout(self._config.timeout):
                await self._writer.drain()
        except TimeoutError:
            raise ScanFailed(f"{self._config.address}: it doesn't read") from None
        except OSError as error:
            raise ScanFailed(f"{self._config.address}: {error}") from None
