"""From what a script decided to steps of a job: mailboxes, redirects, answers, notifications, refusals.

All that has to be durable before the transaction is made here: changed messages are journaled, children wait for
the courier.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from services.mda.children import Child, Children, Draft, Wish
from services.mda.failure import LOOP, Failure
from services.mda.routing import loops
from services.mda.sieving import Case
from services.mda.unparsed import unparsed
from shared.address import Address
from shared.ids import child_id
from shared.imap.flags import BadFlag, FlagSet, parse_flags
from shared.imap.mailbox_name import INBOX, UnusableMailboxName, check_new_name
from shared.mailbox.blobs import NewBlob
from shared.mailbox.job import Deliver, Outcome, Record, Step
from shared.message.envelope import DeliverBy, Envelope, Kind, Origin
from shared.message.rendered import Rendered, render
from shared.sieve.actions import DeliverBy as SieveDeliverBy
from shared.sieve.actions import (
    Discard,
    EReject,
    Fcc,
    FileInto,
    Keep,
    Mailto,
    Notify,
    Redirect,
    Reject,
    TrackDuplicate,
    Vacation,
)
from shared.sieve.addresses import mail_address
from shared.sieve.compose import compose_notification, compose_vacation
from shared.sieve.revision import Revision
from shared.smtp.transaction import MAX_BY_SECONDS

REFUSED_STATUS = "5.7.1"
EDITED = "edited"  # in the id of a changed message
COPY_OF_SENT = "fcc"  # begins the target of a copy that is filed
PYTHON = "python "  # begins the name of a filter that is no script
MAX_NOTIFIED = 20  # recipients of one notification

_NO_FLAGS = FlagSet()


@dataclass(slots=True)
class Changed:
    """A message that isn't the entry's and goes into a mailbox: it has a record of its own."""

    envelope: Envelope
    body: bytes
    rendered: Rendered
    blob: NewBlob | None = None


@dataclass(slots=True)
class Plan:
    """What becomes of a message for one account, ready for the transaction."""

    steps: list[Step] = field(default_factory=list)
    children: dict[str, Child] = field(default_factory=dict)
    changed: dict[str, Changed] = field(default_factory=dict)


class Acting:
    """Plans what scripts decided; one per process."""

    def __init__(self, children: Children) -> None:
        self._children = children

    async def plan(self, case: Case) -> Plan:
        """Return the steps and children of what was decided; JournalFull, JournalFailed."""
        plan, places = Plan(), list[Deliver]()
        for number, (action, by) in enumerate(case.actions):
            match action:
                case Keep() | FileInto():
                    places.append(await self._place(case, plan, action, by))
                case Redirect():
                    await self._redirect(case, plan, action, by)
                case Reject(reason) | EReject(reason):
                    await self._refuse(case, plan, reason, by)
                case Vacation():
                    await self._answer(case, plan, action, by)
                case Notify():
                    await self._notify(case, plan, action, by, number)
                case Discard() | TrackDuplicate():
                    pass
        self._settle(case, plan, places)
        return plan

    async def store_again(self, plan: Plan) -> None:
        """Journal changed messages anew whose records were rewritten."""
        for changed in plan.changed.values():
            await self._store(changed)
        plan.steps[:] = [_with_blobs(step, plan) if isinstance(step, Deliver) else step for step in plan.steps]

    def _settle(self, case: Case, plan: Plan, places: list[Deliver]) -> None:
        """Put the mailboxes into one step, and say what became of a message that none has."""
        recipient, target = case.route.recipient.address, case.account.address
        lost = [step for step in plan.steps if isinstance(step, Record) and step.outcome is Outcome.DROPPED]
        sent = [s for s in plan.steps if isinstance(s, Record) and s.outcome in (Outcome.REDIRECTED, *_REFUSED)]
        if not places and lost and not sent:
            places = [self._deliver(case, INBOX, None, f"{_filter(case.actions[-1][1])}: redirects in a loop, kept")]
        if places:
            places = _distinct(places)
            plan.steps.insert(0, replace(places[0], more=tuple(places[1:])))
        elif not sent:
            by = next((by for action, by in case.actions if isinstance(action, Discard)), "")
            plan.steps.append(Record(recipient, target, Outcome.DISCARDED, {"filter": _filter(by)}))

    # Mailboxes

    async def _place(self, case: Case, plan: Plan, action: Keep | FileInto, by: str) -> Deliver:
        blob = await self._changed(case, plan, action.message)
        if case.error is not None:
            name = case.route.mailbox(case.account)
            step = self._deliver(case, name, None, f"{_filter(case.error.script)}: {case.error}; kept")
        elif isinstance(action, Keep):
            name = case.route.mailbox(case.account) if action.implicit else INBOX
            step = self._deliver(case, name, action.flags, _filter(by))
        else:
            name = _mailbox(case, action)
            step = self._deliver(case, name, action.flags, _filter(by), action)
        return replace(step, blob=blob)

    def _deliver(
        self, case: Case, name: str, flags: Sequence[str] | None, by: str, how: FileInto | Fcc | None = None
    ) -> Deliver:
        known = _flags(flags or ())
        prefix = case.route.prefix
        account, create = case.account, how is not None and how.create and name != INBOX
        return Deliver(
            case.route.recipient.address,
            account.address,
            account.id,
            prefix,
            name,
            known.system,
            known.keywords,
            create,
            how.special_use if how is not None and create else "",
            filter=by,
        )

    async def _changed(self, case: Case, plan: Plan, revision: Revision) -> NewBlob | None:
        """Journal a message that the script changed; None for one as it came."""
        if not revision.changed:
            return None
        entry, body = case.route.entry, revision.render()
        identity = child_id(entry.id, EDITED, hashlib.sha256(body).hexdigest())
        envelope = Envelope(
            id=identity,
            sender=entry.envelope.sender,
            recipients=(),
            received_at=entry.envelope.received_at,
            kind=Kind.APPEND,
            parent=entry.id,
            message_id=entry.envelope.message_id,
            origin=Origin(service="mda"),
        )
        return await self._journaled(plan, envelope, body)

    async def _journaled(self, plan: Plan, envelope: Envelope, body: bytes) -> NewBlob:
        known = plan.changed.get(envelope.id)
        if known is None:
            known = Changed(envelope, body, await asyncio.to_thread(_rendered, body))
            plan.changed[envelope.id] = known
            await self._store(known)
        assert known.blob is not None
        return known.blob

    async def _store(self, changed: Changed) -> None:
        reference = await self._children.write(changed.envelope, changed.body)
        changed.blob = NewBlob(changed.envelope.id, reference, changed.rendered)

    # Messages of our own

    async def _redirect(self, case: Case, plan: Plan, action: Redirect, by: str) -> None:
        entry, recipient = case.route.entry, case.route.recipient
        target = mail_address(action.address)
        if target is None or loops(entry, recipient):
            detail = {"reason": str(LOOP), "filter": _filter(by)}
            plan.steps.append(Record(recipient.address, action.address, Outcome.DROPPED, detail))
            return
        body = action.message.render() if action.message.changed else None
        wish = Wish(action.notify, action.ret, _deadline(action.deliver_by, case))
        child = await self._children.redirect(entry, recipient, target, wish=wish, body=body)
        plan.children[child.id] = child
        detail = {"child": child.id, "filter": _filter(by)}
        plan.steps.append(Record(recipient.address, str(target), Outcome.REDIRECTED, detail))

    async def _refuse(self, case: Case, plan: Plan, reason: str, by: str) -> None:
        """RFC 5429 §2.1 and §2.2: it is too late for an SMTP reply, so a report tells the sender."""
        entry, recipient, target = case.route.entry, case.route.recipient, case.account.address
        failure = Failure(REFUSED_STATUS, " ".join(reason.split()) or "The recipient refuses the message")
        child = await self._children.bounce(entry, recipient, recipient.address, failure)
        detail = {"reason": str(failure), "filter": _filter(by)}
        if child is None:
            plan.steps.append(Record(recipient.address, target, Outcome.FAILED, detail))
            return
        plan.children[child.id] = child
        plan.steps.append(Record(recipient.address, target, Outcome.BOUNCED, {**detail, "child": child.id}))

    async def _answer(self, case: Case, plan: Plan, action: Vacation, by: str) -> None:
        target = mail_address(action.sender)
        if target is None:
            return
        draft = Draft(partial(_vacation, action))
        await self._send(case, plan, Kind.VACATION, [target], draft, Outcome.ANSWERED, by, action.fcc)

    async def _notify(self, case: Case, plan: Plan, action: Notify, by: str, number: int) -> None:
        targets = _recipients(action.mailto)
        if targets:
            draft = Draft(partial(_notification, action, case.account.address), str(number))
            await self._send(case, plan, Kind.NOTICE, targets, draft, Outcome.NOTIFIED, by, action.fcc)

    async def _send(
        self,
        case: Case,
        plan: Plan,
        kind: Kind,
        targets: Sequence[Address],
        draft: Draft,
        outcome: Outcome,
        by: str,
        fcc: Fcc | None,
    ) -> None:
        entry, recipient, account = case.route.entry, case.route.recipient, case.account.address
        children = await self._children.automatic(entry, recipient, kind, account, targets, draft)
        for child in children:
            plan.children[child.id] = child
            to = " ".join(one.address for one in child.envelope.recipients)
            detail = {"to": to, "child": child.id, "filter": _filter(by)}
            target = f"{kind}:{account}:{child.id}"
            plan.steps.append(Record(recipient.address, target, outcome, detail))
        if fcc is not None:
            await self._file(case, plan, children[0], fcc, by)

    async def _file(self, case: Case, plan: Plan, sent: Child, fcc: Fcc, by: str) -> None:
        """Keep a copy of what is sent (RFC 8580)."""
        envelope = replace(sent.envelope, id=child_id(sent.id, COPY_OF_SENT), recipients=(), kind=Kind.APPEND)
        blob = await self._journaled(plan, envelope, sent.body)
        flags = ("\\Seen",) if fcc.flags is None else fcc.flags
        step = self._deliver(case, _mailbox(case, fcc), flags, _filter(by), fcc)
        target = f"{COPY_OF_SENT}:{case.account.address}:{sent.id}"
        plan.steps.append(replace(step, target=target, prefix=b"", blob=blob))


_REFUSED = (Outcome.BOUNCED, Outcome.FAILED)


def _deadline(wanted: SieveDeliverBy | None, case: Case) -> DeliverBy | None:
    """RFC 6009 §6: a time from now on, or a moment."""
    if wanted is None:
        return None
    after = case.now + timedelta(seconds=min(wanted.relative or 0, MAX_BY_SECONDS))
    moment = datetime.fromisoformat(wanted.absolute) if wanted.absolute else after
    return DeliverBy(int(moment.timestamp() * 1_000_000), wanted.mode, wanted.trace)


def _vacation(action: Vacation, message_id: str, date: datetime) -> bytes:
    return compose_vacation(action, message_id=message_id, date=date)


def _notification(action: Notify, owner: str, message_id: str, date: datetime) -> bytes:
    return compose_notification(action, owner=owner, message_id=message_id, date=date)


def _recipients(mailto: Mailto) -> list[Address]:
    found = {address.key: address for text in (*mailto.to, *mailto.cc, *mailto.bcc) if (address := mail_address(text))}
    return list(found.values())[:MAX_NOTIFIED]


def _mailbox(case: Case, action: FileInto | Fcc) -> str:
    """Which mailbox is meant; the transaction takes INBOX where there is none such."""
    mailboxes = case.suite.mailboxes
    found = mailboxes.by_id(action.mailbox_id) if action.mailbox_id else None
    found = found or (mailboxes.special_use(action.special_use) if action.special_use else None)
    try:
        return found or check_new_name(action.mailbox)
    except UnusableMailboxName:
        return INBOX


def _flags(names: Sequence[str]) -> FlagSet:
    try:
        return parse_flags(name.encode("ascii") for name in names) if names else _NO_FLAGS
    except (BadFlag, UnicodeEncodeError):
        return _NO_FLAGS


def _distinct(places: list[Deliver]) -> list[Deliver]:
    """The same message isn't put twice into one mailbox, by whichever names it was called."""
    found: dict[tuple[str, str], Deliver] = {}
    for place in places:
        found.setdefault((place.mailbox, place.blob.entry if place.blob is not None else ""), place)
    return list(found.values())


def _with_blobs(step: Deliver, plan: Plan) -> Deliver:
    blob = plan.changed[step.blob.entry].blob if step.blob is not None else None
    return replace(step, blob=blob, more=tuple(_with_blobs(one, plan) for one in step.more))


def _filter(by: str) -> str:
    """How the ledger names the script or filter that decided, "" where none did."""
    return by if by.startswith(PYTHON) else f"sieve {by}" if by else ""


def _rendered(body: bytes) -> Rendered:
    try:
        return render(body)
    except Exception:  # noqa: BLE001 - as for any message: it has to arrive
        return unparsed(body)
