"""One process that runs a Python filter, as its parent sees it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from shared.filters.failure import ScanFailed

LOADING = 20.0  # seconds until a filter must be loaded
MAX_ANSWER = 1024 * 1024  # octets
_LENGTH = struct.Struct(">I")
_FORM: tuple[tuple[str, type], ...] = (
    ("error", str),
    ("line", int),
    ("actions", list),
    ("domains", list),
    ("accounts", list),
    ("policy", str),
    ("timeout", float),
)


@dataclass(frozen=True, slots=True)
class Description:
    """What a filter says of itself."""

    domains: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    policy: str = "skip"
    timeout: float = 0.0  # seconds; 0 for the service's setting

    def concerns(self, account: str) -> bool:
        """Whether it wants to see an account's mail."""
        if not self.domains and not self.accounts:
            return True
        return account.lower() in self.accounts or account.lower().rpartition("@")[2] in self.domains


class FilterError(ScanFailed):
    """The filter raised, was too slow, or broke its process; `line` is that of its file, 0 if nobody knows."""

    def __init__(self, text: str, line: int = 0, *, broken: bool = False) -> None:
        super().__init__(text)
        self.line = line
        self.broken = broken  # the process is of no more use

    def __str__(self) -> str:
        return f"line {self.line}: {self.args[0]}" if self.line else str(self.args[0])


class FilterProcess:
    """Runs one message after the other; who uses it makes sure of that."""

    def __init__(self, process: asyncio.subprocess.Process, description: Description) -> None:
        self._process = process
        self.description = description

    @classmethod
    async def start(cls, path: Path, memory: int) -> FilterProcess:
        """Start a process and wait until it has loaded the file; FilterError."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "shared.filters.worker",
            str(path),
            str(memory),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(LOADING):
                said = await _answer(process)
            if "error" in said:
                raise FilterError(said["error"], said.get("line", 0), broken=True)
        except BaseException as error:
            await _kill(process)
            if isinstance(error, TimeoutError):
                raise FilterError(f"it isn't loaded within {LOADING} s", broken=True) from None
            raise
        return cls(process, _description(said))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def run(self, facts: dict[str, Any], message: bytes, seconds: float) -> list[dict[str, Any]]:
        """Return the filter's actions; FilterError, after which, if it says so, the process must be stopped."""
        try:
            async with asyncio.timeout(seconds):
                said = await self._ask(facts, message)
        except TimeoutError:
            raise FilterError(f"no answer within {seconds:g} s", broken=True) from None
        if "error" in said:
            raise FilterError(said["error"], said.get("line", 0))
        return list(said.get("actions", ()))

    async def stop(self) -> None:
        """End it."""
        await _kill(self._process)

    async def _ask(self, facts: dict[str, Any], message: bytes) -> dict[str, Any]:
        stream, text = self._process.stdin, orjson.dumps(facts)
        assert stream is not None
        try:
            stream.write(_LENGTH.pack(len(text)) + text + _LENGTH.pack(len(message)))
            stream.write(message)
            await stream.drain()
        except OSError:
            pass  # it ended: reading says so
        return await _answer(self._process)


def _description(said: dict[str, Any]) -> Description:
    domains, accounts = (tuple(str(word) for word in said.get(name, ())) for name in ("domains", "accounts"))
    return Description(domains, accounts, said.get("policy", "skip"), said.get("timeout", 0.0))


async def _answer(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None
    try:
        (length,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
        if length > MAX_ANSWER:
            raise FilterError(f"an answer of {length} octets", broken=True)
        answer = orjson.loads(await process.stdout.readexactly(length))
    except asyncio.IncompleteReadError:
        status = await process.wait()
        ended = f"killed by signal {-status}" if status < 0 else f"status {status}"
        raise FilterError(f"its process ended: {ended}", broken=True) from None
    except (OSError, ValueError) as error:
        raise FilterError(f"its process: {error}", broken=True) from None
    if not isinstance(answer, dict) or not all(isinstance(answer.get(name, kind()), kind) for name, kind in _FORM):
        raise FilterError("an answer that makes no sense", broken=True)  # the filter wrote into our pipe
    return answer


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)  # its children too
    await process.wait()


def _environment() -> dict[str, str]:
    """What a filter may know: nothing of our settings and passwords."""
    kept = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "PYTHONPATH", "VIRTUAL_ENV")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONPATH": os.pathsep.join(sys.path)}
