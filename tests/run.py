"""`make test`: the quick tests side by side, then the ones that start whole stacks."""

from __future__ import annotations

import os
import subprocess
import sys

TOGETHER = ["tests/unit", "tests/fuzz", "tests/integration"]
STACKS = ["tests/e2e"]  # whole stacks, each with its own ports and data
ALONE = ["tests/faults"]


def main() -> int:
    """Run the groups one after the other; the exit status says whether all passed."""
    arguments = sys.argv[1:]
    cores = os.cpu_count() or 1
    groups = [
        [*_side_by_side(min(4, cores)), *TOGETHER],
        [*_side_by_side(max(1, cores // 2)), *STACKS],
        ALONE,
    ]
    return max([_pytest([*group, *arguments]) for group in groups])


def _side_by_side(processes: int) -> list[str]:
    return ["-n", str(processes), "--dist", "loadfile"]


def _pytest(arguments: list[str]) -> int:
    status = subprocess.call([sys.executable, "-m", "pytest", "-q", *arguments])
    return 0 if status == 5 else status  # 5: nothing collected, as when -k leaves a group empty


if __name__ == "__main__":
    sys.exit(main())
