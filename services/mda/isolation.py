"""Rendering a suspicious message in a process of its own, with limits of time and memory.

python -m services.mda.isolation SECONDS < message > rendered
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
from base64 import b64decode, b64encode
from dataclasses import fields

import orjson

from shared.errors import PacketboatError
from shared.message.rendered import Rendered, render

MAX_MEMORY = 1 << 30  # octets of address space
MAX_ANSWER = 64 * 1024 * 1024  # octets
_BYTES = tuple(field.name for field in fields(Rendered) if field.type == "bytes")


class IsolationFailed(PacketboatError):
    """The process was killed, ran out of time or memory, or answered nonsense."""


async def render_isolated(message: bytes, seconds: float) -> Rendered:
    """Render a message in a subprocess; IsolationFailed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.mda.isolation",
        str(int(seconds) + 1),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        answer, _ = await asyncio.wait_for(process.communicate(message), seconds)
    except TimeoutError:
        raise IsolationFailed(f"not parsed within {seconds} s") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode != 0 or len(answer) > MAX_ANSWER:
        raise IsolationFailed(f"parsing ended with status {process.returncode}")
    return decode(answer)


def encode(rendered: Rendered) -> bytes:
    """Return a rendered message as JSON."""
    values = {field.name: getattr(rendered, field.name) for field in fields(Rendered)}
    return orjson.dumps(values | {name: b64encode(values[name]).decode() for name in _BYTES})


def decode(answer: bytes) -> Rendered:
    """Read `encode`'s JSON; IsolationFailed if it is none."""
    try:
        values = orjson.loads(answer)
        return Rendered(**values | {name: b64decode(values[name]) for name in _BYTES})
    except (ValueError, KeyError, TypeError) as error:
        raise IsolationFailed(f"the parser's answer: {error}") from error


def main() -> int:
    """Read a message, write what is rendered of it."""
    seconds = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    sys.stdout.buffer.write(encode(render(sys.stdin.buffer.read())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
