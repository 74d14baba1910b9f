"""A stack for a while: started, drained at the end, and its logs then searched for programming mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.tools.stack import Stack

MARKS = ("Traceback (most recent call last)", '"exception":', "never retrieved", "worker died", "command failed")


@contextmanager
def running(data: Path, **options: Any) -> Iterator[Stack]:
    """A started stack; the options are those of Stack."""
    with Stack(data, **options) as stack:
        yield stack
    assert tracebacks(data) == []


def tracebacks(data: Path) -> list[str]:
    """Lines of a stack's logs that tell of a programming mistake."""
    return [
        f"{log.name}: {line[:2000]}"
        for log in sorted((data / "log").glob("*.log"))
        for line in log.read_text(errors="replace").splitlines()
        if any(mark in line for mark in MARKS)
    ]
