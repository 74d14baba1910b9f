"""Tables as commands print them: one row a line, never folded, so that they can be searched and cut."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from shared.message.text import printable

BOLD, PLAIN = "\033[1m", "\033[0m"


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below headings, in columns as wide as their widest cell."""
    lines = [tuple(columns), *(tuple(printable(cell) for cell in row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(columns))]
    for number, line in enumerate(lines):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        print(f"{BOLD}{text}{PLAIN}" if number == 0 and sys.stdout.isatty() else text)
