"""The journal's writing end: one per process, 250 may be said when `append` returns."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from shared.journal.active import make_durable_folder
from shared.journal.committer import Command, Committer, Durable, Order, Refused, Stats
from shared.journal.errors import JournalFailed, JournalFull
from shared.journal.large import LargeUpload
from shared.journal.limits import Limits
from shared.journal.record import Draft, LargeFile
from shared.journal.reference import LARGE_FOLDER, Reference
from shared.journal.segments import free_bytes
from shared.message.envelope import Envelope

__all__ = ["LargeFile", "LargeUpload", "Limits", "Writer"]

GATHER = 0.001  # seconds from one group to the next under load: two threads' turns cost as much as some records

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}\Z")


class Writer:
    """Appends entries to segments of its own; used from one event loop.

    `on_poison` is called once, in the loop, after a write or fsync error: the process has to exit, since
    nothing can be written any more. `on_group` is told, in another thread, how many records each fdatasync made
    durable and how many seconds it took. `may_use_reserve` is for compaction and bounces.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        may_use_reserve: bool = False,
        on_poison: Callable[[Exception], None] | None = None,
        on_group: Callable[[int, float], None] | None = None,
    ) -> None:
        if not _NAME.match(name):
            raise ValueError(f"not a writer's name: {name!r}")
        self._root = root
        self._limits = limits or Limits()
        self._may_use_reserve = may_use_reserve
        self._tell_poison = on_poison
        self._committer = Committer(root, name, self._limits, clock, self._report, self._report_poison, on_group)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots = asyncio.Semaphore(self._limits.large_uploads)
        self._futures: dict[Draft, asyncio.Future[Reference]] = {}
        self._arrived: list[Draft] = []
        self._handed_over = 0.0  # when the last group was, by the loop's clock …
        self._company = 0  # … and its records
        self._queued = 0
        self._patient: deque[asyncio.Future[None]] = deque()
        self._failed: JournalFailed | None = None
        self._closing = False
        self._free = 0
        self._measured = 0.0

    @property
    def stats(self) -> Stats:
        """Counters since `open`."""
        return self._committer.stats

    @property
    def is_poisoned(self) -> bool:
        """Whether the process has to exit."""
        return self._failed is not None

    async def open(self) -> None:
        """Start; JournalFailed when the volume can't be written."""
        self._loop = asyncio.get_running_loop()
        try:
            await asyncio.to_thread(self._prepare)
        except OSError as error:
            raise JournalFailed(f"the mail volume {self._root}: {error.strerror}") from error
        self._committer.start()

    async def close(self) -> None:
        """Wait for what is being appended, seal and stop; JournalFailed if the sealing failed."""
        if self._closing or self._loop is None:
            return
        self._closing = True
        await self._order(Order.STOP)

    async def append(
        self, envelope: Envelope, body: bytes | Sequence[bytes], large: LargeFile | None = None
    ) -> Reference:
        """Return once the entry is on stable storage; `body` is all of the message that isn't in `large`.

        JournalFull (452) below the reserve, JournalFailed (451) if it isn't known to be durable; ValueError
        beyond MAX_ENVELOPE or MAX_INLINE.
        """
        draft = Draft(envelope.to_json(), body, large)
        await self._admit(draft.length)
        assert self._loop is not None
        future: asyncio.Future[Reference] = self._loop.create_future()
        self._futures[draft] = future
        self._queued += draft.length
        if not self._arrived:
            self._loop.call_later(self._gathering(), self._hand_over)
        self._arrived.append(draft)
        return await future

    def large(self, entry_id: str) -> LargeUpload:
        """Begin a large body; its file is durable after `finish`, and then `append` may name it."""
        return LargeUpload(
            self._root,
            entry_id,
            chunk=self._limits.large_chunk,
            slots=self._slots,
            on_poison=self._poisoned,
        )

    async def check_space(self) -> None:
        """Raise JournalFull if the volume is below its reserve: for MAIL FROM and readiness."""
        now = time.monotonic()
        if now - self._measured >= self._limits.space_interval:
            self._measured = now
            try:
                self._free = await asyncio.to_thread(free_bytes, self._root)
            except OSError as error:
                raise JournalFailed(f"the mail volume: {error.strerror}") from error
        if self._is_full:
            raise JournalFull("the mail volume is full")

    @property
    def has_space(self) -> bool:
        """Whether the last measurement is young, and found enough room."""
        return time.monotonic() - self._measured < self._limits.space_interval and not self._is_full

    @property
    def _is_full(self) -> bool:
        return not self._may_use_reserve and self._free - self._queued < self._limits.reserve

    async def seal(self) -> None:
        """Seal the segment, if there is one; JournalFailed when that fails."""
        await self._order(Order.SEAL)

    def epoch_changed(self) -> None:
        """Start another segment: Redis forgot what it knew, so a sweep has to find this one sealed."""
        self._hand_over()
        self._committer.put(Command(Order.SEAL, lambda failure: None))

    def _prepare(self) -> None:
        make_durable_folder(self._root)
        make_durable_folder(self._root / LARGE_FOLDER)
        if not os.access(self._root, os.W_OK):
            raise PermissionError(1, "not writable")
        self._free = free_bytes(self._root)
        self._measured = time.monotonic()

    async def _admit(self, length: int) -> None:
        if self._loop is None:
            raise JournalFailed("the journal isn't open")
        await self.check_space()
        while self._queued and self._queued + length > self._limits.queued_bytes:
            turn = self._loop.create_future()
            self._patient.append(turn)
            await turn
        if self._closing:  # asked last: what is handed over after the order to stop would wait for ever
            raise JournalFailed("the journal is closed")
        if self._failed is not None:
            raise _copy(self._failed)

    async def _order(self, order: Order) -> None:
        assert self._loop is not None
        loop = self._loop
        done: asyncio.Future[JournalFailed | None] = loop.create_future()
        self._hand_over()
        self._committer.put(Command(order, lambda failure: _in_loop(loop, _resolve, done, failure)))
        failure = await done
        if failure is not None:
            raise failure

    def _gathering(self) -> float:
        """Return the seconds until the next group: none while records come one at a time."""
        assert self._loop is not None
        return max(self._handed_over + GATHER - self._loop.time(), 0.0) if self._company > 1 else 0.0

    def _hand_over(self) -> None:
        assert self._loop is not None
        if self._arrived:
            self._committer.put(self._arrived)
            self._handed_over, self._company = self._loop.time(), len(self._arrived)
            self._arrived = []

    def _report(self, outcome: Durable | Refused) -> None:
        """Called by the committer's thread, once a group."""
        assert self._loop is not None
        _in_loop(self._loop, self._release, outcome)

    def _release(self, outcome: Durable | Refused) -> None:
        if isinstance(outcome, Durable):
            for draft, reference in zip(outcome.drafts, outcome.references(), strict=True):
                _resolve(self._taken(draft), reference)
        else:
            for draft in outcome.drafts:
                future = self._taken(draft)
                if not future.done():
                    future.set_exception(_copy(outcome.failure))
        while self._patient:
            _resolve(self._patient.popleft(), None)

    def _taken(self, draft: Draft) -> asyncio.Future[Reference]:
        self._queued -= draft.length
        return self._futures.pop(draft)

    def _report_poison(self, error: Exception) -> None:
        """Called by the committer's thread."""
        assert self._loop is not None
        _in_loop(self._loop, self._poisoned, error)

    def _poisoned(self, error: Exception) -> None:
        if self._failed is None:
            self._failed = JournalFailed("the mail volume failed")
            if self._tell_poison is not None:
                self._tell_poison(error)


def _resolve(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def _copy(failure: JournalFull | JournalFailed) -> JournalFull | JournalFailed:
    # one exception raised in many tasks would gather the tracebacks of all
    return type(failure)(failure.text)


def _in_loop(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: object) -> None:
    # a closed loop has nobody left who could be told; the record is durable all the same
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *arguments)
