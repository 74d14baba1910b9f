"""Lines and pieces out of what a client sends; bounded."""

from __future__ import annotations

import asyncio

import pytest

from services.mta.input import Gone, Input, LineTooLong
from services.mta.limits import MAX_GATHERED, MAX_UNREAD, TEXT_PIECE
from services.mta.text import TERMINATOR
from tests.unit.mta.fakes import FakeTransport


async def make() -> Input:
    made = Input(asyncio.get_running_loop())
    made.transport = FakeTransport()
    return made


async def test_lines_arrive_in_pieces() -> None:
    source = await make()
    waiting = asyncio.create_task(source.line(100))
    for piece in (b"NO", b"OP", b"\r", b"\nQUIT\r\nre"):
        await asyncio.sleep(0)
        source.feed(piece)
    assert await waiting == b"NOOP\r\n"
    assert source.take_line() == b"QUIT\r\n"
    assert source.take_line() is None
    source.feed(b"st\n")
    assert await source.line(100) == b"rest\n"


async def test_long_lines_are_thrown_away() -> None:
    source = await make()
    source.feed(b"x" * 200)
    waiting = asyncio.create_task(source.line(100))
    for piece in (b"y" * 200, b"z" * 200 + b"\r\nNOOP\r\n"):
        await asyncio.sleep(0)
        source.feed(piece)
    with pytest.raises(LineTooLong):
        await waiting
    assert await source.line(100) == b"NOOP\r\n"
    source.feed(b"x" * 101 + b"\r\n")
    with pytest.raises(LineTooLong):
        await source.line(100)


async def test_pieces_and_what_is_given_back() -> None:
    source = await make()
    source.feed(b"abcdef")
    assert source.take(2) == b"ab"
    assert source.take() == b"cdef"
    assert source.take() == b""
    source.feed(b"later")
    source.put_back(b"QUIT\r\n")
    assert source.take_line() == b"QUIT\r\n"
    assert source.take() == b"later"


async def text_of(source: Input, pieces: list[bytes], after: bytes = b"", limit: int = TEXT_PIECE) -> tuple[int, bytes]:
    """How many of the pieces it took until there was enough, and what was there then."""
    waiting = asyncio.create_task(source.more_text(after, limit, asyncio.get_running_loop().time() + 60))
    for number, piece in enumerate(pieces, 1):
        await asyncio.sleep(0)
        source.feed(piece)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if waiting.done():
            return number, source.take()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return 0, source.take()


@pytest.mark.parametrize("held", range(len(TERMINATOR)))
@pytest.mark.parametrize("cut", range(len(TERMINATOR)))
async def test_the_end_of_a_text_is_seen_however_it_is_cut(held: int, cut: int) -> None:
    source = await make()
    rest = TERMINATOR[held:]
    pieces = [rest[:cut], rest[cut:] + b"QUIT\r\n"] if 0 < cut < len(rest) else [rest + b"QUIT\r\n"]
    assert await text_of(source, pieces, TERMINATOR[:held]) == (len(pieces), rest + b"QUIT\r\n")
    octets = [bytes([octet]) for octet in b"x\r\n" + TERMINATOR]
    assert await text_of(source, octets) == (len(octets), b"".join(octets))


async def test_a_text_is_gathered_up_to_its_limits() -> None:
    source = await make()
    assert await text_of(source, [b"x" * 8192] * 20) == (TEXT_PIECE // 8192, b"x" * TEXT_PIECE)
    assert await text_of(source, [b"x"] * 200) == (MAX_GATHERED, b"x" * MAX_GATHERED)
    assert await text_of(source, [b"x"] * 200, limit=10) == (10, b"x" * 10)
    assert await text_of(source, [b"x", b"y"]) == (0, b"xy")


async def test_a_text_that_takes_too_long_is_not_gathered() -> None:
    source = await make()
    waiting = asyncio.create_task(source.more_text(b"", TEXT_PIECE, asyncio.get_running_loop().time() - 1))
    await asyncio.sleep(0)
    source.feed(b"x")
    await waiting
    assert source.take() == b"x"


async def test_a_text_whose_client_leaves_is_given_out() -> None:
    source = await make()
    waiting = asyncio.create_task(source.more_text(b"", TEXT_PIECE, asyncio.get_running_loop().time() + 60))
    await asyncio.sleep(0)
    source.feed(b"abc")
    source.end()
    await waiting
    assert source.take() == b"abc"
    with pytest.raises(Gone):
        await source.more_text(b"", TEXT_PIECE, 0.0)


async def test_a_client_too_far_ahead_has_to_wait() -> None:
    source = await make()
    assert isinstance(source.transport, FakeTransport)
    source.feed(b"x" * MAX_UNREAD)
    assert source.transport.reading
    source.feed(b"x")
    assert not source.transport.reading
    source.clear()
    waiting = asyncio.create_task(source.more())
    await asyncio.sleep(0)
    assert source.transport.reading
    source.feed(b"x")
    await waiting


async def test_what_came_before_the_end_can_still_be_read() -> None:
    source = await make()
    source.feed(b"QUIT\r\nhalf")
    source.end()
    assert await source.line(100) == b"QUIT\r\n"
    with pytest.raises(Gone):
        await source.line(100)
