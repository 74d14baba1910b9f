"""Refused mail on record: who, when, which reply; capped, so that nobody can fill the database by being refused.

The mta hands refusals over and never waits; a task writes them in batches. Beyond the caps they are only
counted, and told as one row for each client network and reply code.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import Counter

from shared.db import Database, Work, load
from shared.errors import TemporaryFailure
from shared.operations.actor import Actor
from shared.operations.paging import Filter, Listing, Page, decode_cursor, encode_cursor, in_domains
from shared.queue.throttle import network_of

PER_SECOND = 20  # rows a second and worker process
PER_NETWORK = 10  # rows a minute of one client network
MINUTE = 60.0
FLUSH = 1.0  # seconds between two transactions
COUNT_FLUSH = 30.0  # seconds between two reports of what was only counted
MAX_KEPT = 2_000  # refusals kept while SQL is away
MAX_NETWORKS = 5_000  # counted at a time; those beyond are counted together
MAX_TEXT = 500  # characters of one value
EVERYBODY = "*"

LOST = Counter("packetboat_rejections_unrecorded", "Refusals that were not written down as SQL was away")

sql = load("admin")
log = structlog.get_logger(__name__)
LISTING = Listing(
    "id, at, listener, ip, helo, tls, account, sender, recipient, reply, count", "rejection", ("id",), descending=True
)


@dataclass(frozen=True, slots=True)
class Rejection:
    """A refused command or message; `count` above 1 tells of so many together, `at` is Unix seconds."""

    at: float
    listener: str
    ip: str
    reply: str
    helo: str = ""
    tls: str = ""
    account: str = ""
    sender: str = ""
    recipient: str = ""
    count: int = 1

    def row(self) -> tuple[Any, ...]:
        """Return the values of admin.sql's `insert_rejections`."""
        texts = (self.listener, self.ip, self.helo, self.tls, self.account)
        addresses = (self.sender.lower(), self.recipient.lower(), self.reply)
        return (int(self.at * 1e6), *map(_clean, texts), *map(_clean, addresses), self.count)


class RejectionRecorder:
    """Takes refusals; one per process."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._rows: list[Rejection] = []
        self._second = (0, 0)  # which, and rows in it
        self._networks: OrderedDict[str, tuple[float, int]] = OrderedDict()  # begin of the minute, rows in it
        self._counted: dict[tuple[str, str, str], int] = {}
        self._told = clock()

    def put(self, rejection: Rejection) -> None:
        """Keep a refusal for the next batch, or count it."""
        if len(self._rows) < MAX_KEPT and self._in_second() and self._in_network(rejection.ip):
            self._rows.append(rejection)
        else:
            self._count(rejection)

    async def run(self) -> None:
        """Write until cancelled; what SQL doesn't take is kept, up to MAX_KEPT."""
        while True:
            await asyncio.sleep(FLUSH)
            await self.flush()

    async def flush(self, *, everything: bool = False) -> None:
        """Write what is kept, and now and then (or with `everything`) what was counted."""
        if everything or self._clock() - self._told >= COUNT_FLUSH:
            self._tell_counts()
        rows, self._rows = self._rows, []
        if not rows:
            return
        try:
            await self._database.write_relaxed(_insert, [rejection.row() for rejection in rows])
        except TemporaryFailure as error:
            log.warning("rejections not recorded", error=str(error), kept=len(rows))
            self._rows = (rows + self._rows)[:MAX_KEPT]
            LOST.inc(max(0, len(rows) + len(self._rows) - MAX_KEPT))

    def _in_second(self) -> bool:
        second = int(self._clock())
        rows = self._second[1] if self._second[0] == second else 0
        self._second = (second, rows + 1)
        return rows < PER_SECOND

    def _in_network(self, ip: str) -> bool:
        network, now = _network(ip), self._clock()
        began, rows = self._networks.get(network, (now, 0))
        if now - began >= MINUTE:
            began, rows = now, 0
        self._networks[network] = (began, rows + 1)
        self._networks.move_to_end(network)
        if len(self._networks) > MAX_NETWORKS:
            self._networks.popitem(last=False)
        return rows < PER_NETWORK

    def _count(self, rejection: Rejection) -> None:
        key = (rejection.listener, _network(rejection.ip), rejection.reply[:9])
        if key not in self._counted and len(self._counted) >= MAX_NETWORKS:
            key = (rejection.listener, EVERYBODY, rejection.reply[:3])
        self._counted[key] = self._counted.get(key, 0) + rejection.count

    def _tell_counts(self) -> None:
        counted, self._counted, self._told = self._counted, {}, self._clock()
        self._rows += [
            Rejection(self._told, listener, network, f"{reply} and so on: only counted", count=number)
            for (listener, network, reply), number in counted.items()
        ]


async def page_of_rejections(
    database: Database, actor: Actor, cursor: str, limit: int, *, address: str = "", ip: str = ""
) -> Page:
    """Return refusals, the newest first."""
    wanted = Filter()
    if address:
        wanted = wanted.plus("sender = :address OR recipient = :address", address=address.lower())
    if ip:
        wanted = wanted.plus("ip = :ip", ip=ip)
    if actor.domains is not None:
        wanted = in_domains(("sender", "recipient"), sorted(actor.domains), wanted)
    rows, end = await database.scan(LISTING.rows, wanted, decode_cursor(cursor, int), limit)
    return Page([rejection_view(row) for row in rows], encode_cursor(end))


def rejection_view(row: Any) -> dict[str, Any]:
    """Read a row of `rejection`."""
    names = ("listener", "ip", "helo", "tls", "account", "sender", "recipient", "reply", "count")
    return {"at": row["at"] / 1e6, **{name: row[name] for name in names}}


def _insert(rows: list[tuple[Any, ...]]) -> Work[None]:
    for start in range(0, len(rows), 500):
        yield sql.insert_rejections(rows=rows[start : start + 500])


def _network(ip: str) -> str:
    try:
        return network_of(ip)
    except ValueError:
        return EVERYBODY


def _clean(text: str) -> str:
    """Return what SQL can store and a terminal can show."""
    return "".join(c if c.isprintable() else "?" for c in text[:MAX_TEXT].encode("utf-8", "replace").decode())
