"""Scanners before the 250: milters beside the session, the others when the text is here.

The order is that of the operator's file: neighbours that only look are asked at once, milters one after the
other, each seeing the message as those before it left it. Without a file none of this is ever called.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from email.header import Header
from itertools import groupby
from pathlib import Path
from typing import Protocol

from services.mta.body import Body
from services.mta.client import Client, Role, Transaction
from services.mta.milters import SessionMilters, Told
from services.mta.replies import MAX_REPLY_TEXT
from shared.errors import MailFailure, PermanentFailure, TemporaryFailure
from shared.filters.breaker import Breaker
from shared.filters.configuration import MilterConfig, Place, ScannerConfig
from shared.filters.fields import apply, told, without_ours
from shared.filters.hostname import ClientNames
from shared.filters.panel import UNAVAILABLE, Panel, down, make_panel
from shared.filters.parcel import Parcel
from shared.filters.verdict import decisive
from shared.journal.record import LargeFile
from shared.journal.reference import large_path
from shared.journal.writer import LargeUpload
from shared.message.envelope import Envelope, Lane, Recipient
from shared.message.header import find_header_end
from shared.message.verdict import Action, Change, HeaderChange, Verdict

REFUSED = "The message is refused"
SPAM_REFUSED = "The message is refused as spam"


@dataclass(slots=True)
class Draft:
    """A message on its way through the scanners: header and beginning of the body, then perhaps a file."""

    envelope: Envelope
    content: bytes
    large: LargeFile | None
    listener: str
    verdicts: list[Verdict] = field(default_factory=list)
    changes: list[HeaderChange] = field(default_factory=list)  # of scanners that only look

    def parcel(self, root: Path) -> Parcel:
        """Return what a scanner is given."""
        envelope, large = self.envelope, self.large
        origin = envelope.origin
        return Parcel(
            envelope.id,
            envelope.sender,
            tuple(recipient.address for recipient in envelope.recipients),
            self.content,
            large_path(root, large.name) if large is not None else None,
            large.size if large is not None else 0,
            ip=origin.ip,
            helo=origin.helo,
            account=origin.account,
            listener=self.listener,
            tls=origin.tls,
        )


class Lanes(Protocol):
    """Finds the lane of a recipient that a milter adds."""

    async def place(self, address: str) -> Recipient | None: ...


class Screening:
    """All that looks at mail before it is accepted, in the order of `configs`; one per worker process."""

    def __init__(
        self,
        configs: Sequence[ScannerConfig],
        hostname: str,
        root: Path,
        begin_upload: Callable[[str], LargeUpload],
        lanes: Lanes,
        size_limit: int,
        names: ClientNames | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._steps = list(_steps(configs, hostname, names))
        self._milters = [(step, Breaker(clock)) for step in self._steps if isinstance(step, MilterConfig)]
        self._hostname = hostname
        self._names = names
        self._root = root
        self._begin_upload = begin_upload
        self._lanes = lanes
        self._size_limit = size_limit

    def milters_for(self, client: Client) -> SessionMilters | None:
        """Return the conversations that a session has with milters, none of them begun; None without milters."""
        chosen = [(config, breaker) for config, breaker in self._milters if client.role.value in config.listeners]
        return SessionMilters(chosen, self._hostname, client, self._names) if chosen else None

    async def examine(
        self, client: Client, transaction: Transaction, envelope: Envelope, content: bytes, large: LargeFile | None
    ) -> tuple[Envelope, bytes, LargeFile | None]:
        """Ask them all; return the message as it is to be journaled, or raise the refusal."""
        draft = Draft(envelope, content, large, client.role.value)
        try:
            for step in self._steps:
                if isinstance(step, MilterConfig):
                    await self._ask_milter(step, transaction, draft)
                else:
                    said = await step.ask(draft.parcel(self._root))
                    draft.verdicts += said
                    draft.changes += [change for verdict in said for change in verdict.changes]
                _refuse(draft, client.role)
            self._finish(client, draft)
        except BaseException:
            await self._forget(draft.large)
            raise
        if draft.large is not large:
            await self._forget(large)
        return draft.envelope, draft.content, draft.large

    async def close(self) -> None:
        """Give up connections."""
        for step in self._steps:
            if isinstance(step, Panel):
                await step.close()

    def _finish(self, client: Client, draft: Draft) -> None:
        """Put on record what was said, and change the header."""
        verdicts = draft.verdicts
        header_end = find_header_end(draft.content)
        header, rest = draft.content[:header_end], draft.content[header_end:]
        if client.role is Role.MX:
            header = without_ours(header)
        changes = draft.changes + [
            HeaderChange(Change.CHANGE, "Subject", _encoded(verdict.subject), 1)
            for verdict in verdicts
            if verdict.subject
        ]
        draft.content = told(verdicts) + apply(header, changes) + rest
        recipients = draft.envelope.recipients
        verdict = decisive(verdicts)
        if verdict is not None and verdict.action is Action.DISCARD:  # the mda puts it on record
            recipients = tuple(replace(recipient, lane=Lane.DELIVERY) for recipient in recipients)
        recorded = tuple(verdict.recorded() for verdict in verdicts)
        draft.envelope = replace(draft.envelope, recipients=recipients, verdicts=recorded)

    async def _ask_milter(self, config: MilterConfig, transaction: Transaction, draft: Draft) -> None:
        milters = transaction.milters
        if milters is None or not milters.has(config):
            return
        body = Body(lambda: self._begin_upload(draft.envelope.id), self._size_limit)
        header_end = find_header_end(draft.content)
        said = await milters.message(
            config, draft.content[:header_end], _body(draft.parcel(self._root), header_end), body
        )
        if said is None:
            return
        try:
            await self._take(config, said, body, draft, header_end)
        except BaseException:
            await body.discard()
            raise

    async def _take(self, config: MilterConfig, said: Told, body: Body, draft: Draft, header_end: int) -> None:
        """Make a milter's changes."""
        if said.replaced:
            try:
                text = await body.finish()
            except PermanentFailure as failure:
                draft.verdicts.append(down(config, f"its new body: {failure.text}"))
                return
            old = draft.large
            draft.content, draft.large = draft.content[:header_end] + text.head, text.large
            await self._forget(old)
        header_end = find_header_end(draft.content)
        draft.content = apply(draft.content[:header_end], said.changes) + draft.content[header_end:]
        if said.sender is not None:
            draft.envelope = replace(draft.envelope, sender=said.sender)
        verdict = said.verdict
        if said.added or said.deleted:
            recipients = await self._recipients(draft.envelope.recipients, said)
            if recipients:
                draft.envelope = replace(draft.envelope, recipients=recipients)
            else:
                verdict = replace(verdict, action=Action.DISCARD, reason="no recipients are left")
        draft.verdicts.append(verdict)

    async def _recipients(self, recipients: Iterable[Recipient], said: Told) -> tuple[Recipient, ...]:
        gone = {address.lower() for address in said.deleted}
        kept = {r.address.lower(): r for r in recipients if r.address.lower() not in gone}
        for address in said.added:
            recipient = await self._lanes.place(address) if address.lower() not in kept else None
            if recipient is not None:
                kept[address.lower()] = recipient
        return tuple(kept.values())

    async def _forget(self, large: LargeFile | None) -> None:
        """Remove a file that no record will name."""
        if large is not None:
            await asyncio.shield(asyncio.to_thread(large_path(self._root, large.name).unlink, missing_ok=True))


