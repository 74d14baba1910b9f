"""Python filters of a batch: each message before each filter, for each account; what they want as values.

Filters run in processes of their own (shared/filters/folder.py). One that fails has its file's policy: the message
goes on without it, waits, or is kept back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from services.mda.routing import Route
from services.mda.sieving import Case
from shared.directory import Account
from shared.filters.api import FINAL
from shared.filters.fields import field_of
from shared.filters.folder import FilterFolder, PythonFilter
from shared.filters.process import FilterError
from shared.filters.verdict import spam_percent
from shared.message.envelope import Kind
from shared.message.verdict import Action as Verdicted
from shared.message.verdict import Verdict
from shared.metrics import SCANNER_OUTCOMES
from shared.operations.suites import Suite
from shared.sieve import Message, Result
from shared.sieve.actions import Action, Discard, FileInto, Keep, Redirect, Reject
from shared.sieve.revision import Revision

MAX_MESSAGE = 64 * 1024 * 1024  # octets; longer ones pass unfiltered
MAX_ADDED = 32 * 1024  # octets of fields that filters add to one copy
FILTERED = (Kind.MESSAGE,)


@dataclass(slots=True)
class Filtered:
    """What filters want of a batch."""

    decided: list[Case] = field(default_factory=list)  # for good: no script is asked
    suspects: list[tuple[Route, Verdict]] = field(default_factory=list)
    late: list[Route] = field(default_factory=list)  # wait for a filter that fails


class Filtering:
    """Asks the filters; without a folder nobody."""

    def __init__(self, folder: FilterFolder | None) -> None:
        self._folder = folder

    async def decide(self, routes: Sequence[Route]) -> Filtered:
        """Return what the filters want; a route is in one of the lists at most, but for decisions of accounts."""
        filtered = Filtered()
        filters = await self._folder.filters() if self._folder is not None and routes else []
        if filters:
            chosen = [route for route in routes if _is_filtered(route)]
            await asyncio.gather(*(self._route(filters, route, filtered) for route in chosen))
        return filtered

    async def _route(self, filters: Sequence[PythonFilter], route: Route, filtered: Filtered) -> None:
        for account in route.receiving:
            verdict = await self._account(filters, route, account, filtered)
            if verdict is not None:
                filtered.decided = [case for case in filtered.decided if case.route is not route]
                if verdict.action is Verdicted.TEMPFAIL:
                    filtered.late.append(route)
                else:
                    filtered.suspects.append((route, verdict))
                return

    async def _account(
        self, filters: Sequence[PythonFilter], route: Route, account: Account, filtered: Filtered
    ) -> Verdict | None:
        """Ask one filter after the other; return why the message can't go on, if it can't."""
        for one in filters:
            if one.crew is None or not one.crew.description.concerns(account.address):
                continue
            try:
                assert self._folder is not None
                done = await self._folder.run(one, _facts(route, account), route.entry.message)
                wanted = [_checked(action) for action in done]
            except FilterError as error:
                SCANNER_OUTCOMES.labels(one.name, "failed").inc()
                verdict = _failed(one, error)
                if verdict.action is not Verdicted.NONE:
                    return verdict
                route.scanned += (verdict,)
                continue
            SCANNER_OUTCOMES.labels(one.name, str(wanted[-1]["do"]) if wanted else "none").inc()
            for action in wanted:
                if action["do"] == "quarantine":
                    return Verdict(one.name, Verdicted.QUARANTINE, kind="python", reason=action["reason"])
                _note(one, route, action)
            if any(action["do"] in FINAL for action in wanted):
                filtered.decided.append(_case(one, route, account, wanted))
                return None
        return None


def _is_filtered(route: Route) -> bool:
    return route.entry.envelope.kind in FILTERED and len(route.entry.message) <= MAX_MESSAGE


def _facts(route: Route, account: Account) -> dict[str, Any]:
    envelope, verdicts = route.entry.envelope, route.verdicts
    return {
        "entry": envelope.id,
        "sender": envelope.sender,
        "recipient": route.recipient.address,
        "account": account.address,
        "ip": envelope.origin.ip,
        "helo": envelope.origin.helo,
        "spam_percent": spam_percent(verdicts),
        "virus": next((verdict.virus for verdict in verdicts if verdict.virus), ""),
    }


_FORMS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "keep": {"flags": list},
    "fileinto": {"mailbox": str, "flags": list, "create": bool, "copy": bool},
    "redirect": {"address": str, "copy": bool},
    "discard": {},
    "reject": {"reason": str},
    "junk": {"reason": str, "score": (int, float, type(None))},
    "quarantine": {"reason": str},
    "addheader": {"name": str, "value": str},
}


def _checked(action: Any) -> dict[str, Any]:
    """Return an action whose values are what they should be; FilterError."""
    form = _FORMS.get(action.get("do", "")) if isinstance(action, dict) else None
    if form is None or any(not isinstance(action.get(name), kind) for name, kind in form.items()):
        raise FilterError(f"an action that makes no sense: {str(action)[:200]}")
    if not all(isinstance(flag, str) for flag in action.get("flags", ())):
        raise FilterError("flags are texts")
    return dict(action)


def _note(one: PythonFilter, route: Route, action: dict[str, Any]) -> None:
    """Do what doesn't decide where the message goes."""
    if action["do"] == "junk":
        verdict = Verdict(one.name, Verdicted.TAG, kind="python", score=action["score"], reason=action["reason"])
        route.scanned += (verdict,)
    elif action["do"] == "addheader":
        added = field_of(action["name"], action["value"].encode("utf-8", "replace"))
        if len(route.added) + len(added) <= MAX_ADDED:
            route.added += added


def _case(one: PythonFilter, route: Route, account: Account, wanted: Sequence[dict[str, Any]]) -> Case:
    """Return a decision as a script's would be."""
    message = Message(route.entry.message)
    actions = tuple(_action(action, message) for action in wanted if action["do"] in FINAL)
    if all(isinstance(action, FileInto | Redirect) and action.copy for action in actions):
        actions += (Keep(Revision(message.data), implicit=True),)
    result = Result(actions, Revision(message.data), False, None, (), (f"python {one.name}",) * len(actions))
    return Case(route, account, Suite(()), message, result=result)


def _action(action: dict[str, Any], message: Message) -> Action:
    original = Revision(message.data)
    flags = tuple(action.get("flags", ())) or None
    match action["do"]:
        case "keep":
            return Keep(original, flags)
        case "fileinto":
            return FileInto(action["mailbox"], original, flags, copy=action["copy"], create=action["create"])
        case "redirect":
            return Redirect(action["address"], original, copy=action["copy"])
        case "reject":
            return Reject(action["reason"])
        case _:
            return Discard()


def _failed(one: PythonFilter, error: FilterError) -> Verdict:
    policy = one.crew.description.policy if one.crew is not None else "skip"
    action = {"tempfail": Verdicted.TEMPFAIL, "hold": Verdicted.QUARANTINE}.get(policy, Verdicted.NONE)
    return Verdict(one.name, action, kind="python", reason=f"the filter {one.name} fails: {error}", failed=True)
