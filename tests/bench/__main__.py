"""`python -m tests.bench`: see `--help` and docs/benchmarks/README.md."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.bench import scenarios
from tests.bench.chart import draw
from tests.bench.machine import Machine, examine
from tests.bench.peers.install import install_missing
from tests.bench.report import as_json, line, table
from tests.bench.results import Result
from tests.bench.runner import Bench
from tests.bench.scenario import FULL, TINY, Scenario, Setting
from tests.tools.stack import REPOSITORY

ROUNDS = 5
PUBLISHED = REPOSITORY / "docs" / "benchmarks"


def main() -> int:
    """Run the chosen scenarios; 1 if one could not be measured."""
    options = _parser().parse_args()
    options.side = options.side or ["ours", "peers"]
    chosen = _chosen(options.only)
    if options.list:
        print("\n".join(f"{scenario.name:24} {scenario.title}" for scenario in chosen))
        return 0
    _require_root_and_peers()
    # Leave through the `finally`s, so that servers and files are cleaned up.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("the benchmark was ended by SIGTERM"))
    work = Path(tempfile.mkdtemp(prefix="pb-bench-", dir=options.work))
    work.chmod(0o755)  # the peers' unprivileged processes must get through
    try:
        return _run(options, chosen, work)
    finally:
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)


def _run(options: argparse.Namespace, chosen: Sequence[Scenario], work: Path) -> int:
    console = Console(stderr=True)
    machine = examine(work)
    setting = _setting(options, work, machine)
    results: list[Result] = []
    failures: list[str] = []
    try:
        _measure(options, chosen, setting, machine, console, results, failures)
        if not options.only and not options.tiny and not failures:
            options.save = True
    finally:  # what was measured is shown, and saved if that was asked for, even if the rest was cut off
        if not options.json:
            Console(width=max(160, console.width)).print(table(results))
        for failure in failures:
            console.print(f"could not be measured: {failure}", markup=False, highlight=False)
        if options.save and results:
            _publish(results, machine, setting, options, console)
    return 1 if failures else 0


def _setting(options: argparse.Namespace, work: Path, machine: Machine) -> Setting:
    """By default a service that runs alone gets all cores but one: its client needs that."""
    return Setting(
        work,
        TINY if options.tiny else FULL,
        workers=options.workers or max(machine.cores // 2, 1),
        lone_workers=options.workers or max(machine.cores - 1, 1),
        database_url=options.database_url,
    )


def _measure(
    options: argparse.Namespace,
    chosen: Sequence[Scenario],
    setting: Setting,
    machine: Machine,
    console: Console,
    results: list[Result],
    failures: list[str],
) -> None:
    """Run the scenarios one after the other; a failure of one doesn't keep the others from running."""
    # Refreshed only between measurements: a clock that repaints would take CPU from what is measured.
    with _progress(console) as progress:
        task = progress.add_task("starting", total=0)

        def begin(step: str) -> None:
            progress.update(task, description=step, advance=0 if "filling" in step else 1)
            progress.refresh()
            if not console.is_terminal:
                console.print(step, highlight=False)

        bench = Bench(setting, rounds=1 if options.tiny else options.rounds, sides=options.side, progress=begin)
        progress.update(task, total=sum(bench.steps(scenario) for scenario in chosen))
        for scenario in chosen:
            try:
                found = bench.run(scenario)
            except Exception as error:
                if options.debug:
                    raise
                failures.append(f"{scenario.name}: {error}")
                continue
            results += found
            if options.json:
                for result in found:
                    record = as_json(result, machine, workers=setting.workers_of(scenario), sql=_engine(options))
                    print(line(record), flush=True)


def _engine(options: argparse.Namespace) -> str:
    return "postgresql" if options.database_url else "sqlite"


def _publish(
    results: Sequence[Result], machine: Machine, setting: Setting, options: argparse.Namespace, console: Console
) -> None:
    """Write JSON and SVG, named by date and cores."""
    sql = _engine(options)
    name = f"{machine.date}-{machine.cores}-cores" + ("-postgresql" if sql == "postgresql" else "")
    record = {
        "machine": machine.to_json(),
        "rounds": 1 if options.tiny else options.rounds,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "rows": [as_json(result, machine, workers=setting.workers_of(result.scenario), sql=sql) for result in results],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    (options.out / f"{name}.svg").write_text(draw(results, machine))
    console.print(f"written: {options.out / name}.json and .svg")


def _chosen(only: str) -> list[Scenario]:
    """The scenarios whose name or one of whose rows is named; all where nothing is."""
    wanted = {name.strip() for name in only.split(",") if name.strip()}
    known = {row.name for scenario in scenarios.ALL for row in scenario.rows}
    known |= {scenario.name for scenario in scenarios.ALL} | {"scale"}
    if unknown := wanted - known:
        raise SystemExit(f"no scenario is called {', '.join(sorted(unknown))}; see --list")
    return [
        scenario
        for scenario in scenarios.ALL
        if not wanted
        or scenario.name in wanted
        or scenario.name.partition("-")[0] in wanted & {"scale"}
        or any(row.name in wanted for row in scenario.rows)
    ]


def _require_root_and_peers() -> None:
    if os.geteuid() != 0:
        raise SystemExit("the benchmark needs root: it starts Postfix and Dovecot and drops the page cache")
    try:
        install_missing()  # smtp-source and smtp-sink are wanted even without the peers
    except RuntimeError as error:
        raise SystemExit(str(error)) from None


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        auto_refresh=False,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Packetboat against its peers.")
    parser.add_argument("--only", default="", metavar="NAME[,NAME]", help="scenarios or rows; see --list")
    parser.add_argument("--list", action="store_true", help="name the scenarios and stop")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"measurements of each side ({ROUNDS})")
    parser.add_argument("--json", action="store_true", help="one JSON line per row on standard output")
    parser.add_argument("--tiny", action="store_true", help="one round of little work, for CI; saves nothing")
    parser.add_argument("--side", choices=("ours", "peers"), action="append", help="only this side (default: both)")
    parser.add_argument(
        "--workers", type=int, help="worker processes of each of our services (half the cores; one alone: cores - 1)"
    )
    parser.add_argument("--database-url", default="", help="postgresql://…: its schema `public` is dropped!")
    parser.add_argument("--work", default="/var/tmp", help="folder on the disk to measure (/var/tmp)")
    parser.add_argument("--keep", action="store_true", help="leave the work folder behind")
    parser.add_argument("--save", action="store_true", help="write JSON and SVG even with --only or --tiny")
    parser.add_argument("--out", type=Path, default=PUBLISHED, help="where they go (docs/benchmarks)")
    parser.add_argument("--debug", action="store_true", help="stop at the first failure with its traceback")
    return parser


if __name__ == "__main__":
    sys.exit(main())
