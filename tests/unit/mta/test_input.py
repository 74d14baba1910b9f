"""Lines and pieces out of what a client sends; bounded."""

from __future__ import annotations

import asyncio

import pytest

from services.mta.input import Gone, Input, LineTooLong
from services.mta.limits import MAX_UNREAD
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
