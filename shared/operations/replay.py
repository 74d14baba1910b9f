"""Replaying stored mail through a filter that isn't in use: what it would do, compared with what happened.

Nothing is touched: mail is read from the journal, outcomes from the ledger. A candidate is anything that says what it
would do with a message; the Sieve one is here.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

from shared.db import Database, Rows, Work, load
from shared.ids import encode
from shared.imap.mailbox_name import INBOX, UnusableMailboxName, check_new_name
from shared.journal.reader import Reader, RecordUnavailable
from shared.journal.reference import Reference
from shared.message.envelope import Envelope, Lane, Recipient
from shared.message.header import find_header_end, parse_headers
from shared.operations.suites import Shelf, Suite, Surroundings, context_of
from shared.sieve import Message, Result, Script, ScriptError, run_sequence
from shared.sieve.actions import (
    Action,
    Discard,
    EReject,
    FileInto,
    Keep,
    Notify,
    Redirect,
    Reject,
    TrackDuplicate,
    Vacation,
)

PAGE = 100  # entries that are read at a time
PAGE_BYTES = 32 * 1024 * 1024  # octets of them in memory, unless a single one is longer

sql = load("replay")


@dataclass(frozen=True, slots=True)
class Mail:
    """A message that is stored in an account, as it was accepted."""

    entry: str
    account_id: int
    account: str
    subject: str
    envelope: Envelope
    recipient: Recipient  # as which the account got it
    message: bytes


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a message, in words: mailboxes, `redirect ADDRESS`, `reject`, `discard`, `answer`, `notify`."""

    outcomes: tuple[str, ...]
    error: str = ""


class Candidate(Protocol):
    """A filter to be tried: Sieve, or another kind."""

    async def decide(self, mail: Mail) -> Decision:
        """Say what it would do with a message; mail comes in the order of its acceptance."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One message: what happened and what would."""

    mail: Mail
    before: tuple[str, ...]
    after: Decision

    @property
    def changes(self) -> bool:
        """Whether something would be different."""
        return sorted(self.before) != sorted(self.after.outcomes)


@dataclass(slots=True)
class Summary:
    """What a replay came to."""

    messages: int = 0
    changed: int = 0
    errors: int = 0
    skipped: int = 0  # with no outcome on record, or whose record can't be read
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)  # (what happened, what would)

    def add(self, one: Replayed) -> None:
        """Count a message."""
        self.messages += 1
        self.errors += bool(one.after.error)
        if one.changes:
            self.changed += 1
            self.moves[", ".join(sorted(one.before)), ", ".join(sorted(one.after.outcomes))] += 1


async def replay(
    database: Database, reader: Reader, candidate: Candidate, summary: Summary, *, since: float, account_id: int = 0
) -> AsyncIterator[Replayed]:
    """Run a candidate over what was delivered since (Unix seconds) and is still stored; `summary` fills up."""
    after = encode(max(int(since * 1000), 0) << 80)
    while entries := await database.scan(_entries, after, account_id):
        after = entries[-1]
        stored, outcomes = await database.scan(_stored, entries, account_id)
        for group in _groups(stored):
            references = [Reference(*list(row)[4:]) for row in group]
            records = await asyncio.to_thread(reader.record_many, references)
            for row, record in zip(group, records, strict=True):
                mail = _mail(row, record, outcomes)
                if mail is None:
                    summary.skipped += 1
                    continue
                one = Replayed(mail, _what_happened(mail, outcomes), await candidate.decide(mail))
                summary.add(one)
                yield one


