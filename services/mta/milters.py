"""One SMTP session's conversations with its milters.

They begin with the first MAIL, so that a connection which sends nothing costs them nothing: what a milter says of
the client's address or greeting is the reply to MAIL. The message's changes are collected as values.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import structlog

from services.mta.body import Body
from services.mta.client import Client
from services.mta.commands import Mail
from shared.errors import MailFailure, PermanentFailure, TemporaryFailure
from shared.filters.breaker import Breaker
from shared.filters.configuration import MilterConfig, WhenDown
from shared.filters.failure import ScanFailed
from shared.filters.hostname import ClientNames
from shared.filters.milter import Answered, Ending, MilterConversation
from shared.filters.panel import UNAVAILABLE, down
from shared.message.header import iterate_fields
from shared.message.verdict import Action, Change, HeaderChange, Verdict
from shared.metrics import SCANNER_BREAKER, SCANNER_OUTCOMES, SCANNER_SECONDS
from shared.milter.reply import (
    AddField,
    AddRecipient,
    Answer,
    ChangeField,
    ChangeSender,
    DeleteRecipient,
    InsertField,
    Quarantine,
    ReplyCode,
)

REFUSED = "Refused by local policy"

log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(slots=True)
class Told:
    """What a milter says of a whole message."""

    verdict: Verdict
    changes: list[HeaderChange] = field(default_factory=list)
    replaced: bool = False
    sender: str | None = None
    added: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Line:
    """One milter, as this session knows it."""

    config: MilterConfig
    breaker: Breaker
    conversation: MilterConversation | None = None
    refusal: Answered | None = None  # of the connection
    accepted: bool = False  # the connection, whatever comes
    failure: Verdict | None = None  # it can't be asked: for the rest of the session
    mail: Answered = Answer.CONTINUE  # what it said of this message, if that decides
    busy: bool = False  # it was told of a message that has not ended

    @property
    def listens(self) -> bool:
        """Whether it is told what comes next."""
        return self.conversation is not None and self.mail is Answer.CONTINUE and not self.accepted


class SessionMilters:
    """Tells each milter what happens; a refusal is a MailFailure, for the command that it is about."""

    def __init__(
        self,
        milters: Sequence[tuple[MilterConfig, Breaker]],
        hostname: str,
        client: Client,
        names: ClientNames | None = None,
    ) -> None:
        self._lines = [_Line(config, breaker) for config, breaker in milters]
        self._hostname = hostname
        self._client = client
        self._names = names
        self._named: set[str] = set()  # recipients of this message that were told

    def has(self, config: MilterConfig) -> bool:
        """Whether it listens to this session."""
        return any(line.config is config for line in self._lines)

    async def mail(self, mail: Mail, entry: str) -> None:
        """Tell that a message begins."""
        self._named.clear()
        client, sender = self._client, str(mail.sender or "")
        macros = {
            "i": entry,
            "mail_addr": sender,
            "mail_host": sender.rpartition("@")[2],
            "auth_authen": client.account.address if client.account is not None else "",
            "auth_type": "LOGIN" if client.account is not None else "",
        }
        parameters = [*(["BODY=8BITMIME"] if mail.eight_bit else []), *(["SMTPUTF8"] if mail.smtputf8 else [])]
        if mail.size:
            parameters.append(f"SIZE={mail.size}")
        for line in self._lines:
            line.mail = Answer.CONTINUE
            await self._begin(line)
            if line.listens:
                conversation = line.conversation
                assert conversation is not None
                if line.busy:  # the message before was forgotten
                    await self._asked(line, conversation.abort())
                line.busy = True
                answer = await self._asked(line, conversation.mail(sender, parameters, macros))
                self._heed(line, answer)

    async def rcpt(self, recipient: str) -> None:
        """Tell a recipient, once."""
        if recipient in self._named:
            return
        macros = {"rcpt_addr": recipient, "rcpt_host": recipient.rpartition("@")[2]}
        for line in self._lines:
            if line.listens:
                conversation = line.conversation
                assert conversation is not None
                answer = await self._asked(line, conversation.rcpt(recipient, [], macros))
                if answer in (Answer.ACCEPT, Answer.DISCARD):
                    line.mail = answer or Answer.CONTINUE
                elif (failure := _refusal(answer)) is not None:
                    SCANNER_OUTCOMES.labels(line.config.name, Action.REJECT.value).inc()
                    raise failure
        self._named.add(recipient)

    async def message(
        self, config: MilterConfig, header: bytes, body: AsyncIterator[bytes], new_body: Body
    ) -> Told | None:
        """Tell the text, return what the milter makes of it, None for nothing; a new body goes to `new_body`."""
        line = next(line for line in self._lines if line.config is config)
        if line.failure is not None:
            return Told(line.failure)
        if line.mail is Answer.DISCARD:
            return Told(self._verdict(line, Answer.DISCARD))
        if not line.listens or line.conversation is None:
            return None
        began = time.monotonic()
        answer = await self._asked(line, line.conversation.data({}))
        ending = Ending(answer or Answer.CONTINUE)
        if answer is Answer.CONTINUE:
            fields = [(one.name, one.value.rstrip(b"\r\n")) for one in iterate_fields(header)]
            told = await self._asked(line, line.conversation.message(fields, body, {}, new_body.write))
            ending = told or ending
        line.busy = False
        SCANNER_SECONDS.labels(config.name).observe(time.monotonic() - began)
        if line.failure is not None:
            return Told(line.failure)
        return self._told(line, ending)

    def hang_up(self) -> None:
        """End the session."""
        for line in self._lines:
            if line.conversation is not None:
                line.conversation.quit()
                line.conversation = None

    async def _begin(self, line: _Line) -> None:
        """Open a conversation and introduce the client, once for the session."""
        if line.conversation is None and not line.accepted and line.failure is None:
            if not line.breaker.allows():
                SCANNER_OUTCOMES.labels(line.config.name, "down").inc()
                line.failure = down(line.config, "it keeps failing")
            else:
                line.conversation = await self._asked(line, MilterConversation.open(line.config))
                await self._introduce(line)
        if line.failure is not None and line.failure.action is Action.TEMPFAIL:
            raise TemporaryFailure(UNAVAILABLE, code=451, status="4.3.2")
        if line.refusal is not None:
            raise _refusal(line.refusal) or TemporaryFailure(REFUSED, status="4.7.1")

    async def _introduce(self, line: _Line) -> None:
        client, conversation = self._client, line.conversation
        if conversation is None:
            return
        name = (await self._names.of(client.ip) if self._names is not None else "") or f"[{client.ip}]"
        macros = {
            "j": self._hostname,
            "daemon_name": line.config.daemon_name,
            "daemon_addr": "",
            "v": "Packetboat",
            "_": f"{name} [{client.ip}]" if name[0] != "[" else name,
            "client_addr": client.ip,
            "client_name": name,
            "tls_version": client.tls.partition(" ")[0],
            "cipher": client.tls.partition(" ")[2],
            **line.config.macros,
        }
        answer = await self._asked(line, conversation.connect(name, client.ip, 0, macros))
        if answer is Answer.CONTINUE:
            answer = await self._asked(line, conversation.helo(client.helo, macros))
        if answer is Answer.ACCEPT:
            line.accepted = True
        elif answer not in (None, Answer.CONTINUE):
            line.refusal = answer

    def _heed(self, line: _Line, answer: Answered | None) -> None:
        if answer in (Answer.ACCEPT, Answer.DISCARD):
            line.mail = answer or Answer.CONTINUE
        elif (failure := _refusal(answer)) is not None:
            SCANNER_OUTCOMES.labels(line.config.name, Action.REJECT.value).inc()
            raise failure

    async def _asked(self, line: _Line, work: Awaitable[T]) -> T | None:
        """Await an answer; None when the milter fails, after which it has its policy for the rest of the session."""
        try:
            answer = await work
        except ScanFailed as failure:
            log.warning("scanner failed", scanner=line.config.name, error=str(failure))
            line.breaker.failed()
            SCANNER_OUTCOMES.labels(line.config.name, "failed").inc()
            SCANNER_BREAKER.labels(line.config.name).set(line.breaker.state)
            line.failure = down(line.config, str(failure))
            if line.conversation is not None:
                line.conversation.abandon()
                line.conversation = None
            if line.config.when_down is WhenDown.TEMPFAIL:
                raise TemporaryFailure(UNAVAILABLE, code=451, status="4.3.2") from None
            return None
        except BaseException:
            line.breaker.gave_up()
            if line.conversation is not None:
                line.conversation.abandon()
                line.conversation = None
            raise
        line.breaker.succeeded()
        SCANNER_BREAKER.labels(line.config.name).set(line.breaker.state)
        return answer

    def _told(self, line: _Line, ending: Ending) -> Told:
        told = Told(self._verdict(line, ending.answer), replaced=ending.replaced)
        notes = ["the body"] if ending.replaced else []
        for modification in ending.modifications:
            match modification:
                case AddField(name, value):
                    told.changes.append(HeaderChange(Change.ADD, name, value))
                    notes.append(f"+{name}")
                case InsertField(index, name, value):
                    told.changes.append(HeaderChange(Change.INSERT, name, value, index))
                    notes.append(f"+{name}")
                case ChangeField(index, name, value):
                    change = Change.CHANGE if value else Change.REMOVE
                    told.changes.append(HeaderChange(change, name, value, max(index, 1)))
                    notes.append(f"{'=' if value else '-'}{name}")
                case AddRecipient(address, _):
                    told.added.append(address)
                    notes.append(f"+<{address}>")
                case DeleteRecipient(address):
                    told.deleted.append(address)
                    notes.append(f"-<{address}>")
                case ChangeSender(address, _):
                    told.sender = address
                    notes.append(f"from <{address}>")
                case Quarantine(reason):
                    told.verdict = Verdict(line.config.name, Action.QUARANTINE, kind="milter", reason=reason)
        if notes and not told.verdict.reason:
            told.verdict = replace(told.verdict, reason=f"changed: {' '.join(notes)}")
        return told

    def _verdict(self, line: _Line, answer: Answered) -> Verdict:
        name = line.config.name
        match answer:
            case ReplyCode(code, status, text):
                action = Action.REJECT if code >= 500 else Action.TEMPFAIL
                verdict = Verdict(name, action, kind="milter", reason=text, code=code, status=status)
            case Answer.REJECT:
                verdict = Verdict(name, Action.REJECT, kind="milter", reason=REFUSED)
            case Answer.TEMPFAIL | Answer.CONNECTION_FAILURE:
                verdict = Verdict(name, Action.TEMPFAIL, kind="milter", reason=REFUSED)
            case Answer.DISCARD:
                verdict = Verdict(name, Action.DISCARD, kind="milter")
            case _:
                verdict = Verdict(name, kind="milter")
        SCANNER_OUTCOMES.labels(name, verdict.action.value).inc()
        return verdict


def _refusal(answer: Answered | None) -> MailFailure | None:
    match answer:
        case ReplyCode(code, status, text) if code >= 500:
            return PermanentFailure(text or REFUSED, code=code, status=status or "5.7.1")
        case ReplyCode(code, status, text):
            return TemporaryFailure(text or REFUSED, code=code, status=status or "4.7.1")
        case Answer.REJECT:
            return PermanentFailure(REFUSED, code=550, status="5.7.1")
        case Answer.TEMPFAIL | Answer.CONNECTION_FAILURE:
            return TemporaryFailure(REFUSED, code=451, status="4.7.1")
    return None
