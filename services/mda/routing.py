"""What is to become of a recipient: deliveries, redirects, bounces, as a job for the batch transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from services.mda.children import Child, Children
from services.mda.entry import Entry
from services.mda.failure import DISABLED, LATE, LOOP, UNKNOWN, Failure
from services.mda.handing import handovers
from shared.address import Address
from shared.directory import Account, Expansion
from shared.imap.mailbox_name import INBOX
from shared.mailbox.blobs import NewBlob
from shared.mailbox.job import Deliver, Job, Outcome, Record, Step
from shared.message.compose import delivered_to_header, return_path_header
from shared.message.envelope import Recipient
from shared.message.verdict import Verdict
from shared.operations.origin import origin_json
from shared.operations.targets import Target

if TYPE_CHECKING:
    from services.mda.acting import Plan

MAX_HOPS = 10  # redirects that one message may go through here
MAX_RECEIVED = 100  # Received fields (RFC 5321 §6.3)


@dataclass(slots=True)
class Route:
    """A recipient's job and the children that have to be durable before it is committed."""

    entry: Entry
    recipient: Recipient
    expansion: Expansion
    refused: dict[str, Failure] = field(default_factory=dict)  # what the transaction found out
    job: Job | None = None
    children: dict[str, Child] = field(default_factory=dict)  # by id
    waited: bool = False
    plans: dict[int, Plan] = field(default_factory=dict)  # what scripts decided, by account
    junk: dict[int, str] = field(default_factory=dict)  # of spam: each account's mailbox for it
    scanned: tuple[Verdict, ...] = ()  # what Python filters said of it for this recipient
    added: bytes = b""  # header fields that they add to this recipient's copy
    targets: Mapping[int, Target] = field(default_factory=dict)  # of accounts whose mail goes elsewhere

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What scanners and filters said."""
        return (*self.entry.verdicts, *self.scanned)

    @property
    def receiving(self) -> list[Account]:
        """The accounts that it leads to."""
        return [account for account in self.expansion.accounts if account.enabled]

    @property
    def prefix(self) -> bytes:
        """The fields that this recipient's copy begins with."""
        return _prefix(self.entry.envelope.sender, self.recipient.address) + self.added + self.entry.added

    def mailbox(self, account: Account) -> str:
        """Where an account gets it if nothing says otherwise."""
        return self.junk.get(account.id, INBOX)


