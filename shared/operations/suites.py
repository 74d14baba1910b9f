"""What runs for an account: its scripts, looked up in one query, compiled once in a process, and what they ask for."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shared.db import Database, Rows, Work, load
from shared.filters.verdict import spam_percent, virus_level
from shared.mailbox.mailbox import Mailbox
from shared.mailbox.mailbox import sql as mailbox_sql
from shared.message.envelope import Envelope as JournalEnvelope
from shared.message.envelope import Recipient
from shared.message.verdict import Verdict
from shared.sieve import Context, Envelope, Message, Script, ScriptError, compile_script
from shared.sieve.context import DeliverByRequest, Location, NamedMailboxes
from shared.sieve.host import LANGUAGE
from shared.smtp.xtext import XtextError, decode_xtext

CACHE_SIZE = 1_000  # compiled scripts of one process
CACHE_BYTES = 16 * 1024 * 1024  # octets of their sources

_MAILBOX_EXTENSIONS = frozenset({"mailbox", "mailboxid", "special-use", "mboxmetadata", "servermetadata"})
_METADATA_EXTENSIONS = frozenset({"mboxmetadata", "servermetadata"})
_ORDER = {("system", "before"): 0, ("domain", "before"): 1, ("domain", "after"): 3, ("system", "after"): 4}
_OWN = 2  # an account's own script is in the middle

sql = load("scripts")

Compiled = Script | ScriptError


@dataclass(slots=True)
class Suite:
    """What runs for one account, in order, and what its scripts may ask for."""

    scripts: Sequence[Compiled]
    library: dict[tuple[Location, str], Compiled] = field(default_factory=dict)
    mailboxes: NamedMailboxes = field(default_factory=NamedMailboxes)
    aliases: tuple[str, ...] = ()  # other addresses of the account

    @property
    def required(self) -> frozenset[str]:
        """Every extension that one of its scripts has required."""
        every = (*self.scripts, *self.library.values())
        return frozenset().union(*(script.required for script in every if isinstance(script, Script)))

    def include(self, location: Location, name: str) -> Script | None:
        """Return a script that another one includes, None if there is none; ScriptError."""
        found = self.library.get((location, name))
        if isinstance(found, ScriptError):
            raise found
        return found


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where and when scripts run, for whom, and what duplicate remembers."""

    suite: Suite
    account: str
    hostname: str
    now: datetime  # aware
    seen: Callable[[str], bool]


