"""Running the scripts of a batch: what each of them decides on a message for one account.

Scripts run in a thread and ask nothing of SQL themselves. What duplicate asks for is looked up when a script asked,
and the script runs again with the answer; what vacation and duplicate want to be the first of is claimed, and a
script that lost runs again knowing so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.mda.entry import Entry
from services.mda.memory import Claim, Key, Kind, Memory
from shared.db import Database, Work, load
from shared.directory import Account
from shared.message.header import find_header_end, parse_headers
from shared.message.text import printable
from shared.metrics import SIEVE_RUNS, SIEVE_SECONDS
from shared.operations.suites import Shelf, Suite, Surroundings, context_of
from shared.sieve import Context, Message, Result, ScriptError, SieveError, run_sequence
from shared.sieve.actions import Action, Keep, TrackDuplicate, Vacation
from shared.sieve.revision import Revision

if TYPE_CHECKING:
    from services.mda.routing import Route

MAX_ROUNDS = 6  # times that one script runs because of what it asked or lost
SLICE = 0.5  # seconds after which the thread gives the rest back; one script may take longer (shared.sieve.limits)
BUDGET = 5.0  # seconds that an account's scripts may take in one batch; what comes after is kept without them
MAX_ERROR = 500  # characters of an error that are kept

sql = load("scripts")


class ScriptsStuck(Exception):
    """A thread that runs a script doesn't come back."""


@dataclass(slots=True, eq=False)
class Case:
    """One message for one account that has scripts."""

    route: Route
    account: Account
    suite: Suite
    message: Message
    asked: set[str] = field(default_factory=set)  # keys that duplicate asked for
    known: set[str] = field(default_factory=set)  # … whose answers are known
    seen: set[str] = field(default_factory=set)  # … that were remembered
    won: set[Key] = field(default_factory=set)
    lost: set[Key] = field(default_factory=set)
    result: Result | None = None
    now: datetime = field(default_factory=lambda: datetime.now(UTC))  # what currentdate shows

    @property
    def claimant(self) -> str:
        """Whose claims these are."""
        return f"{self.route.entry.id}/{self.route.recipient.address}"

    @property
    def actions(self) -> list[tuple[Action, str]]:
        """What is to be done, each with the script that decided so; answers that were lost are left out."""
        assert self.result is not None
        decided = zip(self.result.actions, self.result.by, strict=True)
        return [(action, by) for action, by in decided if self._key_of(action) not in self.lost]

    @property
    def error(self) -> SieveError | None:
        """What went wrong."""
        return self.result.error if self.result is not None else None

    def remembers(self, key: str) -> bool:
        """Say whether a message was here before, as far as it is known."""
        self.asked.add(key)
        return key in self.seen

    def claims(self) -> list[Claim]:
        """What it wants to be the first of and isn't yet."""
        found = []
        for action in self.result.actions if self.result is not None else ():
            key = self._key_of(action)
            fresh = key is not None and key not in self.won and key not in self.lost and key.key not in self.seen
            if key is not None and fresh and isinstance(action, Vacation | TrackDuplicate) and action.seconds:
                found.append(Claim(key, self.claimant, action.seconds))
        return found

    def refreshed(self) -> list[Claim]:
        """What it wants to go on remembering."""
        tracked = [action for action, _ in self.actions if isinstance(action, TrackDuplicate)]
        keys = [(self._key_of(action), action.seconds) for action in tracked if action.key in self.seen]
        return [Claim(key, self.claimant, seconds) for key, seconds in keys if key is not None]

    def _key_of(self, action: Action) -> Key | None:
        match action:
            case Vacation(key=key):
                return Key(self.account.id, Kind.VACATION, key)
            case TrackDuplicate(key=key):
                return Key(self.account.id, Kind.DUPLICATE, key)
            case _:
                return None


