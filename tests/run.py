"""`make test`: the quick tests side by side, then the ones that start whole stacks."""

from __future__ import annotations

import os
import subprocess
import sys

TOGETHER = ["tests/unit", "tests/fuzz", "tests/integration"]
ALONE = ["tests/e2e", "tests/faults"]


def main() -> int:
    """Run both groups; the exit status says whether all passed."""
    arguments = sys.argv[1:]
    processes = str(min(4, os.cpu_count() or 1))
    first = _pytest(["-n", processes, "--dist", "loadfile", *TOGETHER, *arguments])
    second = _pytest([*ALONE, *arguments])
    return first or second


def _pytest(arguments: list[str]) -> int:
    status = subprocess.call([sys.executable, "-m", "pytest", "-q", *arguments])
    return 0 if status == 5 else status  # 5: nothing collected, as when -k leaves a group empty


if __name__ == "__main__":
    sys.exit(main())
