"""What scripts remember: whom vacation answered, which messages duplicate has seen (RFC 5230 §4.2, RFC 7352 §3).

Whoever claims a key first may go on, in a transaction of its own before anything is sent: the claim bears the
entry and recipient that it is from, so that a repeat of the same delivery is no repetition.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from shared.db import Database, Work, load
from shared.mailbox.blobs import chunked

MICROSECOND = 1_000_000

sql = load("scripts")


class Kind(StrEnum):
    """What is remembered."""

    VACATION = "vacation"
    DUPLICATE = "duplicate"


class Key(NamedTuple):
    """What is remembered of whom."""

    account_id: int
    kind: Kind
    key: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A wish to be the first: for `seconds` nobody else is."""

    key: Key
    claimant: str
    seconds: int


class Memory:
    """The memory of all accounts; `now` is always in microseconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, wanted: Collection[Key], now: int) -> dict[Key, str]:
        """Return those of some duplicate keys that are remembered, with who claimed them."""
        return await self._database.read(_known, wanted, now) if wanted else {}

    async def claim(self, claims: Iterable[Claim], now: int) -> set[tuple[Key, str]]:
        """Return the claims (key and claimant) that hold: of several for a key, the first or the one that was there."""
        first: dict[Key, Claim] = {}
        for claim in claims:
            first.setdefault(claim.key, claim)
        return await self._database.write(_claim, sorted(first.values(), key=_order), now) if first else set()

    async def refresh(self, claims: Iterable[Claim], now: int) -> None:
        """Begin the time of keys that are remembered already anew (RFC 7352 §3.2, :last)."""
        rows = [{**_columns(claim.key), "expires_at": _expiry(claim, now)} for claim in sorted(claims, key=_order)]
        if rows:
            await self._database.write_relaxed(_refresh, rows)


def _known(wanted: Collection[Key], now: int) -> Work[dict[Key, str]]:
    accounts, keys = sorted({key.account_id for key in wanted}), sorted({key.key for key in wanted})
    rows = yield sql.remembered(accounts=accounts, kind=Kind.DUPLICATE.value, keys=keys, now=now)
    found = {Key(row["account_id"], Kind.DUPLICATE, row["key"]): row["claimant"] for row in rows}
    return {key: found[key] for key in wanted if key in found}


def _claim(claims: list[Claim], now: int) -> Work[set[tuple[Key, str]]]:
    rows = [(*_columns(claim.key).values(), claim.claimant, _expiry(claim, now)) for claim in claims]
    won: set[Key] = set()
    for chunk in chunked(rows):
        for row in (yield sql.claim(rows=chunk, now=now)):
            won.add(Key(row["account_id"], Kind(row["kind"]), row["key"]))
    return {(claim.key, claim.claimant) for claim in claims if claim.key in won}


def _refresh(rows: list[dict[str, object]]) -> Work[None]:
    yield sql.refresh.many(rows)


def _columns(key: Key) -> dict[str, object]:
    return {"account_id": key.account_id, "kind": key.kind.value, "key": key.key}


def _expiry(claim: Claim, now: int) -> int:
    return now + claim.seconds * MICROSECOND


def _order(claim: Claim) -> Key:
    return claim.key
