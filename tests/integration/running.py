"""A service's worker on uvloop in a thread of the test, with the settings that such workers have in common."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Generic, TypeVar

import uvloop

from shared.process import Worker
from shared.tasks import EndProcess
from tests.tools.certificates import self_signed

START, CALL, END = 20, 60, 30  # seconds

W = TypeVar("W", bound=Worker)


class Running(Generic[W]):
    """A worker that runs; `exits` has the status with which it gave up."""

    def __init__(self, make: Callable[[EndProcess], W]) -> None:
        self.exits: list[int] = []
        self.worker: W
        self._make = make
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._up: Future[None] = Future()
        self._stop: asyncio.Event

    def start(self) -> None:
        """Return once it serves."""
        self._thread.start()
        self._up.result(timeout=START)

    def stop(self) -> None:
        """Drain and end."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout=END)
        assert not self._thread.is_alive()

    def call(self, make: Callable[[], Any]) -> Any:
        """Await something in the worker's loop."""

        async def run() -> Any:
            return await make()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=CALL)

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.worker = self._make(self.exits.append)
        try:
            await self.worker.start()
        except BaseException as error:
            self._up.set_exception(error)
            raise
        self._up.set_result(None)
        await self._stop.wait()
        if not self.exits:  # a process that gave up has no end to tidy
            await self.worker.drain()


def settings_in(folder: Path, database_url: str, redis_url: str) -> dict[str, Any]:
    """What each worker in a test is told: the data folder with a certificate, a short end."""
    certificate = self_signed(folder / "tls", "mail.a.test")
    return {
        "data": folder,
        "database_url": database_url,
        "redis_url": redis_url,
        "hostname": "mail.a.test",
        "tls_certificate": certificate.certificate,
        "tls_key": certificate.key,
        "reserve_bytes": 0,
        "grace_period": 5.0,
    }
