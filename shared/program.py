"""Programs of others: they are given a message, what they print is read up to a limit, nothing of them stays."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterable

MAX_OUTPUT = 64 * 1024  # octets that are kept of what one prints
READ_SIZE = 8192  # octets


async def converse(process: asyncio.subprocess.Process, pieces: AsyncIterable[bytes]) -> tuple[int, bytes]:
    """Give a program its input; return its exit status and the beginning of what it printed.

    It was started in a session of its own, with pipes: at the end, or when this is cancelled, its children are
    killed with it.
    """
    try:
        _, said = await asyncio.gather(_write(process, pieces), _read(process))
        return await process.wait(), said
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _write(process: asyncio.subprocess.Process, pieces: AsyncIterable[bytes]) -> None:
    assert process.stdin is not None
    try:
        async for piece in pieces:
            if process.stdin.is_closing():
                return
            process.stdin.write(piece)
            await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError, RuntimeError):  # the last is uvloop's for a pipe that is closed
        return  # it has seen enough
    finally:
        process.stdin.close()


async def _read(process: asyncio.subprocess.Process) -> bytes:
    assert process.stdout is not None
    said = bytearray()
    while piece := await process.stdout.read(READ_SIZE):
        said += piece[: max(MAX_OUTPUT - len(said), 0)]
    return bytes(said)
