"""What the journal's tests share: entries, and a writer on a temporary volume."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from shared.ids import new_id
from shared.journal.limits import Limits
from shared.journal.writer import Writer
from shared.message.envelope import Envelope, Lane, Origin, Recipient

MakeEnvelope = Callable[..., Envelope]


@pytest.fixture
def envelope() -> MakeEnvelope:
    def make(*recipients: str) -> Envelope:
        return Envelope(
            id=new_id(),
            sender="alice@a.test",
            recipients=tuple(Recipient(r, Lane.DELIVERY) for r in recipients or ("bob@b.test",)),
            received_at=time.time_ns() // 1000,
            origin=Origin(service="mx", ip="192.0.2.1"),
        )

    return make


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[Writer]:
    made = Writer(tmp_path, "mta-1", limits=Limits(reserve=0))
    await made.open()
    yield made
    await made.close()
