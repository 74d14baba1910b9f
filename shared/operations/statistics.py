"""How much waits, how long, where and why."""

from __future__ import annotations

import time
from typing import Any

from shared.db import Database, Rows, Work, load
from shared.ids import encode
from shared.message.envelope import Lane
from shared.queue.delivery import Queue
from shared.queue.sites import Sites

TOP = 20  # sites and reasons told
HOUR = 3600.0

sql = load("admin")


async def queue_statistics(database: Database, queue: Queue | None, sites: Sites | None = None) -> dict[str, Any]:
    """Return counts and oldest ages: per lane, per site, per reason; the last hour's outcomes."""
    totals, waiting, reasons, outcomes = await database.scan(_read, encode(int((time.time() - HOUR) * 1000) << 80))
    live = await queue.stats() if queue is not None else {}
    at_sites = await sites.stats() if sites is not None else []  # the relay's fresh mail has left its stream
    now = time.time()
    lanes = []
    for lane in Lane:
        fresh = live.get(lane)
        here = [one for one in at_sites if one.depth] if lane is Lane.RELAY else []
        rows = {row["held"]: row for row in totals if row["lane"] == lane.value}
        recorded = [(now - row["oldest"] / 1e6) for row in rows.values()]
        lanes.append(
            {
                "lane": lane.value,
                "queued": fresh.depth + sum(one.depth for one in here) if fresh else None,
                "leased": fresh.leased if fresh else None,
                "waiting": rows[0]["recipients"] if 0 in rows else 0,
                "held": rows[1]["recipients"] if 1 in rows else 0,
                "oldest_age": max([*recorded, *(now - one.oldest for one in here), fresh.oldest_age if fresh else 0.0]),
            }
        )
    return {
        "lanes": lanes,
        "sites": [_group(row, "site", now) for row in waiting],
        "reasons": [_group(row, "reason", now) for row in reasons],
        "outcomes_last_hour": {row["outcome"]: row["number"] for row in outcomes},
    }


def _read(since: str) -> Work[tuple[Rows, Rows, Rows, Rows]]:
    totals = yield sql.pending_totals()
    sites = yield sql.pending_by_site(limit=TOP)
    reasons = yield sql.pending_by_reason(limit=TOP)
    outcomes = yield sql.outcomes_since(since=since)
    return totals, sites, reasons, outcomes


def _group(row: Any, name: str, now: float) -> dict[str, Any]:
    return {name: row[name], "recipients": row["recipients"], "oldest_age": now - row["oldest"] / 1e6}
