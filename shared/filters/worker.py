"""The process that runs one Python filter: `python -m shared.filters.worker FILE MEMORY`.

It reads requests from its standard input and answers on its standard output, one after the other, each a length of
32 bits and JSON (a request has the message behind it, with a length too). What the filter itself prints goes to
the service's log. Memory is limited here, time by whoever asks.
"""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import os
import resource
import struct
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import orjson

from shared.filters.api import Actions, Context, Message

LENGTH = struct.Struct(">I")
MAX_ERROR = 500  # characters
MAX_WRITTEN = 64 * 1024 * 1024  # octets of a file that a filter writes
MAX_FILES = 256  # that it may have open
POLICIES = ("skip", "tempfail", "hold")


class BadFilter(Exception):
    """A file that is no filter."""


def main() -> int:
    """Load the filter, tell whether that worked, then serve."""
    path, memory = Path(sys.argv[1]), int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the filter prints must not get between the answers
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_WRITTEN, MAX_WRITTEN))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        module = _load(path)
        _tell(answers, _described(module))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the filter's author's
        _tell(answers, _error(path, error))
        return 1
    with asyncio.Runner() as runner:
        while (request := _receive(sys.stdin.buffer)) is not None:
            _tell(answers, _run(runner, path, module, *request))
    return 0


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"packetboat_filter_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BadFilter("a filter is a file that ends with .py")
    module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    spec.loader.exec_module(module)
    function = getattr(module, "filter", None)
    if not inspect.iscoroutinefunction(function):
        raise BadFilter("it has no `async def filter(message, context)`")
    return module


def _described(module: ModuleType) -> dict[str, Any]:
    """Read what the file says of itself."""
    policy, timeout = getattr(module, "WHEN_FAILING", "skip"), getattr(module, "TIMEOUT", 0)
    if policy not in POLICIES:
        raise BadFilter(f"WHEN_FAILING is one of {', '.join(POLICIES)}")
    if not isinstance(timeout, int | float) or not 0 <= timeout <= 300:
        raise BadFilter("TIMEOUT is a number of seconds, 300 at most")
    scope = {name: _words(module, name) for name in ("DOMAINS", "ACCOUNTS")}
    return {
        "ready": True,
        "domains": scope["DOMAINS"],
        "accounts": scope["ACCOUNTS"],
        "policy": policy,
        "timeout": float(timeout),
    }


def _words(module: ModuleType, name: str) -> list[str]:
    words = getattr(module, name, ())
    if isinstance(words, str) or not all(isinstance(word, str) for word in words):
        raise BadFilter(f'{name} is a tuple of texts, such as ("example.org",)')
    return [word.lower() for word in words]


def _run(
    runner: asyncio.Runner, path: Path, module: ModuleType, facts: dict[str, Any], message: bytes
) -> dict[str, Any]:
    try:
        function: Callable[..., Any] = module.filter
        done = runner.run(function(Message(message), Context(**facts)))
        if done is not None and not isinstance(done, Actions):
            raise BadFilter(f"it returned {type(done).__name__}, not Actions")
        return {"actions": list(done.done) if done is not None else []}
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the author is told
        return _error(path, error)


def _error(path: Path, error: BaseException) -> dict[str, Any]:
    """Say what went wrong and in which line of the file."""
    line = 0
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename == str(path):
            line = frame.lineno or 0
    if isinstance(error, SyntaxError) and error.filename == str(path):
        line = error.lineno or 0
    text = str(error) if isinstance(error, BadFilter) else f"{type(error).__name__}: {error}"
    return {"error": text[:MAX_ERROR], "line": line}


def _receive(stream: BinaryIO) -> tuple[dict[str, Any], bytes] | None:
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    facts = orjson.loads(stream.read(LENGTH.unpack(head)[0]))
    return facts, stream.read(LENGTH.unpack(stream.read(LENGTH.size))[0])


def _tell(stream: BinaryIO, answer: dict[str, Any]) -> None:
    try:
        text = orjson.dumps(answer)
    except TypeError as error:
        text = orjson.dumps({"error": f"an action's value: {error}"[:MAX_ERROR], "line": 0})
    stream.write(LENGTH.pack(len(text)) + text)
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
