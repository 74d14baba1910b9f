"""Messages that users moved into or out of Junk, on their way to who learns from it: a bounded list in Redis.

Nobody waits for it and nothing depends on it: what is lost with Redis or beyond the bounds is counted, no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import orjson
from redis.asyncio import Redis

from shared.queue.keys import PREFIX

KEY = f"{PREFIX}training"
MAX_JOBS = 5_000  # in the list; beyond it the oldest go
MAX_UIDS = 200  # messages of one job


@dataclass(frozen=True, slots=True)
class Transfer:
    """Messages that are in a mailbox now, and the mailbox that they came from; 0 for none."""

    source_id: int
    target_id: int
    uids: tuple[int, ...]
    tries: int = 0


async def put(redis: Redis, transfers: Sequence[Transfer]) -> int:
    """Add transfers, and return how many had to go; RedisError, OSError."""
    jobs = [orjson.dumps(asdict(transfer)) for transfer in transfers]
    async with redis.pipeline(transaction=True) as pipe:
        pipe.lpush(KEY, *jobs)
        pipe.ltrim(KEY, 0, MAX_JOBS - 1)
        length, _ = await pipe.execute()
    return max(int(length) - MAX_JOBS, 0)


async def take(redis: Redis) -> Transfer | None:
    """Take the oldest transfer, None if there is none; RedisError, OSError."""
    found = await redis.rpop(KEY)
    if not isinstance(found, bytes | str):
        return None
    try:
        raw = orjson.loads(found)
        return Transfer(raw["source_id"], raw["target_id"], tuple(raw["uids"]), raw["tries"])
    except (ValueError, KeyError, TypeError):
        return Transfer(0, 0, ())  # of another version: nothing to learn


def split(transfer: Transfer) -> list[Transfer]:
    """Cut a transfer into jobs of MAX_UIDS messages at most."""
    return [
        Transfer(transfer.source_id, transfer.target_id, transfer.uids[start : start + MAX_UIDS])
        for start in range(0, len(transfer.uids), MAX_UIDS)
    ]
