"""LMTP to another server: one message to one recipient, and its reply (RFC 2033)."""

from __future__ import annotations

import asyncio

from shared.errors import PermanentFailure, TemporaryFailure
from shared.smtp.client import Abandoned, Client, ClientOptions, Dialect, Event, Finished, Over, SendBody, TlsPolicy
from shared.smtp.dots import BareLineEnd
from shared.smtp.reply import Reply
from shared.smtp.transaction import Transaction

READ_SIZE = 64 * 1024
PIECE = 256 * 1024  # octets given to the socket at once


async def send(host: str, port: int, hostname: str, transaction: Transaction, message: bytes) -> Reply:
    """Return the positive reply; TemporaryFailure, PermanentFailure with the server's, OSError without a connection.

    How long it may take is the caller's business; `message` has CRLF line ends.
    """
    reader, writer = await asyncio.open_connection(host, port, limit=READ_SIZE)
    try:
        reply = await _converse(Client(_options(hostname)), reader, writer, transaction, message)
    except BareLineEnd as error:
        raise PermanentFailure(str(error), code=554, status="5.6.0") from None
    finally:
        writer.close()
    if reply.is_positive:
        return reply
    kind = PermanentFailure if reply.is_permanent else TemporaryFailure
    raise kind(reply.text.removeprefix(f"{reply.status} "), code=reply.code, status=reply.status or None)


def _options(hostname: str) -> ClientOptions:
    return ClientOptions(hostname, Dialect.LMTP, TlsPolicy.NEVER)


async def _converse(
    client: Client,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    transaction: Transaction,
    message: bytes,
) -> Reply:
    has_begun = False
    while True:
        writer.write(client.outgoing())
        await writer.drain()
        data = await reader.read(READ_SIZE)
        events = client.receive(data) if data else client.connection_lost("the server closed the connection")
        if client.can_begin and not has_begun:
            has_begun = True
            events += client.begin(transaction)
        for event in events:
            if isinstance(event, SendBody):
                await _send_body(client, writer, message)
            elif (reply := _final(event)) is not None:
                client.quit()
                writer.write(client.outgoing())
                return reply


async def _send_body(client: Client, writer: asyncio.StreamWriter, message: bytes) -> None:
    view = memoryview(message)
    for start in range(0, len(message), PIECE):
        writer.write(client.encode(bytes(view[start : start + PIECE])))
        await writer.drain()
    writer.write(client.end_of_data())


def _final(event: Event) -> Reply | None:
    match event:
        case Finished(_, replies):
            return replies[0]
        case Over(reply):
            return reply
        case Abandoned():
            raise TemporaryFailure("the server ended the session", status="4.4.2")
        case _:
            return None
