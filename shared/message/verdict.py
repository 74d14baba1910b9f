"""What a scanner says of a message: a value that the envelope keeps, trace shows and Sieve tests (RFC 5235)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

MAX_SYMBOLS = 50  # of one verdict on record
MAX_TEXT = 500  # characters of one of its texts on record


class Action(StrEnum):
    """What a scanner wants done, from harmless to severe: of several verdicts the most severe decides."""

    NONE = "none"
    TAG = "tag"  # spam: header fields say so; filed into Junk unless a script decides otherwise
    SUBJECT = "subject"  # like TAG, with a rewritten Subject
    GREYLIST = "greylist"  # 4xx for now
    TEMPFAIL = "tempfail"  # 4xx: soft reject
    QUARANTINE = "quarantine"  # accepted, but nobody gets it before the operator lets it go
    DISCARD = "discard"  # accepted, and thrown away
    REJECT = "reject"  # 5xx


SEVERITY = {action: number for number, action in enumerate(Action)}


class Change(StrEnum):
    """How a header field changes."""

    ADD = "add"  # after the last field
    INSERT = "insert"  # at `index`, 0 = before the first field
    CHANGE = "change"  # the field of this name that is number `index`, from 1; added if there is none
    REMOVE = "remove"  # … goes; all of the name for index 0


@dataclass(frozen=True, slots=True)
class HeaderChange:
    """One change of the header; `value` is without CRLF at its end, folded lines have CRLF or LF inside."""

    change: Change
    name: str
    value: bytes = b""
    index: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one scanner says of one message."""

    scanner: str  # the name that the operator gave it
    action: Action = Action.NONE
    kind: str = ""  # rspamd, clamav, spamassassin, milter, command, python
    score: float | None = None
    threshold: float | None = None  # the score from which it is spam
    symbols: tuple[str, ...] = ()  # names of the rules that matched, with their scores
    virus: str = ""  # its name
    looked_for_viruses: bool = False
    reason: str = ""  # for people, and the text of a refusal
    code: int = 0  # of the reply that the scanner asks for; 0: the action's own
    status: str = ""  # the enhanced status (RFC 3463), "" likewise
    subject: str = ""  # the whole new Subject of Action.SUBJECT
    changes: tuple[HeaderChange, ...] = ()
    failed: bool = False  # it could not be asked, and its policy lets the message pass
    seconds: float = 0.0

    @property
    def is_spam(self) -> bool:
        """Whether the message is to be treated as spam."""
        return self.action in (Action.TAG, Action.SUBJECT)

    def recorded(self) -> Verdict:
        """Return what is kept on record: bounded, without changes that have been made already."""
        symbols = tuple(symbol[:MAX_TEXT] for symbol in self.symbols[:MAX_SYMBOLS])
        return replace(
            self, symbols=symbols, virus=self.virus[:MAX_TEXT], reason=self.reason[:MAX_TEXT], subject="", changes=()
        )


def verdict_from(raw: dict[str, Any]) -> Verdict:
    """Read a recorded verdict; keys and actions of a newer writer are passed over."""
    names = Verdict.__dataclass_fields__
    values = {key: value for key, value in raw.items() if key in names and key != "changes"}
    values["symbols"] = tuple(values.get("symbols", ()))
    action = values.get("action", "")
    values["action"] = Action(action) if action in SEVERITY else Action.NONE
    return Verdict(**values)
