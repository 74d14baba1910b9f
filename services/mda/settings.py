"""The MDA's own settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from shared.config import CommonSettings
from shared.operations.pruning import DAY, Ages


class MdaSettings(CommonSettings):
    """Common settings and those of `python -m services.mda`."""

    mda_batch: int = Field(64, ge=1, le=500, description="Entries that the MDA delivers in one transaction.")
    mda_parallel: int = Field(2, ge=1, le=16, description="Batches under way at a time in one MDA worker.")
    mda_isolation_time: float = Field(
        30.0, gt=0, description="Seconds that a message which failed twice may take, alone in a subprocess."
    )
    mda_stuck_time: float = Field(
        120.0, gt=0, description="Seconds in one batch's reading and parsing after which a worker ends itself."
    )
    mda_maintenance_interval: float = Field(
        60.0, gt=0, description="Seconds between looks at what can be pruned and compacted, by one worker of all."
    )
    mda_search_index: bool = Field(
        False,
        description="Index the words of stored mail during maintenance: searches of large mailboxes take milliseconds; "
        "about 0.3 ms of CPU and a few per cent of its size for each message.",
    )
    mda_trace_age: float = Field(
        90 * DAY, ge=8 * DAY, description="Seconds that outcomes and attempts are kept (`packetboat trace`)."
    )
    mda_rejected_age: float = Field(14 * DAY, gt=0, description="Seconds that refused mail is kept.")
    mda_audit_age: float = Field(400 * DAY, gt=0, description="Seconds that the audit log is kept.")
    mda_filters: Path | None = Field(
        None,
        description="Folder of Python filters (docs/filters.md); empty: filters in the data folder.",
    )
    mda_filter_time: float = Field(
        5.0, gt=0, le=300, description="Seconds that a Python filter has for one message, unless it says otherwise."
    )
    mda_filter_memory: int = Field(
        512 * 1024 * 1024, ge=128 * 1024 * 1024, description="Address space of one process of a Python filter, octets."
    )
    mda_filter_processes: int = Field(1, ge=1, le=64, description="Processes of each Python filter in one MDA worker.")
    mda_quarantine_age: float = Field(
        30 * DAY, gt=0, description="Seconds that mail stays in the quarantine before it is thrown away."
    )

    mda_trash_days: int = Field(
        0, ge=0, description="Days that messages stay in Trash where no rule says otherwise; 0: for ever."
    )
    mda_junk_days: int = Field(0, ge=0, description="Days that messages stay in Junk where no rule says otherwise.")
    mda_expunged_days: float = Field(
        1.0, ge=1, le=365, description="Days that expunged messages are remembered, and may be brought back (undelete)."
    )

    @field_validator("mda_filters", mode="before")
    @classmethod
    def _no_folder(cls, value: Any) -> Any:
        return value or None  # compose passes "" for what isn't set

    @property
    def filter_folder(self) -> Path:
        """The folder of Python filters with the default filled in; it may come and go."""
        return self.mda_filters or self.data / "filters"

    @property
    def kept_days(self) -> dict[str, int]:
        """How many days messages stay in mailboxes of a special use, where no rule says otherwise."""
        return {"\\Trash": self.mda_trash_days, "\\Junk": self.mda_junk_days}

    @property
    def ages(self) -> Ages:
        """How long history is kept."""
        return Ages(self.mda_trace_age, self.mda_rejected_age, self.mda_audit_age, self.mda_quarantine_age)
