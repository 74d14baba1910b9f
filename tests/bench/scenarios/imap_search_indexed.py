"""imap-search-indexed: SEARCH TEXT where ours has indexed the words of the mail behind its delivery."""

from __future__ import annotations

import asyncio
import time

from shared.db import Query, Work, connect
from tests.bench.corpus import ABSENT_WORD, SEARCH_WORD
from tests.bench.packetboat import Packetboat
from tests.bench.scenario import Better, Meter, Row, Samples, Scenario, Setting
from tests.bench.scenarios.imap_large import MAIL_SIZE, open_mailbox, prepare, search
from tests.bench.scenarios.sides import BOTH_FORMATS, packetboat
from tests.bench.server import Server

BLOCK = 256  # messages that are indexed together: what is left of fewer is scanned
PATIENCE = 120.0  # seconds until the index has to be there
LOOK = 0.5  # seconds between looks
INDEXING = {"PACKETBOAT_MDA_SEARCH_INDEX": "true", "PACKETBOAT_MDA_MAINTENANCE_INTERVAL": "1"}

_SIZE = Query(
    "size", "SELECT coalesce(sum(messages), 0), coalesce(sum(length(words) + length(postings)), 0) FROM search_block"
)


def prepare_indexed(server: Server, setting: Setting) -> None:
    """Fill the mailbox; have ours index it, which the peers' searches do without."""
    prepare(server, setting)
    if isinstance(server, Packetboat):
        server.stack.env.update(INDEXING)
        server.start()
        wanted = setting.sizes.mailbox // BLOCK * BLOCK
        with Meter(server, setting.work) as meter:
            octets = asyncio.run(_wait(server.database_url, wanted))
        server.stop()
        cost = meter.sample(0.0, work=setting.sizes.mailbox).cpu_per_1000 or 0.0
        _COSTS[server.name] = {
            "index_ms_per_message": round(cost, 3),
            "index_share_of_mail": round(octets / (setting.sizes.mailbox * MAIL_SIZE), 4),
        }
        for name in INDEXING:
            del server.stack.env[name]


def measure_indexed(server: Server, setting: Setting) -> Samples:
    """Milliseconds of SEARCH TEXT without a hit and with a tenth of the messages as hits; the row is the slower."""
    server.start()
    reader = open_mailbox(server, setting)
    notes = _COSTS.get(server.name, {})
    absent = search(server, reader, setting, ABSENT_WORD, 0, notes)
    many = search(server, reader, setting, SEARCH_WORD, -(-setting.sizes.mailbox // 10), notes)
    reader.close()
    server.stop()
    return {"imap-search-indexed-none": absent, "imap-search-indexed-many": many}


_COSTS: dict[str, dict[str, float]] = {}


async def _wait(url: str, wanted: int) -> int:
    """Wait until so many messages are indexed; return the index's octets."""
    database = await connect(url)
    try:
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            messages, octets = await database.read(_size)
            if messages >= wanted:
                return octets
            await asyncio.sleep(LOOK)
        raise AssertionError(f"{messages} of {wanted} messages are indexed after {PATIENCE:.0f} s")
    finally:
        await database.close()


def _size() -> Work[tuple[int, int]]:
    rows = yield _SIZE()
    return int(rows[0][0]), int(rows[0][1])


SCENARIOS = (
    Scenario(
        name="imap-search-indexed",
        title="10,000 messages: SEARCH TEXT with an index, without a hit and with 1,000",
        rows=(
            Row("imap-search-indexed-none", "ms", Better.LOWER),
            Row("imap-search-indexed-many", "ms", Better.LOWER),
            Row(
                "imap-search-indexed",
                "ms",
                Better.LOWER,
                50.0,
                worst_of=("imap-search-indexed-none", "imap-search-indexed-many"),
            ),
        ),
        ours=packetboat,
        peers=BOTH_FORMATS,
        measure=measure_indexed,
        prepare=prepare_indexed,
        fixture="indexed",
    ),
)