class Router:
    """Turns where an address leads into steps; it decides, and does nothing itself."""

    def __init__(self, children: Children, *, clock: Callable[[], float] = time.time) -> None:
        self._children = children
        self._clock = clock

    async def plan(self, route: Route) -> Job:
        """Fill in a route's job and children; again after something was refused."""
        route.children.clear()
        late = self._is_late(route)
        steps = [] if late else [step for account in route.receiving for step in self._steps(route, account)]
        steps = [self._elsewhere(route, step) for step in steps]
        forwards = () if late else self._forwards(route)
        steps += [await self._redirect(route, target) for target in forwards]
        failures = {route.recipient.address: LATE} if late else _failures(route, delivered=bool(steps))
        for target, failure in failures.items():
            steps.append(await self._bounce(route, target, failure))
        await self._confirm(route, steps)
        steps += _dropped(route, forwards, failures)
        envelope = route.entry.envelope
        route.job = Job(
            blob=NewBlob(envelope.id, route.entry.reference, route.entry.rendered),
            sender=envelope.sender,
            steps=_distinct(steps),
            internal_date=envelope.received_at // 1_000_000,
            message_id=envelope.message_id or route.entry.rendered.message_id,
            waited=route.waited,
            origin=origin_json(envelope, (*route.entry.scanned, *route.scanned)),
        )
        return route.job

    def _steps(self, route: Route, account: Account) -> list[Step]:
        """What scripts decided for an account, or its INBOX; without what the transaction refused."""
        plan = route.plans.get(account.id)
        if plan is None:
            steps: list[Step] = [
                Deliver(route.recipient.address, account.address, account.id, route.prefix, route.mailbox(account))
            ]
        else:
            steps = plan.steps
            route.children |= plan.children
        return [step for step in steps if not (isinstance(step, Deliver) and step.target in route.refused)]

    def _elsewhere(self, route: Route, step: Step) -> Step:
        """Let an entry of its own take a delivery to where the account has its mail."""
        if not isinstance(step, Deliver) or step.target not in _addresses(route):
            return step  # also copies of what an account's script sends: they stay in its mailboxes here
        target = route.targets.get(step.account_id)
        if target is None:
            return step
        plan = route.plans.get(step.account_id)
        bodies = {name: changed.body for name, changed in plan.changed.items()} if plan is not None else {}
        children = handovers(route.entry, route.recipient, step, bodies)
        route.children |= {child.id: child for child in children}
        detail = {"to": str(target), "child": " ".join(child.id for child in children)}
        if step.filter:
            detail["filter"] = step.filter
        return Record(step.recipient, step.target, Outcome.HANDED, detail)

    def _is_late(self, route: Route) -> bool:
        """Whether it was to be returned if it didn't come in time (RFC 2852 §4.1)."""
        by = route.entry.envelope.deliver_by
        return by is not None and by.returns and by.seconds_left(self._clock()) < 0

    def _forwards(self, route: Route) -> tuple[Address, ...]:
        return () if route.expansion.forwards and loops(route.entry, route.recipient) else route.expansion.forwards

    async def _redirect(self, route: Route, target: Address) -> Record:
        child = await self._children.redirect(route.entry, route.recipient, target)
        route.children[child.id] = child
        return Record(route.recipient.address, str(target), Outcome.REDIRECTED, {"child": child.id})

    async def _bounce(self, route: Route, target: str, failure: Failure) -> Record:
        child = await self._children.bounce(route.entry, route.recipient, target, failure)
        if child is None:
            return Record(route.recipient.address, target, Outcome.FAILED, {"reason": str(failure)})
        route.children[child.id] = child
        detail = {"reason": str(failure), "child": child.id}
        return Record(route.recipient.address, target, Outcome.BOUNCED, detail)

    async def _confirm(self, route: Route, steps: list[Step]) -> None:
        """Report success where it was asked for, if anybody got the message."""
        delivered = any(isinstance(step, Deliver) and step.target in _addresses(route) for step in steps)
        if not delivered and not any(isinstance(s, Record) and s.outcome is Outcome.REDIRECTED for s in steps):
            return
        child = await self._children.success(route.entry, route.recipient, expanded=not delivered)
        if child is not None:
            route.children[child.id] = child


@lru_cache(maxsize=1024)
def _prefix(sender: str, recipient: str) -> bytes:
    """Return the fields that a recipient's copy begins with (RFC 5321 §4.4)."""
    return return_path_header(sender) + delivered_to_header(recipient)


def loops(entry: Entry, recipient: Recipient) -> bool:
    """Whether the message was sent on from here before, or has come too far."""
    if entry.envelope.hops >= MAX_HOPS or len(entry.header_values(b"received")) > MAX_RECEIVED:
        return True
    key = recipient.address.lower()
    return any(value.lower() == key for value in entry.header_values(b"delivered-to"))


def _addresses(route: Route) -> set[str]:
    return {account.address for account in route.expansion.accounts}


def _distinct(steps: list[Step]) -> tuple[Step, ...]:
    """One step for each target: the ledger has one row for it."""
    first: dict[str, Step] = {}
    for step in sorted(steps, key=lambda step: not isinstance(step, Deliver)):
        first.setdefault(step.target, step)
    return tuple(first.values())


def _failures(route: Route, *, delivered: bool) -> Mapping[str, Failure]:
    """Return the targets that can't have the message; the recipient itself if it leads nowhere."""
    expansion = route.expansion
    failures = {account.address: DISABLED for account in expansion.accounts if not account.enabled}
    failures |= {str(address): UNKNOWN for address in expansion.unknown}
    addresses = _addresses(route)
    failures |= {target: failure for target, failure in route.refused.items() if target in addresses}
    if not delivered and not failures:
        lost = expansion.cut or expansion.forwards
        failures[route.recipient.address] = LOOP if lost else UNKNOWN
    return failures


def _dropped(route: Route, forwards: tuple[Address, ...], failures: Mapping[str, Failure]) -> list[Step]:
    """Put on record the forwards that would go round in a loop, where others got the message."""
    targets = [str(target) for target in route.expansion.forwards if target not in forwards]
    if not targets or route.recipient.address in failures:
        return []
    return [Record(route.recipient.address, target, Outcome.DROPPED, {"reason": str(LOOP)}) for target in targets]