class Shelf:
    """The scripts of all accounts; one per process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._compiled: OrderedDict[tuple[str, str], tuple[int, Compiled]] = OrderedDict()
        self._bytes = 0

    async def of(self, accounts: dict[int, str]) -> dict[int, Suite]:
        """Return what runs for those of the accounts (id → address) that have scripts; DatabaseUnavailable."""
        rows: Rows = await self._database.read(_active, sorted(accounts))
        if not rows:
            return {}
        compiled = await self._compile(rows)
        chosen = _chosen([row for row in rows if row["id"] in compiled], accounts)
        suites = {account: Suite([compiled[row["id"]] for row in found]) for account, found in chosen.items()}
        await self._complete(suites, accounts)
        return suites

    async def with_script(self, account: int, address: str, script: Script) -> Suite:
        """Return what would run for an account if this were its active script; its mailboxes are always known."""
        rows: Rows = [row for row in await self._database.read(_active, [account]) if row["level"] != "account"]
        compiled = await self._compile(rows)
        around = sorted((row for row in rows if row["id"] in compiled), key=_order)
        before = [compiled[row["id"]] for row in around if row["place"] == "before"]
        after = [compiled[row["id"]] for row in around if row["place"] == "after"]
        suite = Suite([*before, script, *after])
        await self._complete({account: suite}, {account: address})
        if not suite.mailboxes.names:
            suite.mailboxes = (await self._database.read(_mailboxes, [account], []))[account]
        return suite

    async def _compile(self, rows: Rows) -> dict[int, Compiled]:
        """Return the scripts of rows by id, without those that were deleted meanwhile."""
        found: dict[int, Compiled] = {}
        missing: dict[int, str] = {}
        for row in rows:
            key = row["hash"], _label(row)
            known = self._compiled.get(key)
            if known is None:
                missing[row["id"]] = key[1]
            else:
                self._compiled.move_to_end(key)
                found[row["id"]] = known[1]
        for stored in (await self._database.read(_contents, sorted(missing))) if missing else ():
            content, label = bytes(stored["content"]), missing[stored["id"]]
            script = await asyncio.to_thread(_compiled, content, label)
            self._keep((stored["hash"], label), len(content), script)
            found[stored["id"]] = script
        return found

    def _keep(self, key: tuple[str, str], size: int, script: Compiled) -> None:
        if key in self._compiled:
            return
        self._compiled[key] = (size, script)
        self._bytes += size
        while len(self._compiled) > CACHE_SIZE or (self._bytes > CACHE_BYTES and len(self._compiled) > 1):
            _, (gone, _) = self._compiled.popitem(last=False)
            self._bytes -= gone

    async def _complete(self, suites: dict[int, Suite], accounts: dict[int, str]) -> None:
        """Look up what the scripts ask for, and only that."""
        including = [account for account, suite in suites.items() if "include" in suite.required]
        if including:
            rows = await self._database.read(_library, including)
            compiled = await self._compile(rows)
            for account in including:
                suites[account].library = _shelved(rows, account, compiled)
        of = {account: suite.required for account, suite in suites.items()}
        if looking := [account for account, required in of.items() if required & _MAILBOX_EXTENSIONS]:
            annotated = [account for account in looking if of[account] & _METADATA_EXTENSIONS]
            mailboxes = await self._database.read(_mailboxes, looking, annotated)
            for account in looking:
                suites[account].mailboxes = mailboxes[account]
        if answering := [account for account, required in of.items() if "vacation" in required]:
            aliases = await self._database.read(_aliases, [accounts[account].lower() for account in answering])
            for account in answering:
                suites[account].aliases = tuple(aliases.get(accounts[account].lower(), ()))


def context_of(
    message: Message, envelope: JournalEnvelope, recipient: Recipient, where: Surroundings, verdicts: Sequence[Verdict]
) -> Context:
    """Return all that scripts are told of one message for one account."""
    notify = tuple(word for word in recipient.notify.split(",") if word)
    orcpt, envid = _plain(recipient.orcpt), _plain(envelope.envid)
    return Context(
        message,
        Envelope(envelope.sender, recipient.address, notify, orcpt, envelope.ret, envid, _deliver_by(envelope)),
        where.now,
        mailboxes=where.suite.mailboxes,
        seen=where.seen,
        load=where.suite.include,
        environment=_environment(envelope, where.hostname),
        addresses=where.suite.aliases,
        user=where.account,
        spam_percent=spam_percent(verdicts),
        virus=virus_level(verdicts),
    )


def _deliver_by(envelope: JournalEnvelope) -> DeliverByRequest | None:
    by = envelope.deliver_by
    if by is None:
        return None
    return DeliverByRequest(datetime.fromtimestamp(by.deadline / 1_000_000, UTC), by.mode, by.trace)


def _environment(envelope: JournalEnvelope, hostname: str) -> dict[str, str]:
    """RFC 5183 §4.1."""
    items = {
        "domain": hostname.partition(".")[2] or hostname,
        "host": hostname,
        "location": "MDA",
        "phase": "post",
        "name": "Packetboat",
    }
    return items | ({"remote-ip": envelope.origin.ip} if envelope.origin.ip else {})


def _plain(text: str) -> str:
    try:
        return decode_xtext(text)
    except XtextError:
        return text


def _shelved(rows: Rows, account: int, compiled: dict[int, Compiled]) -> dict[tuple[Location, str], Compiled]:
    """What an account's scripts can include: a domain's script hides one of the system (RFC 6609 §3.2)."""
    found: dict[tuple[Location, str], Compiled] = {}
    for row in sorted(rows, key=lambda row: str(row["level"]), reverse=True):  # system, domain, account
        if row["id"] not in compiled:
            continue
        if row["level"] == "account" and row["account_id"] == account:
            found[Location.PERSONAL, row["name"]] = compiled[row["id"]]
        elif row["level"] == "system" or (row["level"] == "domain" and row["account_id"] == account):
            found[Location.GLOBAL, row["name"]] = compiled[row["id"]]
    return found


def _chosen(rows: Rows, accounts: Collection[int]) -> dict[int, list[Any]]:
    """Return each account's active scripts in the order in which they run."""
    everywhere = [row for row in rows if row["level"] == "system"]
    own: dict[int, list[Any]] = {account: list(everywhere) for account in accounts} if everywhere else {}
    for row in rows:
        if row["level"] != "system":
            own.setdefault(row["account_id"], list(everywhere)).append(row)
    return {account: sorted(found, key=_order) for account, found in own.items()}


def _order(row: Any) -> tuple[int, str]:
    return _ORDER.get((row["level"], row["place"]), _OWN), row["name"]


def _label(row: Any) -> str:
    """How the ledger and errors name a script."""
    return str(row["name"]) if row["level"] == "account" else f"{row['level']} {row['place']} {row['name']}"


def _compiled(content: bytes, label: str) -> Compiled:
    try:
        return compile_script(content, name=label, language=LANGUAGE)
    except ScriptError as error:
        return error


def _active(accounts: list[int]) -> Work[Rows]:
    rows = yield sql.active_of(accounts=accounts)
    return rows


def _contents(ids: list[int]) -> Work[Rows]:
    rows = yield sql.contents(ids=ids)
    return rows


def _library(accounts: list[int]) -> Work[Rows]:
    rows = yield sql.library_of(accounts=accounts)
    return rows


def _mailboxes(accounts: list[int], annotated: list[int]) -> Work[dict[int, NamedMailboxes]]:
    annotations: dict[int, dict[tuple[str | None, str], str]] = {account: {} for account in accounts}
    if annotated:
        for row in (yield sql.annotations_of(accounts=annotated)):
            annotations[row["account_id"]][row["name"] or None, row["entry"]] = _text(row["value"])
    found: dict[int, NamedMailboxes] = {}
    for account in accounts:
        rows = yield mailbox_sql.mailboxes(account_id=account)
        found[account] = _named([Mailbox.from_row(row) for row in rows], rows, annotations[account])
    return found


def _named(
    mailboxes: Sequence[Mailbox], rows: Iterable[Any], annotations: dict[tuple[str | None, str], str]
) -> NamedMailboxes:
    uses = {use: row["name"] for row in rows for use in str(row["special_use"]).split()}
    ids = {mailbox.object_id: mailbox.name for mailbox in mailboxes}
    return NamedMailboxes([mailbox.name for mailbox in mailboxes], annotations, uses, ids)


def _text(value: Any) -> str:
    return bytes(value).decode("utf-8", "replace")


def _aliases(addresses: list[str]) -> Work[dict[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for row in (yield sql.aliases_of(addresses=addresses)):
        found.setdefault(row["target"], []).append(row["address"])
    return found
