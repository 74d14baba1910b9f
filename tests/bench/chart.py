"""A bar chart of ratios as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from tests.bench.machine import Machine
from tests.bench.results import Result, shown

WIDTH = 960
LABEL_WIDTH = 210
VALUE_WIDTH = 240
ROW_HEIGHT = 26
TOP = 70
BOTTOM = 40
TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)
GOOD, BAD, NEUTRAL = "#2a7f62", "#b3432b", "#5b6f80"


@dataclass(frozen=True, slots=True)
class _Scale:
    """A logarithmic axis from ratio to x."""

    low: float
    high: float

    def x(self, ratio: float) -> float:
        share = math.log(ratio / self.low) / math.log(self.high / self.low)
        return LABEL_WIDTH + max(0.0, min(1.0, share)) * (WIDTH - LABEL_WIDTH - VALUE_WIDTH)


def draw(results: Sequence[Result], machine: Machine) -> str:
    """The chart: a bar from 1 to the ratio for each row, a tick where its bar is; green reached, red not."""
    rows = [result for result in results if result.ratio is not None]
    ratios = [result.ratio or 1.0 for result in rows] + [1.0]
    scale = _Scale(min(0.5, *ratios) / 1.2, max(8.0, *ratios) * 1.2)
    height = TOP + ROW_HEIGHT * len(rows) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(16, 26, "Packetboat against Postfix and Dovecot: how many times better", size=17, weight="bold"),
        _text(16, 46, _subtitle(machine), colour=NEUTRAL, size=11),
        *_grid(scale, height),
    ]
    for number, result in enumerate(rows):
        parts += _row(result, TOP + number * ROW_HEIGHT, scale)
    parts.append("</svg>\n")
    return "\n".join(parts)


def _row(result: Result, top: float, scale: _Scale) -> list[str]:
    ratio = result.ratio or 1.0
    colour = {True: GOOD, False: BAD, None: NEUTRAL}[None if result.void else result.reached]
    begin, end = sorted((scale.x(1.0), scale.x(ratio)))
    middle = top + ROW_HEIGHT / 2
    parts = [
        _text(LABEL_WIDTH - 8, middle + 4, result.row.name, anchor="end"),
        f'<rect x="{begin:.1f}" y="{top + 5:.1f}" width="{max(1.0, end - begin):.1f}" '
        f'height="{ROW_HEIGHT - 10}" fill="{colour}"/>',
        _text(WIDTH - VALUE_WIDTH + 10, middle + 4, _figures(result), size=11),
    ]
    if result.row.bar is not None:
        x = scale.x(result.row.bar)
        parts.append(f'<path d="M{x:.1f} {top + 2:.1f}V{top + ROW_HEIGHT - 2:.1f}" stroke="#000" stroke-width="2"/>')
    return parts


def _figures(result: Result) -> str:
    assert result.ours is not None and result.peer is not None and result.ratio is not None
    mark = " (void)" if result.void else ""
    return f"×{result.ratio:.1f}  {shown(result.ours.value)} : {shown(result.peer.value)} {result.row.unit}{mark}"


def _grid(scale: _Scale, height: float) -> list[str]:
    parts = []
    for tick in TICKS:
        if scale.low <= tick <= scale.high:
            x = scale.x(tick)
            stroke = "#555" if tick == 1 else "#ddd"
            parts.append(f'<path d="M{x:.1f} {TOP - 6}V{height - BOTTOM + 6}" stroke="{stroke}"/>')
            parts.append(_text(x, height - BOTTOM + 22, f"×{tick:g}", anchor="middle", size=11, colour=NEUTRAL))
    return parts


def _subtitle(machine: Machine) -> str:
    return (
        f"{machine.date}, {machine.cores} cores of {machine.processor}, {machine.memory_gib} GiB, "
        f"{machine.filesystem}, {machine.fdatasync_per_second:,} fdatasync/s; "
        f"Postfix {machine.postfix}, Dovecot {machine.dovecot}. Black ticks: the bar to reach."
    )


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    size: int = 13,
    colour: str = "#222",
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )
