"""A program as a scanner: the message on its standard input, its exit status the verdict.

What it prints is the reason, its first line; the envelope is in its environment.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from shared.filters.configuration import CommandConfig
from shared.filters.failure import ScanFailed
from shared.filters.parcel import Parcel
from shared.message.verdict import Action, Verdict
from shared.program import converse

MAX_REASON = 200  # characters
MAX_FILES = 256  # that it may have open
MAX_ENVIRONMENT = 32 * 1024  # octets of recipients in its environment


class Command:
    """Runs the program once for each message, with limits of time, memory and output."""

    def __init__(self, config: CommandConfig) -> None:
        self._config = config

    async def scan(self, parcel: Parcel) -> Verdict:
        """Run it; ScanFailed when it can't be run or ends with a status that nobody explained."""
        try:
            process = await asyncio.create_subprocess_exec(
                *_limited(self._config),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=_environment(parcel),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise ScanFailed(f"{self._config.command[0]}: {error}") from None
        status, said = await converse(process, parcel.pieces())
        return self._verdict(status, said)

    async def close(self) -> None:
        """Nothing stays open."""

    def _verdict(self, status: int, said: bytes) -> Verdict:
        reason = said.decode("utf-8", "replace").strip().partition("\n")[0].strip()[:MAX_REASON]
        if status == 0:
            return Verdict(self._config.name, kind="command", reason=reason)
        judgement = self._config.exit.get(str(status))
        if judgement is None:
            ended = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
            raise ScanFailed(f"{self._config.command[0]}: {ended} {reason}".rstrip())
        return Verdict(self._config.name, Action(judgement.value), kind="command", reason=reason)


def _environment(parcel: Parcel) -> Mapping[str, str]:
    facts = {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "ENTRY": parcel.entry,
        "SENDER": parcel.sender,
        "RECIPIENTS": "\n".join(parcel.recipients)[:MAX_ENVIRONMENT],
        "CLIENT_IP": parcel.ip,
        "CLIENT_HELO": parcel.helo,
        "ACCOUNT": parcel.account,
        "LISTENER": parcel.listener,
    }
    return {name: value.replace("\0", "") for name, value in facts.items()}


def _limited(config: CommandConfig) -> tuple[str, ...]:
    """A shell sets the limits and becomes the program: a function between fork and exec could deadlock on threads."""
    limits = f"ulimit -c 0; ulimit -n {MAX_FILES}; ulimit -t {int(config.timeout) + 1}"
    return ("/bin/sh", "-c", f'{limits}; ulimit -v {config.max_memory // 1024}; exec "$@"', "sh", *config.command)
