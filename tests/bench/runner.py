"""Runs scenarios: sides in turn (A B A B …), servers prepared once for all scenarios that share them."""

from __future__ import annotations

import gc
import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.results import Result, compare
from tests.bench.scenario import Samples, Scenario, Setting
from tests.bench.server import Server

OURS = "ours"
Progress = Callable[[str], None]  # told what begins; called once per measurement and preparation


class Bench:
    """One run of the benchmark in a work folder."""

    def __init__(self, setting: Setting, *, rounds: int, sides: Sequence[str], progress: Progress) -> None:
        """`sides` is "ours", "peers" or both."""
        self._setting = setting
        self._rounds = rounds
        self._sides = sides
        self._progress = progress
        self._prepared: dict[tuple[str, str], tuple[Server, Path]] = {}
        self._numbers = itertools.count(1)

    def run(self, scenario: Scenario) -> list[Result]:
        """Measure a scenario and compare its sides."""
        builders = self._builders(scenario)
        servers = {side: self._server(scenario, side, build) for side, build in builders.items()}
        rounds: dict[str, list[Samples]] = {side: [] for side in servers}
        for number in range(self._rounds):
            for side, server in servers.items():
                self._progress(f"{scenario.name}: {side}, round {number + 1} of {self._rounds}")
                with _undisturbed(server):
                    rounds[side].append(scenario.measure(server, self._setting))
        if not scenario.fixture:
            self._forget(scenario)
        return compare(scenario, rounds)

    def steps(self, scenario: Scenario) -> int:
        """How many measurements a scenario takes."""
        return self._rounds * len(self._builders(scenario))

    def _builders(self, scenario: Scenario) -> dict[str, Callable[[Setting, Path], Server]]:
        chosen: dict[str, Callable[[Setting, Path], Server]] = {}
        if "ours" in self._sides:
            chosen[OURS] = scenario.ours
        if "peers" in self._sides:
            chosen |= scenario.peers
        return chosen

    def _server(self, scenario: Scenario, side: str, build: Callable[[Setting, Path], Server]) -> Server:
        """A server, filled if the scenario wants that; shared by all scenarios with the same fixture."""
        key = (scenario.fixture or scenario.name, side)
        if key not in self._prepared:
            # A short name: Dovecot's Unix sockets are below it, and a socket's path has 107 octets.
            work = self._setting.work / str(next(self._numbers))
            server = build(self._setting, work)
            self._prepared[key] = server, work
            if scenario.prepare is not None:
                self._progress(f"{scenario.name}: filling {side}")
                with _undisturbed(server):
                    scenario.prepare(server, self._setting)
        return self._prepared[key][0]

    def _forget(self, scenario: Scenario) -> None:
        for key in [key for key in self._prepared if key[0] == scenario.name]:
            shutil.rmtree(self._prepared.pop(key)[1], ignore_errors=True)


@contextmanager
def _undisturbed(server: Server) -> Iterator[None]:
    """No garbage collection in our client; a server that is left running by an error is killed."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        if server.roots():
            server.kill()
