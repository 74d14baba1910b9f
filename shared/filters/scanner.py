"""The one interface of all that looks at whole messages."""

from __future__ import annotations

from typing import Protocol

from shared.filters.parcel import Parcel
from shared.message.verdict import Verdict


class Scanner(Protocol):
    """Says what it thinks of a message; changes nothing itself."""

    async def scan(self, parcel: Parcel) -> Verdict:
        """Look at a message; ScanFailed, NotScanned. Who asks sets the deadline, by cancelling."""

    async def close(self) -> None:
        """Give up connections."""
