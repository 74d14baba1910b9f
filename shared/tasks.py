"""The tasks that a worker lives by: if one fails, or ends too early, the process ends and its parent starts another."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

from shared.maillog import MailLog

EndProcess = Callable[[int], object]


class Tasks:
    """Runs what never ends until the worker drains; `end_process` is called `last_words` seconds after a failure."""

    def __init__(self, log: MailLog, end_process: EndProcess = os._exit, *, last_words: float = 0.0) -> None:
        self._log = log
        self._end_process = end_process
        self._last_words = last_words
        self._tasks: list[asyncio.Task[None]] = []
        self._may_end = False

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin a task."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._check)
        self._tasks.append(task)

    def give_up(self, error: BaseException) -> None:
        """End the process for something that mustn't be tried again; a journal's writer calls it as well."""
        self._log.trouble("giving up", error=repr(error), exc_info=error)
        if self._last_words:
            asyncio.get_running_loop().call_later(self._last_words, self._end_process, 1)
        else:
            self._end_process(1)

    def let_end(self) -> None:
        """From now on a task may end by itself: the worker drains."""
        self._may_end = True

    async def finish(self, patience: float) -> None:
        """Wait `patience` seconds for the tasks to end by themselves, then cancel those that haven't."""
        self.let_end()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience)
        await self.cancel()

    async def cancel(self) -> None:
        """End the tasks now."""
        self.let_end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _check(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None or not self._may_end:
            self.give_up(error or RuntimeError("a task that never ends has ended"))
