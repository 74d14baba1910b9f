"""The world as a script sees it: everything that a run needs is given here, and nothing is asked elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from shared.sieve.limits import DEFAULT, Limits

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from shared.sieve.message import Message
    from shared.sieve.script import Script


@dataclass(frozen=True, slots=True)
class DeliverByRequest:
    """What the client asked for with BY= (RFC 2852), as RFC 6009 §4 shows it to scripts."""

    deadline: datetime
    mode: str = "N"
    trace: bool = False


@dataclass(frozen=True, slots=True)
class Envelope:
    """The SMTP envelope as far as one recipient sees it; "" is the null reverse-path."""

    sender: str
    recipient: str
    notify: tuple[str, ...] = ()  # NEVER or SUCCESS, FAILURE, DELAY (RFC 3461 §4.1)
    orcpt: str = ""  # type;address, xtext undone
    ret: str = ""
    envid: str = ""
    deliver_by: DeliverByRequest | None = None


class Mailboxes(Protocol):
    """The account's mailboxes; names are as IMAP shows them, in Unicode."""

    def exists(self, name: str) -> bool:
        """Whether mail can be put into this mailbox (RFC 5490 §3.1)."""

    def metadata(self, name: str | None, key: str) -> str | None:
        """An annotation of a mailbox, or of the server for None (RFC 5464); None when it has no value."""

    def special_use(self, use: str) -> str | None:
        """The mailbox with a special use such as \\Junk (RFC 6154), or None."""

    def uses(self, name: str) -> Collection[str]:
        """The special uses of a mailbox."""

    def by_id(self, mailbox_id: str) -> str | None:
        """The mailbox with an id (RFC 8474), or None."""


@dataclass(frozen=True, slots=True)
class NamedMailboxes:
    """Mailboxes held in memory: names with annotations, uses and ids; INBOX always exists."""

    names: Collection[str] = ()
    annotations: Mapping[tuple[str | None, str], str] = field(default_factory=dict)
    special_uses: Mapping[str, str] = field(default_factory=dict)  # mailbox by use
    ids: Mapping[str, str] = field(default_factory=dict)  # mailbox by id

    def exists(self, name: str) -> bool:
        """Whether the name is one of those given."""
        return name in self.names or name.upper() == "INBOX"

    def metadata(self, name: str | None, key: str) -> str | None:
        """The annotation given for it; its key in any case (RFC 5464 §3)."""
        wanted = key.lower()
        found = (v for (box, k), v in self.annotations.items() if box == name and k.lower() == wanted)
        return next(found, None)

    def special_use(self, use: str) -> str | None:
        """The mailbox with this use, in any case."""
        return next((name for key, name in self.special_uses.items() if key.lower() == use.lower()), None)

    def uses(self, name: str) -> Collection[str]:
        """The uses given for it."""
        return [use for use, mailbox in self.special_uses.items() if mailbox == name]

    def by_id(self, mailbox_id: str) -> str | None:
        """The mailbox given for it."""
        return self.ids.get(mailbox_id)


class ExternalLists(Protocol):
    """Lists kept outside scripts (RFC 6134)."""

    def exists(self, name: str) -> bool:
        """Whether there is such a list."""

    def contains(self, name: str, value: str) -> bool:
        """Whether a value is on it."""

    def members(self, name: str) -> Collection[str] | None:
        """The addresses on it, or None when it can't be redirected to."""


@dataclass(frozen=True, slots=True)
class NamedLists:
    """External lists held in memory."""

    lists: Mapping[str, Collection[str]] = field(default_factory=dict)

    def exists(self, name: str) -> bool:
        """Whether the name is one of those given."""
        return name in self.lists

    def contains(self, name: str, value: str) -> bool:
        """Whether a value is on it, case ignored."""
        return value.lower() in (member.lower() for member in self.lists.get(name, ()))

    def members(self, name: str) -> Collection[str] | None:
        """What is on it."""
        return self.lists.get(name)


class Location(StrEnum):
    """Where an included script is kept (RFC 6609 §3.2)."""

    PERSONAL = "personal"
    GLOBAL = "global"


def _no_script(location: Location, name: str) -> Script | None:
    return None


def _never_seen(key: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Context:
    """All that one run is given; `now` is aware, and its zone is what currentdate shows (RFC 5260 §5)."""

    message: Message
    envelope: Envelope
    now: datetime
    mailboxes: Mailboxes = field(default_factory=NamedMailboxes)
    seen: Callable[[str], bool] = _never_seen
    """Whether a duplicate test's key is remembered (RFC 7352)."""
    load: Callable[[Location, str], Script | None] = _no_script
    """An included script, compiled; None when there is none such (RFC 6609). May raise ScriptError."""
    lists: ExternalLists = field(default_factory=NamedLists)
    environment: Mapping[str, str] = field(default_factory=dict)
    """Items of RFC 5183 §4.1 by lower-case name."""
    addresses: Collection[str] = ()
    """The user's own addresses besides the envelope's recipient (RFC 5230 §4.5)."""
    user: str = ""
    """The user's main address: From of what is sent for them; the envelope's recipient by default."""
    spam_percent: float | None = None
    """How surely it is spam, 0 to 100; None when nobody looked (RFC 5235)."""
    virus: int | None = None
    """1 (none) to 5 (certain); None when nobody looked (RFC 5235 §3)."""
    separator: str = "+"
    """What stands between user and detail in a local part; "" for no sub-addresses (RFC 5233)."""
    limits: Limits = DEFAULT
