"""The vacation and vacation-seconds extensions: answers to those who write (RFC 5230, RFC 6131, RFC 3834)."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from shared.address import Address
from shared.sieve.actions import Vacation
from shared.sieve.addresses import address_of, check_address, mail_address
from shared.sieve.declare import NUMBER, STRING, STRINGS, Declaration, Extension, Tag
from shared.sieve.headertext import one_line
from shared.sieve.trace import TraceKind

if TYPE_CHECKING:
    from shared.sieve.compiler import Call, Compiler
    from shared.sieve.declare import Operation
    from shared.sieve.message import View
    from shared.sieve.run import Run

DAY = 24 * 3600
DEFAULT_DAYS = 7
"""RFC 5230 §4.1."""
LIKELY_SPAM = 50.0
"""Percent: the scanners' threshold, from which on the sender is taken for forged."""
MAX_SUBJECT = 200
"""Characters of the original subject that go into the answer's."""
MAX_REFERENCES = 2000
"""Characters of References that go into the answer, from its end."""

_ROBOT = re.compile(
    r"(?:owner-.*|.*-(?:request|owner|bounces?)|bounces?(?:[+=-].*)?|listserv|majordomo|mailer-daemon|postmaster"
    r"|no-?reply|do-?not-?reply)\Z",
    re.IGNORECASE,
)
_LIST_FIELDS = ("list-id", "list-help", "list-subscribe", "list-unsubscribe", "list-post", "list-owner", "list-archive")
_RECIPIENT_FIELDS = ("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc")
_SUPPRESSED = {"all", "oof", "autoreply"}


def _vacation(call: Call, compiler: Compiler) -> Operation:
    reason, subject, from_ = call.text(0), call.tag_text("subject"), call.tag_text("from")
    handle, addresses, mime = call.tag_text("handle"), call.tag_texts("addresses"), call.has("mime")
    seconds = _period(call, compiler)
    modifiers = call.modifiers(compiler)
    check_address(from_)
    for item in () if addresses is None else addresses.items:
        check_address(item)

    def vacation(run: Run) -> None:
        own = _own_addresses(run, () if addresses is None else addresses(run))
        run.answer()
        refusal = why_not(run, own)
        if refusal:
            run.note(TraceKind.NOTE, f"no answer: {refusal}")
            return
        if from_ is not None:
            address_of(from_, run)
        text = reason(run)
        sender = one_line("" if from_ is None else from_(run))
        title = one_line("" if subject is None else subject(run))
        identity = "\0".join(("handle", handle(run)) if handle else ("text", text, title, sender, str(mime)))
        action = Vacation(
            text,
            run.context.envelope.sender,
            own[0],
            title or _default_subject(run.view),
            hashlib.sha256(f"{identity}\0{run.context.envelope.sender.lower()}".encode("utf-8", "replace")).hexdigest(),
            seconds,
            sender,
            mime,
            *_thread(run.view),
        )
        for modify in modifiers:
            action = modify(run, action)
        run.decide(action)

    return vacation


def _period(call: Call, compiler: Compiler) -> int:
    """Seconds between two answers, within the limits; 0 (always answer) only by :seconds (RFC 6131 §2.1)."""
    limits, seconds, days = compiler.limits, call.tag_number("seconds"), call.tag_number("days")
    if seconds is not None:
        return min(seconds, limits.max_vacation_seconds)
    return min(
        max((DEFAULT_DAYS if days is None else days) * DAY, limits.min_vacation_seconds), limits.max_vacation_seconds
    )


def why_not(run: Run, own: list[str]) -> str:
    """Why the message gets no answer (RFC 3834 §2, RFC 5230 §4.5 and §4.6); "" when it may get one."""
    sender = run.context.envelope.sender
    if not sender:
        return "the reverse-path is null"
    if (run.context.spam_percent or 0.0) >= LIKELY_SPAM:
        return "it is spam by the scanners' verdict"
    address = mail_address(sender)
    if address is None:
        return f"{sender!r} is not a mail address"
    if _ROBOT.match(address.local):
        return f"<{sender}> is a program's address"
    if sender.lower() in (mine.lower() for mine in own):
        return f"<{sender}> is the user's own address"
    return _why_not_header(run.view) or _why_not_addressed(run.view, own)


def _why_not_header(view: View) -> str:
    for value in view.texts("auto-submitted"):
        if value.partition(";")[0].strip().lower() != "no":
            return f"Auto-Submitted is {value[:50]!r}"
    for value in view.texts("precedence"):
        if value.lower() in ("bulk", "junk", "list"):
            return f"Precedence is {value!r}"
    for name in _LIST_FIELDS:
        if view.texts(name):
            return f"it has {name.title()} and is from a mailing list"
    for value in view.texts("x-auto-response-suppress"):
        if _SUPPRESSED & {word.strip().lower() for word in value.split(",")}:
            return f"X-Auto-Response-Suppress is {value[:50]!r}"
    return ""


def _why_not_addressed(view: View, own: list[str]) -> str:
    """RFC 5230 §4.5: no answer unless one of the user's addresses is named as a recipient."""
    mine = {_key(address) for address in own}
    for name in _RECIPIENT_FIELDS:
        for field in view.addresses(name):
            if any(_key(entry.whole) in mine for entry in field):
                return ""
    return "none of the user's addresses is among its recipients"


def _own_addresses(run: Run, named: tuple[str, ...]) -> list[str]:
    found = [run.context.envelope.recipient, run.context.user, *run.context.addresses]
    found += [str(address) for address in map(mail_address, named) if isinstance(address, Address)]
    return [address for address in found if address]


def _key(address: str) -> str:
    local, at, domain = address.lower().rpartition("@")
    return f"{local}@{domain}" if at else domain


def _default_subject(view: View) -> str:
    subjects = view.texts("subject")
    subject = one_line(subjects[0])[:MAX_SUBJECT] if subjects else ""
    return f"Auto: {subject}" if subject else "Automated reply"


def _thread(view: View) -> tuple[str, str]:
    """In-Reply-To and References of an answer (RFC 5322 §3.6.4)."""
    ids = view.texts("message-id")
    if not ids:
        return "", ""
    earlier = view.texts("references") or view.texts("in-reply-to")
    references = " ".join([*(earlier[0].split() if earlier else ()), ids[0]])
    while len(references) > MAX_REFERENCES and " " in references:
        references = references.partition(" ")[2]
    return ids[0], references


EXTENSION = Extension(
    "vacation",
    commands=(
        Declaration(
            "vacation",
            _vacation,
            (STRING,),
            (
                Tag("days", NUMBER, group="period"),
                Tag("seconds", NUMBER, group="period", extensions=("vacation-seconds",)),
                Tag("subject", STRING),
                Tag("from", STRING),
                Tag("addresses", STRINGS),
                Tag("mime"),
                Tag("handle", STRING),
            ),
            extensions=("vacation", "vacation-seconds"),
        ),
    ),
)

VACATION_SECONDS = Extension("vacation-seconds", implies=("vacation",))
