"""`packetboat queue top`: queues, sites, rates and failures, live in a terminal."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from services.cli.context import DEFAULT_DATA, DataOption
from services.cli.operator import AnyOperator, UrlOption, perform
from shared.errors import ConfigurationError

SHOWN = 10  # sites and reasons
KEYS_HINT = "Ctrl-C ends"
STATES = ("queued", "leased", "waiting", "held")


def queue_top(
    data: DataOption = DEFAULT_DATA,
    url: UrlOption = "",
    interval: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between two looks.")] = 2.0,
    count: Annotated[int, typer.Option(min=0, help="Looks, then end; 0: until Ctrl-C.")] = 0,
) -> None:
    """Watch queues, sites, rates and failures."""
    perform(data, url, lambda operator: _watch(operator, interval, count))


@dataclass(slots=True)
class Rates:
    """How many of each outcome came a second, from one look to the next."""

    last: dict[str, int] = field(default_factory=dict)
    at: float = 0.0

    def take(self, outcomes: dict[str, int], now: float) -> dict[str, float]:
        """Return the rates since the last look; the hour's window moves, so none is below 0."""
        seconds = now - self.at if self.at else 0.0
        rates = {
            name: max(0.0, (number - self.last.get(name, 0)) / seconds) if seconds else 0.0
            for name, number in outcomes.items()
        }
        self.last, self.at = outcomes, now
        return rates


async def _watch(operator: AnyOperator, interval: float, count: int) -> None:
    rates = Rates()
    with Live(console=Console(), auto_refresh=False, screen=False) as live:
        looks = 0
        while True:
            live.update(await _look(operator, rates), refresh=True)
            looks += 1
            if looks == count:
                return
            await asyncio.sleep(interval)


async def _look(operator: AnyOperator, rates: Rates) -> Group:
    statistics = await operator.statistics()
    sites = await operator.sites()
    try:
        workers = await operator.workers()
    except ConfigurationError:
        workers = []  # Redis is away: the lanes say so
    return screen(statistics, sites, workers, rates.take(statistics["outcomes_last_hour"], time.monotonic()))


def screen(
    statistics: dict[str, Any], sites: list[dict[str, Any]], workers: list[dict[str, Any]], rates: dict[str, float]
) -> Group:
    """Draw one look."""
    busiest = sorted(sites, key=lambda one: (-one["entries"], one["site"]))[:SHOWN]
    waiting = {one["site"]: one["recipients"] for one in statistics["sites"]}
    return Group(
        Text(f"packetboat queue  {time.strftime('%H:%M:%S')}  {KEYS_HINT}", style="bold"),
        _table(
            ("lane", "queued", "leased", "waiting", "held", "oldest", "workers"),
            [
                (
                    lane["lane"],
                    *("?" if lane[name] is None else str(lane[name]) for name in STATES),
                    f"{lane['oldest_age']:.0f}s",
                    str(sum(one["alive"] and one["lane"] == lane["lane"] for one in workers)),
                )
                for lane in statistics["lanes"]
            ],
        ),
        _table(
            ("outcome", "last hour", "per second"),
            [(name, str(n), f"{rates.get(name, 0):.1f}") for name, n in statistics["outcomes_last_hour"].items()],
        ),
        _table(
            ("site", "ready", "waiting", "connections", "state"),
            [
                (
                    one["site"],
                    str(one["entries"]),
                    str(waiting.get(one["site"], 0)),
                    f"{one['connections']}/{one['max_connections']}",
                    "paused" if one["paused"] else "backing off" if one["backing_off_until"] > time.time() else "",
                )
                for one in busiest
            ],
        ),
        _table(
            ("waiting", "reason"),
            [(str(one["recipients"]), one["reason"]) for one in statistics["reasons"][:SHOWN]],
        ),
    )


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True)
    for row in rows:
        table.add_row(*(Text("".join(c if c.isprintable() else "?" for c in cell)) for cell in row))
    return table