def _steps(
    configs: Sequence[ScannerConfig], hostname: str, names: ClientNames | None
) -> Iterable[MilterConfig | Panel]:
    for is_milter, group in groupby(configs, lambda config: isinstance(config, MilterConfig)):
        if is_milter:
            yield from (config for config in group if isinstance(config, MilterConfig))
        else:
            yield make_panel(list(group), Place.MTA, hostname, names)


async def _body(parcel: Parcel, header_end: int) -> AsyncIterator[bytes]:
    """Yield what follows the header."""
    left = header_end
    async for piece in parcel.pieces():
        if left >= len(piece):
            left -= len(piece)
            continue
        yield piece[left:]
        left = 0


def _refuse(draft: Draft, role: Role) -> None:
    """Raise the refusal that the most severe verdict asks for, if it does."""
    verdict = decisive(draft.verdicts)
    if verdict is None:
        return
    action = verdict.action
    leaves = any(recipient.lane is Lane.RELAY for recipient in draft.envelope.recipients)
    if action is Action.QUARANTINE and (role is Role.SUBMISSION or leaves):  # its sender is here, and can be told
        action = Action.TEMPFAIL if verdict.failed else Action.REJECT
    if action is Action.REJECT:
        raise refusal(verdict, PermanentFailure, 550, "5.7.1")
    if action in (Action.TEMPFAIL, Action.GREYLIST):
        raise refusal(verdict, TemporaryFailure, 451, "4.3.2" if verdict.failed else "4.7.1")


def refusal(verdict: Verdict, kind: type[MailFailure], code: int, status: str) -> MailFailure:
    """Return a verdict as the failure that refuses; what is down is the operator's business, not the client's."""
    text = UNAVAILABLE if verdict.failed else verdict.reason
    if not text:
        text = SPAM_REFUSED if verdict.kind in ("rspamd", "spamassassin") else REFUSED
    if verdict.code // 100 == code // 100:
        code = verdict.code
    if verdict.status[:1] == status[:1]:
        status = verdict.status
    return kind(text[:MAX_REPLY_TEXT], code=code, status=status)


def _encoded(subject: str) -> bytes:
    """Return a Subject as a header has it; what is ASCII is encoded already, if it needs to be."""
    subject = " ".join(subject.split())
    text = subject if subject.isascii() else Header(subject, "utf-8", header_name="Subject").encode(linesep="\r\n")
    return text.encode("ascii")
