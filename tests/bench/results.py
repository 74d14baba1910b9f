"""From samples to figures: medians over rounds, the faster of several peers, ratios, verdicts."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.scenario import MAX_CLIENT_SHARE, Better, Row, Sample, Scenario

JUDGED_CORES = 4


@dataclass(frozen=True, slots=True)
class Figure:
    """One side's rounds of one row."""

    side: str
    samples: tuple[Sample, ...]

    @property
    def value(self) -> float:
        """The median, in the row's unit."""
        return statistics.median(sample.value for sample in self.samples)

    @property
    def spread(self) -> float:
        """(largest - smallest) / median."""
        values = [sample.value for sample in self.samples]
        return (max(values) - min(values)) / self.value if self.value else 0.0

    @property
    def client_share(self) -> float:
        """The median share of a core that the client used."""
        return statistics.median(sample.client_share for sample in self.samples)

    def median(self, field: str) -> float | None:
        """The median of an optional field of the samples; None where it wasn't taken."""
        values = [value for sample in self.samples if (value := getattr(sample, field)) is not None]
        return statistics.median(values) if values else None

    def notes(self) -> dict[str, Any]:
        """The last round's notes."""
        return dict(self.samples[-1].notes)


@dataclass(frozen=True, slots=True)
class Result:
    """One row with both sides; a side that did not run is None."""

    scenario: Scenario
    row: Row
    ours: Figure | None
    peer: Figure | None
    slower_peers: tuple[Figure, ...] = ()

    @property
    def ratio(self) -> float | None:
        """How many times better we are; above 1 is better for us, whatever the unit."""
        if self.ours is None or self.peer is None or not self.ours.value or not self.peer.value:
            return None
        quotient = self.ours.value / self.peer.value
        return quotient if self.row.better is Better.HIGHER else 1 / quotient

    @property
    def void(self) -> bool:
        """Whether a client was so busy that it may have been what was measured."""
        return any(side is not None and side.client_share > MAX_CLIENT_SHARE for side in (self.ours, self.peer))

    @property
    def reached(self) -> bool | None:
        """Whether the bars are reached; None where there is none or nothing to compare."""
        verdicts = []
        if self.row.bar is not None and self.ratio is not None:
            verdicts.append(self.ratio >= self.row.bar)
        if self.row.absolute is not None and self.ours is not None:
            verdicts.append(self.ours.value <= self.row.absolute)
        return all(verdicts) if verdicts else None


def compare(scenario: Scenario, rounds: Mapping[str, Sequence[Mapping[str, Sample]]]) -> list[Result]:
    """The results of a scenario from its rounds by side ("ours" or a peer's name)."""
    results: dict[str, Result] = {}
    for row in scenario.rows:
        if row.worst_of:
            results[row.name] = _worst(scenario, row, [results[name] for name in row.worst_of])
            continue
        figures = [
            Figure(side, tuple(sample[row.name] for sample in samples)) for side, samples in rounds.items() if samples
        ]
        ours = next((figure for figure in figures if figure.side == "ours"), None)
        peers = sorted(
            (figure for figure in figures if figure.side != "ours"),
            key=lambda figure: figure.value,
            reverse=row.better is Better.HIGHER,
        )
        results[row.name] = Result(scenario, row, ours, peers[0] if peers else None, tuple(peers[1:]))
    return list(results.values())


def shown(value: float) -> str:
    """A figure for people: no decimals from 100 on, three digits below."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _worst(scenario: Scenario, row: Row, candidates: list[Result]) -> Result:
    """The same figures as the row with the smallest ratio."""
    worst = min(candidates, key=lambda result: result.ratio or 0.0)
    return Result(scenario, row, worst.ours, worst.peer, worst.slower_peers)
