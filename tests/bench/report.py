"""Results as a table for people and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rich.table import Table

from tests.bench.machine import Machine
from tests.bench.results import JUDGED_CORES, Figure, Result, shown


def table(results: Iterable[Result]) -> Table:
    """One line per row: figures, ratio, bar, spread, client and server CPU, bytes written."""
    made = Table(title="Packetboat and its peers (medians)", title_justify="left")
    made.add_column("scenario")
    for heading in ("ours", "peer", "unit", "ratio", "bar", "spread", "client", "CPU s/1000", "KB written"):
        made.add_column(heading, justify="right")
    made.add_column("the peer")
    for result in results:
        made.add_row(*_cells(result))
    return made


def as_json(result: Result, machine: Machine, *, workers: int, sql: str) -> dict[str, Any]:
    """The line that `--json` prints for one row."""
    return {
        "scenario": result.row.name,
        "ours": _rounded(result.ours),
        "peer": _rounded(result.peer),
        "unit": result.row.unit,
        "ratio": None if result.ratio is None else round(result.ratio, 3),
        "better": result.row.better.value,
        "bar": result.row.bar,
        "limit": result.row.absolute,
        "reached": result.reached,
        "void": result.void,
        "judged": machine.cores == JUDGED_CORES and not result.void,
        "peer_name": result.peer.side if result.peer else None,
        "cores": machine.cores,
        "fdatasync_per_second": machine.fdatasync_per_second,
        "sql": sql,
        "tls": result.scenario.tls,
        "workers": workers,
        "sides": {figure.side: _side(figure) for figure in (result.ours, result.peer, *result.slower_peers) if figure},
    }


def line(record: dict[str, Any]) -> str:
    """One JSON line."""
    return json.dumps(record, sort_keys=False)


def _side(figure: Figure) -> dict[str, Any]:
    return {
        "rounds": [round(sample.value, 3) for sample in figure.samples],
        "spread": round(figure.spread, 3),
        "client_cpu_share": round(figure.client_share, 3),
        "cpu_seconds_per_1000": _round(figure.median("cpu_per_1000"), 4),
        "bytes_written_per_message": _round(figure.median("written_per_message"), 0),
        "disk_bytes_per_message": _round(figure.median("disk_per_message"), 0),
        "notes": figure.notes(),
    }


def _cells(result: Result) -> list[str]:
    return [
        result.row.name,
        _shown(result.ours),
        _shown(result.peer),
        result.row.unit,
        "" if result.ratio is None else f"{result.ratio:.2f}",
        _bar(result),
        _pair(result, lambda figure: f"{figure.spread:.0%}"),
        _pair(result, lambda figure: f"{figure.client_share:.0%}") + (" VOID" if result.void else ""),
        _pair(result, lambda figure: _number(figure.median("cpu_per_1000"), 2)),
        _pair(result, lambda figure: _number(figure.median("written_per_message"), 1, 1000)),
        result.peer.side if result.peer else "",
    ]


def _bar(result: Result) -> str:
    if result.row.bar is None and result.row.absolute is None:
        return ""
    wanted = f"≥ {result.row.bar:g}" if result.row.bar is not None else f"≤ {result.row.absolute:g} {result.row.unit}"
    verdict = {True: " [green]yes[/]", False: " [red]no[/]", None: ""}[result.reached]
    return wanted + verdict


def _pair(result: Result, show: Any) -> str:
    return " | ".join(show(figure) if figure else "-" for figure in (result.ours, result.peer))


def _shown(figure: Figure | None) -> str:
    return "-" if figure is None else shown(figure.value)


def _number(value: float | None, digits: int, divisor: int = 1) -> str:
    return "-" if value is None else f"{value / divisor:.{digits}f}"


def _rounded(figure: Figure | None) -> float | None:
    return None if figure is None else round(figure.value, 3)


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
