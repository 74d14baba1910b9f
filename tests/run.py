"""`make test`: the quick tests side by side, then the ones that start whole stacks.

Machines are busy. A few tests that fail in a group are repeated alone, at once; those that then pass are named
at the end, to be made steadier, and don't fail the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

TOGETHER = ["tests/unit", "tests/fuzz", "tests/integration"]
STACKS = ["tests/e2e"]  # whole stacks, each with its own ports and data
ALONE = ["tests/faults"]
CONTAINERS = ["-s", "-m", "container", "tests/containers"]
MAX_REPEATED = 4  # failures of a group: more aren't the machine's doing
NOTHING_COLLECTED = 5  # pytest's status, as when -k leaves a group empty


def main() -> int:
    """Run the groups one after the other; the exit status says whether all passed."""
    containers, arguments = sys.argv[1:2] == ["--containers"], sys.argv[1:]
    cores = os.cpu_count() or 1
    groups = [
        [*_side_by_side(min(4, cores)), *TOGETHER],
        [*_side_by_side(max(1, cores // 2)), *STACKS],
        ALONE,
    ]
    if containers:
        groups, arguments = [CONTAINERS], arguments[1:]
    unsteady: list[str] = []
    status = max([_group([*group, *arguments], unsteady) for group in groups])
    for test in unsteady:
        print(f"unsteady, passed when it was repeated alone: {test}")
    return status


def _group(arguments: list[str], unsteady: list[str]) -> int:
    """Run a group, and its failures once more if they are few."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        status = _pytest([*arguments, f"--junit-xml={report}"])
        failed = _failures(report) if status == 1 else []
    if not 0 < len(failed) <= MAX_REPEATED:
        return status
    print(f"repeated alone: {', '.join(failed)}", flush=True)
    if _pytest([*(CONTAINERS[:-1] if arguments[: len(CONTAINERS)] == CONTAINERS else []), *failed]) == 0:
        unsteady += failed
        return 0
    return status


def _failures(report: Path) -> list[str]:
    """The ids of the tests in a report that failed, or whose fixtures did."""
    if not report.exists():
        return []
    cases = ElementTree.parse(report).getroot().iter("testcase")
    return list(dict.fromkeys(_id(case) for case in cases if {child.tag for child in case} & {"failure", "error"}))


def _id(case: ElementTree.Element) -> str:
    """`tests.unit.a.test_b` and `test_c[x]` as pytest's `tests/unit/a/test_b.py::test_c[x]`; or a whole file."""
    path, name = case.get("classname", "").replace(".", "/"), case.get("name", "")
    return f"{path}.py::{name}" if path else f"{name.replace('.', '/')}.py"


def _side_by_side(processes: int) -> list[str]:
    return ["-n", str(processes), "--dist", "loadfile"]


def _pytest(arguments: list[str]) -> int:
    status = subprocess.call([sys.executable, "-m", "pytest", "-q", *arguments])
    return 0 if status == NOTHING_COLLECTED else status


if __name__ == "__main__":
    sys.exit(main())
