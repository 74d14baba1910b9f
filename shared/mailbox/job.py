"""What the MDA asks of the batch transaction, and what it answers (DESIGN §5)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import TypeAlias

from shared.imap.mailbox_name import INBOX
from shared.mailbox.blobs import NewBlob


class Outcome(StrEnum):
    """What the ledger says became of a target."""

    DELIVERED = "delivered"
    REDIRECTED = "redirected"
    HANDED = "handed on"  # to an entry of its own, for an account whose mail goes elsewhere
    BOUNCED = "bounced"
    FAILED = "failed"  # like bounced, where no report may be sent
    DISCARDED = "discarded"
    DROPPED = "dropped"
    ANSWERED = "answered"  # by vacation
    NOTIFIED = "notified"  # somebody was told of it, as a filter asked for


@dataclass(frozen=True, slots=True)
class Deliver:
    """Put the message into a mailbox of an account: INBOX if there is none of that name."""

    recipient: str
    target: str  # the account's address
    account_id: int
    prefix: bytes  # header fields that this recipient adds
    mailbox: str = INBOX
    flags: int = 0  # system flags; keywords belong to a mailbox
    keywords: tuple[bytes, ...] = ()  # those beyond what the mailbox can hold are left out
    create: bool = False  # the mailbox, if it is missing
    special_use: str = ""  # of a mailbox that is made
    blob: NewBlob | None = None  # instead of the job's: a changed message, or a copy of what was answered
    filter: str = ""  # which one decided so
    more: tuple[Deliver, ...] = ()  # into other mailboxes of the account: this one's ledger row tells of all


@dataclass(frozen=True, slots=True)
class Record:
    """Write down an outcome that was brought about otherwise: a child entry, or nothing at all."""

    recipient: str
    target: str
    outcome: Outcome
    detail: dict[str, str]


Step: TypeAlias = Deliver | Record


@dataclass(frozen=True, slots=True)
class Job:
    """All that becomes of one recipient of an entry (or of several)."""

    blob: NewBlob
    sender: str
    steps: tuple[Step, ...]
    internal_date: int  # Unix seconds
    message_id: str = ""
    waited: bool = False  # `pending` has rows of it, which go when it is done
    origin: str = ""  # JSON: where it came from, kept in the ledger's detail

    @property
    def entry(self) -> str:
        """The entry's id."""
        return self.blob.entry


class Fate(Enum):
    """What became of a job."""

    DONE = auto()
    DUPLICATE = auto()  # every target was done before
    REFUSED = auto()  # nothing is done: see `refused`
    REWRITTEN = auto()  # nothing is done: the record lies elsewhere now, append it again


class Refusal(Enum):
    """Why a delivery can't be done; the caller makes it a bounce and tries the job again."""

    OVER_QUOTA = auto()
    NO_ACCOUNT = auto()


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message in a mailbox."""

    step: Deliver
    mailbox_id: int
    mailbox: str
    uid: int


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a job; `recorded` are its records that weren't there before."""

    job: Job
    fate: Fate
    delivered: tuple[Delivered, ...] = ()
    recorded: tuple[Record, ...] = ()
    refused: tuple[tuple[Deliver, Refusal], ...] = ()
