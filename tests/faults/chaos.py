"""Breaks a running stack in every way it must survive, again and again, and writes down what it did."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from pathlib import Path

from tests.tools.stack import Stack, StackError, is_alive

VICTIMS = ("mta", "mda", "relay", "redis")
WORKERS = ("mta", "mda", "relay")
PAUSE = (0.2, 1.2)  # seconds between two acts
COMEBACK = 30.0  # seconds for a killed service


class Chaos:
    """A thread of its own; `lease` is how long a stopped process must sleep to lose its work."""

    def __init__(self, stack: Stack, *, kills: int, lease: float, seed: int, volume: Path | None = None) -> None:
        self.did: Counter[str] = Counter()
        self.error: Exception | None = None
        self._stack = stack
        self._kills = kills
        self._lease = lease
        self._volume = volume
        self._random = random.Random(seed)
        self._thread = threading.Thread(target=self._guarded, name="chaos", daemon=True)

    def start(self) -> Chaos:
        """Begin to break things."""
        self._thread.start()
        return self

    def join(self) -> None:
        """Wait for the last act; raise what went wrong with the breaking itself."""
        self._thread.join()
        if self.error is not None:
            raise self.error

    @property
    def kills(self) -> int:
        """SIGKILLs so far."""
        return sum(count for act, count in self.did.items() if act.startswith("kill"))

    def _guarded(self) -> None:
        try:
            self._run()
        except Exception as error:
            self.error = error

    def _run(self) -> None:
        once = [self._wipe_redis, *([self._fill_volume] if self._volume else [])]
        turns = {self._kills * (n + 1) // (len(once) + 1): act for n, act in enumerate(once)}
        while self.kills < self._kills:
            if act := turns.pop(self.kills, None):
                act()
            elif self._random.random() < 0.25:
                self._stop_and_wake(self._random.choice(WORKERS))
            elif self._random.random() < 0.3:
                self._kill_worker(self._random.choice(WORKERS))
            else:
                self._kill(self._random.choice(VICTIMS))
            time.sleep(self._random.uniform(*PAUSE))

    def _kill(self, name: str) -> None:
        pid = self._stack.wait_for_service(name, timeout=COMEBACK)
        self._stack.kill_service(name)
        self.did[f"kill {name}"] += 1
        self._stack.wait_for_service(name, other_than=pid, timeout=COMEBACK)

    def _kill_worker(self, name: str) -> None:
        workers = self._workers(name)
        if workers:
            os.kill(self._random.choice(workers), signal.SIGKILL)
            self.did[f"kill {name} worker"] += 1

    def _stop_and_wake(self, name: str) -> None:
        """Let workers sleep until others have taken their work, then wake them with it still in hand."""
        workers = self._workers(name)
        for pid in workers:
            _send(pid, signal.SIGSTOP)
        time.sleep(self._lease * 1.5)
        for pid in workers:
            _send(pid, signal.SIGCONT)
        self.did[f"stop {name}"] += 1

    def _wipe_redis(self) -> None:
        pid = self._stack.wait_for_service("redis", timeout=COMEBACK)
        self._stack.kill_service("redis")
        shutil.rmtree(self._stack.data / "redis" / "appendonlydir", ignore_errors=True)
        self.did["kill and wipe redis"] += 1
        self._stack.wait_for_service("redis", other_than=pid, timeout=COMEBACK)

    def _fill_volume(self) -> None:
        """Leave no room at all for a while, then give it back."""
        assert self._volume is not None
        filler = self._volume / "filler"
        with filler.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        time.sleep(3)
        filler.unlink()
        self.did["fill volume"] += 1

    def _workers(self, name: str) -> list[int]:
        try:
            return [pid for pid in self._stack.processes()[name].workers if is_alive(pid)]
        except (KeyError, OSError, ValueError, StackError):
            return []


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
