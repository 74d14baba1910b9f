"""Who works on the queue, and what they hold."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.message.envelope import Lane
from shared.queue.connection import MAX_BLOCK_MS
from shared.queue.keys import GROUP, PREFIX, lane_keys

MAX_LEASES = 100  # of one worker that are named
ALIVE_MS = 4 * MAX_BLOCK_MS  # without a read: a worker that lives reads at least every MAX_BLOCK_MS


async def list_workers(redis: Redis, *, prefix: str = PREFIX) -> list[dict[str, Any]]:
    """Return the consumers of each lane with the entries that they lease, those that are gone only if they do."""
    found: list[dict[str, Any]] = []
    for lane in Lane:
        stream = lane_keys(prefix, lane).stream
        try:
            consumers: Any = await redis.xinfo_consumers(stream, GROUP)
        except ResponseError:
            continue  # wiped: nobody has read yet
        for consumer in consumers:
            alive = consumer["idle"] < ALIVE_MS
            if alive or consumer["pending"]:
                leases = await _leases(redis, stream, consumer["name"]) if consumer["pending"] else []
                found.append(
                    {
                        "name": consumer["name"],
                        "lane": lane.value,
                        "alive": alive,
                        "idle": consumer["idle"] / 1000,
                        "leases": consumer["pending"],
                        "entries": leases,
                    }
                )
    return sorted(found, key=lambda one: (one["lane"], one["name"]))


async def _leases(redis: Redis, stream: str, consumer: str) -> list[dict[str, Any]]:
    held: Any = await redis.xpending_range(stream, GROUP, "-", "+", MAX_LEASES, consumername=consumer)
    async with redis.pipeline(transaction=False) as pipeline:
        for lease in held:
            pipeline.xrange(stream, min=lease["message_id"], max=lease["message_id"])
        rows = await pipeline.execute(raise_on_error=False)
    return [
        {"entry": found[0][1]["e"], "since_renewal": lease["time_since_delivered"] / 1000}
        for lease, found in zip(held, rows, strict=True)
        if isinstance(found, list) and found
    ]
