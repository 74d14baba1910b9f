"""The names of everything that the queue keeps in Redis.

    <p>:<lane>:stream    stream   the entries to work on, read by the group `workers`
    <p>:<lane>:queued    hash     entry -> stream id: in the stream, leased or not
    <p>:<lane>:delayed   zset     entry -> Unix time in ms of the next attempt
    <p>:<lane>:refs      hash     entry -> reference, of the delayed ones
    <p>:relay:parts:<entry>  set  the domains of an entry that lie at a site (see sites.py)
    <p>:site:…                    the relay's sites (see lua/site.lua)

An entry is *known* in a lane while it is in any of queued, delayed and parts.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.message.envelope import Lane

PREFIX = "pb:"
GROUP = "workers"


@dataclass(frozen=True, slots=True)
class LaneKeys:
    """The keys of one lane; `parts` begins the names of an entry's parts, "" where there are none."""

    stream: str
    queued: str
    delayed: str
    refs: str
    parts: str


def lane_keys(prefix: str, lane: Lane) -> LaneKeys:
    """Return the keys of a lane."""
    base = f"{prefix}{lane.value}:"
    parts = f"{base}parts:" if lane is Lane.RELAY else ""
    return LaneKeys(f"{base}stream", f"{base}queued", f"{base}delayed", f"{base}refs", parts)


def site_prefix(prefix: str) -> str:
    """Return how the names of all keys of the relay's sites begin."""
    return f"{prefix}site:"
