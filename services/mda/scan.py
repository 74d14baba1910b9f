"""Scanners after the 250: entries are scanned at once, then what is suspect is kept back, thrown away or goes to Junk.

What scanners at the mta said of a message is in its envelope and counts here as well. Nothing is refused any more:
a report to a sender who may be forged would be spam itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from services.mda.entry import Entry
from services.mda.routing import Route
from shared.db import Database, Work, load
from shared.filters.fields import field_of, reason_of, told
from shared.filters.panel import Panel
from shared.filters.parcel import Parcel
from shared.filters.verdict import decisive
from shared.mailbox.blobs import NewBlob
from shared.mailbox.deliver import deliver
from shared.mailbox.job import Job, Outcome, Record
from shared.mailbox.quarantine import Suspect, in_quarantine, keep_back
from shared.maillog import MailLog
from shared.message.envelope import Kind, Lane
from shared.message.verdict import Action, Change, Verdict
from shared.metrics import DELIVERED, QUARANTINED
from shared.operations.origin import origin_json

MAX_ADDED = 32 * 1024  # octets of fields that scanners add to a message
AT_ONCE = 64  # messages under way to scanners; each scanner has its own limit below
SCANNED = (Kind.MESSAGE,)
LISTENERS = ("mx", "submission", "lmtp")

sql = load("mailboxes")


class Scanning:
    """Asks the mda's scanners, and does what all scanners, those at the mta too, want done."""

    def __init__(
        self, database: Database, panel: Panel, log: MailLog, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._panel = panel
        self._log = log
        self._clock = clock
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def scan(self, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
        """Have entries scanned; return those that can go on, and those that have to wait for a scanner."""
        if not len(self._panel):
            return list(entries), []
        await asyncio.gather(*(self._scan(entry) for entry in entries if _is_scanned(entry)))
        late = [entry for entry in entries if _has_to_wait(entry)]
        for entry in late:
            self._log.info("waits for a scanner", entry=entry.id, reason=reason_of(entry.scanned))
        return [entry for entry in entries if not _has_to_wait(entry)], late

    async def divert(self, routes: Sequence[Route]) -> list[Route]:
        """Keep back or throw away what scanners want so, on record; return what is left to be delivered."""
        decided = [(route, decisive(route.entry.verdicts)) for route in routes if route.entry.verdicts]
        if not decided:
            return list(routes)
        suspects = [(r, v) for r, v in decided if v is not None and v.action in (Action.QUARANTINE, Action.REJECT)]
        kept = await self.keep_back(suspects) if suspects else []
        gone = [(route, v) for route, v in decided if v is not None and v.action is Action.DISCARD]
        if gone:
            await self._database.write(deliver, [_discarded(route, v) for route, v in gone], self._now())
        for route, verdict in gone:
            DELIVERED.labels(Outcome.DISCARDED.value).inc()
            self._log.quarantined(
                route.entry.id, recipient=route.recipient.address, reason=f"discarded: {verdict.scanner}"
            )
        away = {*map(id, kept), *(id(route) for route, _ in gone)}
        left = [route for route in routes if id(route) not in away]
        await self.find_junk(left)
        return left

    async def keep_back(self, suspects: Sequence[tuple[Route, Verdict]]) -> list[Route]:
        """Put routes into the quarantine, but for those that the operator let go; return those that are in it."""
        kept = await self._kept(list(suspects))
        if kept:
            await self._database.write(keep_back, [_suspect(route, v) for route, v in kept], self._now())
        for route, verdict in kept:
            QUARANTINED.labels(verdict.scanner).inc()
            self._log.quarantined(route.entry.id, recipient=route.recipient.address, reason=reason_of([verdict]))
        return [route for route, _ in kept]

    async def find_junk(self, routes: Sequence[Route]) -> None:
        """Note where spam goes unless a script says otherwise."""
        spam = [r for r in routes if any(verdict.is_spam for verdict in r.verdicts)]
        accounts = sorted({account.id for route in spam for account in route.receiving})
        junk = await self._database.read(_junk, accounts) if accounts else {}
        for route in spam:
            route.junk = {a.id: junk[a.id] for a in route.receiving if a.id in junk}

    async def _scan(self, entry: Entry) -> None:
        async with self._slots:
            entry.scanned = tuple(_afterwards(verdict) for verdict in await self._panel.ask(_parcel(entry)))
        entry.added = _fields(entry.scanned)

    async def _kept(self, suspects: list[tuple[Route, Verdict]]) -> list[tuple[Route, Verdict]]:
        """Leave out what the operator let go."""
        if not any(route.waited for route, _ in suspects):
            return suspects
        known = await self._database.read(in_quarantine, {route.entry.id for route, _ in suspects if route.waited})
        return [
            (route, verdict)
            for route, verdict in suspects
            if not (route.waited and (route.entry.id, route.recipient.address) in known)
        ]

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)


def _is_scanned(entry: Entry) -> bool:
    return entry.envelope.kind in SCANNED and bool(entry.envelope.lane(Lane.DELIVERY))


def _has_to_wait(entry: Entry) -> bool:
    verdict = decisive(entry.scanned)
    return verdict is not None and verdict.action is Action.TEMPFAIL


def _afterwards(verdict: Verdict) -> Verdict:
    """Return a verdict as it is meant after the 250: nothing is refused, and nothing is put off but by a policy."""
    match verdict.action:
        case Action.REJECT:
            action = Action.QUARANTINE
        case Action.GREYLIST:
            action = Action.NONE
        case Action.TEMPFAIL if not verdict.failed:
            action = Action.NONE
        case _:
            return verdict
    return replace(verdict, action=action)


def _parcel(entry: Entry) -> Parcel:
    envelope = entry.envelope
    return Parcel(
        entry.id,
        envelope.sender,
        tuple(recipient.address for recipient in envelope.lane(Lane.DELIVERY)),
        entry.message,
        ip=envelope.origin.ip,
        helo=envelope.origin.helo,
        account=envelope.origin.account,
        listener=envelope.origin.service if envelope.origin.service in LISTENERS else "",
        tls=envelope.origin.tls,
    )


def _fields(verdicts: Sequence[Verdict]) -> bytes:
    """The fields that each recipient's copy gets; what stands in the record itself stays as it is."""
    added = told(verdicts)
    for verdict in verdicts:
        for change in verdict.changes:
            field = field_of(change.name, change.value) if change.change is not Change.REMOVE else b""
            if len(added) + len(field) <= MAX_ADDED:
                added += field
    return added


def _reason(route: Route) -> str:
    return reason_of(route.entry.verdicts)


def _suspect(route: Route, verdict: Verdict) -> Suspect:
    job, subject = _job(route, ()), route.entry.rendered.subject
    received_at = route.entry.envelope.received_at
    return Suspect(job, route.recipient.address, received_at, verdict.scanner, reason_of([verdict]), subject)


def _discarded(route: Route, verdict: Verdict) -> Job:
    address, detail = route.recipient.address, {"filter": verdict.scanner, "verdict": _reason(route)}
    return _job(route, (Record(address, address, Outcome.DISCARDED, detail),))


def _job(route: Route, steps: tuple[Record, ...]) -> Job:
    entry, envelope = route.entry, route.entry.envelope
    return Job(
        blob=NewBlob(entry.id, entry.reference, entry.rendered),
        sender=envelope.sender,
        steps=steps,
        internal_date=envelope.received_at // 1_000_000,
        message_id=envelope.message_id or entry.rendered.message_id,
        waited=route.waited,
        origin=origin_json(envelope, entry.scanned),
    )


def _junk(accounts: list[int]) -> Work[dict[int, str]]:
    rows = yield sql.junk_of(accounts=accounts)
    return {row["account_id"]: row["name"] for row in rows if "\\Junk" in str(row["special_use"]).split()}
