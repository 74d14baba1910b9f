"""The relay's sites as operators see and throttle them; what they set is in SQL, so that it outlives Redis."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from shared.db import Database, Rows, Work, load
from shared.errors import ConfigurationError
from shared.operations import clock
from shared.operations.actor import Actor, NotFound
from shared.operations.audit import note
from shared.queue.sites import MAX_NAME, Sites, SiteStats
from shared.queue.upkeep import AWAY

MAX_CONNECTIONS = 1000
RELOAD = 5.0  # seconds until the relay heeds a change

sql = load("admin")
log = structlog.get_logger(__name__)


class Throttles:
    """What the relay heeds: connections by site, and pauses that a wiped Redis has forgotten."""

    def __init__(self, default: int) -> None:
        self._default = default
        self._connections: dict[str, int] = {}

    def connections(self, site: str) -> int:
        """Return how many connections a site may have, of all replicas."""
        return self._connections.get(site) or self._default

    async def keep_reading(self, database: Database, sites: Sites) -> None:
        """Read what operators set, until cancelled."""
        while True:
            try:
                rows = await database.read(_throttles)
                self._connections = {row["site"]: row["connections"] for row in rows}
                await self._pause_again(rows, sites)
            except AWAY as error:
                log.warning("throttles not read", error=str(error))
            await asyncio.sleep(RELOAD)

    async def _pause_again(self, rows: Rows, sites: Sites) -> None:
        paused = {row["site"] for row in rows if row["paused"]}
        if paused:
            stopped = {one.site for one in await sites.stats() if one.stopped}
            for site in sorted(paused - stopped):
                await sites.pause(site)


async def list_sites(database: Database, sites: Sites | None) -> list[dict[str, Any]]:
    """Return the sites that have work or workers, or that operators have set something for."""
    rows = {row["site"]: row for row in await database.read(_throttles)}
    live = {one.site: one for one in await sites.stats()} if sites is not None else {}
    return [_view(name, live.get(name), rows.get(name)) for name in sorted({*rows, *live})]


async def find_site(database: Database, sites: Sites | None, site: str) -> dict[str, Any]:
    """Return one of them; NotFound."""
    for view in await list_sites(database, sites):
        if view["site"] == site:
            return view
    raise NotFound(f"the site {site} has neither work nor a throttle")


async def set_throttle(
    database: Database, sites: Sites | None, actor: Actor, site: str, *, paused: bool | None, connections: int | None
) -> dict[str, Any]:
    """Pause or resume a site, or say how many connections it may have (0: the relay's setting)."""
    if not 1 <= len(site) <= MAX_NAME:
        raise ConfigurationError(f"a site's name has 1 to {MAX_NAME} characters")
    if connections is not None and not 0 <= connections <= MAX_CONNECTIONS:
        raise ConfigurationError(f"a site may have 0 to {MAX_CONNECTIONS} connections")
    row = await database.write(_set, actor, site, paused, connections, clock.now())
    if sites is not None and paused is not None:
        await (sites.pause(site) if paused else sites.resume(site))
    live = {one.site: one for one in await sites.stats()} if sites is not None else {}
    return _view(site, live.get(site), row)


def _throttles() -> Work[Rows]:
    rows = yield sql.throttles()
    return rows


def _set(actor: Actor, site: str, paused: bool | None, connections: int | None, now: int) -> Work[dict[str, Any]]:
    rows = yield sql.throttle(site=site)
    before = {"paused": bool(rows[0]["paused"]), "connections": rows[0]["connections"]} if rows else None
    known = before or {"paused": False, "connections": 0}
    after = {
        "paused": known["paused"] if paused is None else paused,
        "connections": known["connections"] if connections is None else connections,
    }
    if any(after.values()):
        yield sql.set_throttle(site=site, connections=after["connections"], paused=int(after["paused"]), now=now)
    else:
        yield sql.delete_throttle(site=site)
    yield from note(actor, "site.throttle", site, before, after, now)
    return after


def _view(site: str, live: SiteStats | None, row: Any) -> dict[str, Any]:
    return {
        "site": site,
        "entries": live.depth if live else 0,
        "oldest": live.oldest if live else 0.0,
        "connections": live.slots if live else 0,
        "max_connections": row["connections"] if row and row["connections"] else (live.limit if live else 0),
        "backing_off_until": live.paused_until if live else 0.0,
        "paused": bool(live and live.stopped) or bool(row and row["paused"]),
    }