class SieveCandidate:
    """A script in the place of each account's active one; those of domain and system run around it as they do.

    Without a script it is what runs now.
    """

    def __init__(self, database: Database, script: Script | None, hostname: str) -> None:
        self._shelf = Shelf(database)
        self._script = script
        self._hostname = hostname
        self._suites: dict[int, Suite] = {}
        self._remembered: dict[tuple[int, str], float] = {}  # when what duplicate and vacation remember expires

    async def decide(self, mail: Mail) -> Decision:
        """Run the script at the time when the message came."""
        suite = self._suites.get(mail.account_id)
        if suite is None:
            if self._script is not None:
                suite = await self._shelf.with_script(mail.account_id, mail.account, self._script)
            else:
                accounts = {mail.account_id: mail.account}
                suite = (await self._shelf.of(accounts)).get(mail.account_id) or Suite(())
            self._suites[mail.account_id] = suite
        at = mail.envelope.received_at / 1_000_000
        result = await asyncio.to_thread(self._run, mail, suite, at)
        outcomes = [self._outcome(action, mail, suite, at) for action in result.actions]
        told = tuple(dict.fromkeys(outcome for outcome in outcomes if outcome))
        kept = any(isinstance(action, Keep | FileInto | Redirect | Reject | EReject) for action in result.actions)
        return Decision(told if kept else (*told, "discard"), "" if result.error is None else str(result.error))

    def _run(self, mail: Mail, suite: Suite, at: float) -> Result:
        message = Message(mail.message, parse_headers(mail.message[: find_header_end(mail.message)]))
        now = datetime.fromtimestamp(at, UTC).astimezone()
        where = Surroundings(suite, mail.account, self._hostname, now, lambda key: self._knows(mail, key, at))
        context = context_of(message, mail.envelope, mail.recipient, where, mail.envelope.verdicts)
        return run_sequence([script for script in suite.scripts if not isinstance(script, ScriptError)], context)

    def _outcome(self, action: Action, mail: Mail, suite: Suite, at: float) -> str:
        match action:
            case Keep():
                return INBOX
            case FileInto():
                return _mailbox(action, suite)
            case Redirect(address=address):
                return f"redirect {address}"
            case Reject() | EReject():
                return "reject"
            case Vacation(key=key, seconds=seconds):
                return "answer" if self._first(mail, key, seconds, at) else ""
            case TrackDuplicate(key=key, seconds=seconds):
                self._first(mail, key, seconds, at)
                return ""
            case Notify():
                return "notify"
            case Discard():
                return ""

    def _knows(self, mail: Mail, key: str, at: float) -> bool:
        return self._remembered.get((mail.account_id, key), 0.0) > at

    def _first(self, mail: Mail, key: str, seconds: int, at: float) -> bool:
        if self._knows(mail, key, at):
            return False
        self._remembered[mail.account_id, key] = at + seconds
        return True


def _mailbox(action: FileInto, suite: Suite) -> str:
    found = suite.mailboxes.by_id(action.mailbox_id) if action.mailbox_id else None
    found = found or (suite.mailboxes.special_use(action.special_use) if action.special_use else None)
    try:
        name = found or check_new_name(action.mailbox)
    except UnusableMailboxName:
        return INBOX
    return name if action.create or suite.mailboxes.exists(name) else INBOX


def _mail(row: Any, record: tuple[Envelope, bytes] | RecordUnavailable, outcomes: Rows) -> Mail | None:
    if isinstance(record, RecordUnavailable):
        return None
    envelope, message = record
    of = {o["recipient"] for o in outcomes if o["entry"] == row["entry"] and o["target"] == row["address"]}
    known = [recipient for recipient in envelope.lane(Lane.DELIVERY) if recipient.address in of]
    if not known:
        return None  # appended by a client, or changed by a filter as it came
    return Mail(row["entry"], row["account_id"], row["address"], row["subject"], envelope, known[0], message)


def _what_happened(mail: Mail, outcomes: Rows) -> tuple[str, ...]:
    told: dict[str, None] = {}
    for row in outcomes:
        if row["entry"] != mail.entry or row["recipient"] != mail.recipient.address:
            continue
        detail = orjson.loads(row["detail"]) if row["detail"] else {}
        if row["target"] == mail.account:
            told |= dict.fromkeys(_delivered(row["outcome"], detail))
        elif detail.get("filter"):
            what = {"redirected": f"redirect {row['target']}", "answered": "answer", "notified": "notify"}
            told |= dict.fromkeys([what[row["outcome"]]] if row["outcome"] in what else [])
    return tuple(told)


def _delivered(outcome: str, detail: dict[str, Any]) -> list[str]:
    if outcome == "delivered":
        return [detail.get("mailbox", INBOX), *detail.get("copies", ())]
    return ["reject" if outcome in ("bounced", "failed") else "discard"]


def _groups(rows: Rows) -> list[Rows]:
    """Cut rows so that each part's messages fit into memory."""
    groups: list[Rows] = []
    size = 0
    for row in rows:
        if not groups or size + row["size"] > PAGE_BYTES:
            groups.append([])
            size = 0
        groups[-1].append(row)
        size += row["size"]
    return groups


def _entries(after: str, account: int) -> Work[list[str]]:
    rows = yield sql.entries(after=after, account=account, limit=PAGE)
    return [row["entry"] for row in rows]


def _stored(entries: Sequence[str], account: int) -> Work[tuple[Rows, Rows]]:
    stored = yield sql.stored(entries=list(entries), account=account)
    outcomes = yield sql.outcomes(entries=list(entries))
    return stored, outcomes


def since_days(days: float, now: float | None = None) -> float:
    """Return the time so many days ago, Unix seconds."""
    return (time.time() if now is None else now) - days * 86_400
