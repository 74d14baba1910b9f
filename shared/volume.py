"""A service's end of the shared volume: its journal writer, by the settings and with its metrics."""

from __future__ import annotations

from collections.abc import Callable

from shared.config import CommonSettings
from shared.journal.limits import Limits
from shared.journal.writer import Writer
from shared.metrics import FSYNC_SECONDS, GROUP_RECORDS


def journal_writer(
    settings: CommonSettings, name: str, on_poison: Callable[[Exception], None], *, may_use_reserve: bool = False
) -> Writer:
    """Return the writer of one process; `on_poison` has to end the process, since nothing can be written any more."""
    limits = Limits(
        segment_size=settings.journal_segment_bytes,
        segment_age=settings.journal_segment_age,
        reserve=settings.reserve_bytes,
    )
    return Writer(
        settings.journal,
        name,
        limits=limits,
        may_use_reserve=may_use_reserve,
        on_poison=on_poison,
        on_group=_observe,
    )


def _observe(records: int, seconds: float) -> None:
    GROUP_RECORDS.observe(records)
    FSYNC_SECONDS.observe(seconds)