class Sieving:
    """Runs scripts; one per process. `hostname` is for environment, `stuck` seconds are too long for one script."""

    def __init__(
        self, database: Database, hostname: str, *, stuck: float = 120.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._shelf = Shelf(database)
        self._memory = Memory(database)
        self._hostname = hostname
        self._stuck = stuck
        self._clock = clock

    async def decide(self, routes: Sequence[Route]) -> list[Case]:
        """Return what the scripts decide, for accounts that have any; DatabaseUnavailable, ScriptsStuck."""
        accounts = {account.id: account.address for route in routes for account in route.receiving}
        suites = await self._shelf.of(accounts) if accounts else {}
        if not suites:
            return []
        cases = self._cases(routes, suites)
        left, used = cases, dict[int, float]()
        for _ in range(MAX_ROUNDS):
            await self._execute(left, used)
            left = await self._recall(left) or await self._claim(cases)
            if not left:
                break
        await self._memory.refresh([claim for case in cases for claim in case.refreshed()], self._now())
        await self._note_errors(cases)
        return cases

    def _cases(self, routes: Sequence[Route], suites: dict[int, Suite]) -> list[Case]:
        now = datetime.fromtimestamp(self._clock(), UTC).astimezone()
        messages: dict[str, Message] = {}
        cases = []
        for route in routes:
            for account in route.receiving:
                if account.id in suites and account.id not in route.plans:
                    message = messages.get(route.entry.id) or _message(route.entry)
                    messages[route.entry.id] = message
                    cases.append(Case(route, account, suites[account.id], message, now=now))
        return cases

    async def _execute(self, cases: Sequence[Case], used: dict[int, float]) -> None:
        """Run scripts in a thread, a slice at a time; `used` has the seconds that each account has had."""
        begin = 0
        while begin < len(cases):
            running = asyncio.to_thread(self._run, cases, begin, used)
            try:
                begin = await asyncio.wait_for(running, self._stuck)
            except TimeoutError:
                raise ScriptsStuck(f"a script takes over {self._stuck} s: {cases[begin].claimant} …") from None

    def _run(self, cases: Sequence[Case], begin: int, used: dict[int, float]) -> int:
        """Run cases from one on; return which is the next."""
        until = time.perf_counter() + SLICE
        for number in range(begin, len(cases)):
            case = cases[number]
            began = time.perf_counter()
            case.result = self._result(case) if used.get(case.account.id, 0.0) < BUDGET else _kept(case, _TOO_SLOW)
            ended = time.perf_counter()
            used[case.account.id] = used.get(case.account.id, 0.0) + ended - began
            SIEVE_SECONDS.observe(ended - began)
            SIEVE_RUNS.labels("error" if case.error else "ok").inc()
            if ended >= until:
                return number + 1
        return len(cases)

    def _result(self, case: Case) -> Result:
        scripts = case.suite.scripts
        for script in scripts:
            if isinstance(script, ScriptError):
                return _kept(case, script.errors[0])
        try:
            return run_sequence([s for s in scripts if not isinstance(s, ScriptError)], self._context(case))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the interpreter, the message has to arrive
            return _kept(case, SieveError(1, 1, f"internal error: {error!r}"))

    def _context(self, case: Case) -> Context:
        entry = case.route.entry
        surroundings = Surroundings(case.suite, case.account.address, self._hostname, case.now, case.remembers)
        return context_of(case.message, entry.envelope, case.route.recipient, surroundings, case.route.verdicts)

    async def _recall(self, cases: Sequence[Case]) -> list[Case]:
        """Look up what scripts asked for, and return those that have to run again."""
        asking = [
            (case, Key(case.account.id, Kind.DUPLICATE, key)) for case in cases for key in case.asked - case.known
        ]
        found = await self._memory.known([key for _, key in asking], self._now())
        again = []
        for case, key in asking:
            case.known.add(key.key)
            if found.get(key, case.claimant) != case.claimant:
                case.seen.add(key.key)
                if case not in again:
                    again.append(case)
        return again

    async def _claim(self, cases: Sequence[Case]) -> list[Case]:
        """Claim what scripts want to be the first of, and return those that have to run again."""
        wanted = [(case, claim) for case in cases for claim in case.claims()]
        won = await self._memory.claim([claim for _, claim in wanted], self._now())
        again = []
        for case, claim in wanted:
            if (claim.key, claim.claimant) in won:
                case.won.add(claim.key)
                continue
            case.lost.add(claim.key)
            if claim.key.kind is Kind.DUPLICATE:
                case.seen.add(claim.key.key)
                again.append(case)
        return again

    async def _note_errors(self, cases: Iterable[Case]) -> None:
        """Show users what went wrong, the last error of each account."""
        rows = {case.account.id: self._error_row(case, case.error) for case in cases if case.error is not None}
        if rows:
            await self._database.write_relaxed(_note, [rows[account] for account in sorted(rows)])

    def _error_row(self, case: Case, error: SieveError) -> dict[str, object]:
        return {
            "account_id": case.account.id,
            "at": self._now(),
            "entry": case.route.entry.id,
            "script": error.script,
            "line": error.line,
            "col": error.column,
            "message": printable(error.message[:MAX_ERROR]),
        }

    def _now(self) -> int:
        return int(self._clock() * 1_000_000)


_TOO_SLOW = SieveError(1, 1, f"the scripts took more than {BUDGET} s for messages that came together")


def _message(entry: Entry) -> Message:
    return Message(entry.message, parse_headers(entry.message[: find_header_end(entry.message)]))


def _kept(case: Case, error: SieveError) -> Result:
    original = Revision(case.message.data)
    return Result((Keep(original, implicit=True),), original, True, error, (), ("",))


def _note(rows: list[dict[str, object]]) -> Work[None]:
    yield sql.note_error.many(rows)
