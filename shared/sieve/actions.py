"""What a script wants done, as values (RFC 5228 §4 and its extensions); the host does it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from shared.sieve.revision import Revision


@dataclass(frozen=True, slots=True)
class Keep:
    """Put the message into the main mailbox; `flags` None means none were mentioned."""

    message: Revision
    flags: tuple[str, ...] | None = None
    implicit: bool = False


@dataclass(frozen=True, slots=True)
class FileInto:
    """Put the message into a mailbox; with `create` it is made if missing (RFC 5490 §3.2).

    `special_use` (RFC 8579 §4) and `mailbox_id` (RFC 9042 §4) name a mailbox that comes before `mailbox` when
    there is one such.
    """

    mailbox: str
    message: Revision
    flags: tuple[str, ...] | None = None
    copy: bool = False
    create: bool = False
    special_use: str = ""
    mailbox_id: str = ""


@dataclass(frozen=True, slots=True)
class DeliverBy:
    """RFC 2852's BY parameter: `absolute` (ISO 8601) or `relative` in seconds, R(eturn) or N(otify), trace."""

    relative: int | None = None
    absolute: str = ""
    mode: str = "N"
    trace: bool = False


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send the message on to an address; DSN parameters as in RFC 6009, "" where the script has none."""

    address: str
    message: Revision
    copy: bool = False
    notify: str = ""
    ret: str = ""
    deliver_by: DeliverBy | None = None
    list: str = ""
    """The external list that the address is from (RFC 6134 §2.4)."""


@dataclass(frozen=True, slots=True)
class Discard:
    """Cancel the implicit keep."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the message, by an SMTP reply where possible, else by a notification (RFC 5429 §2.2)."""

    reason: str


@dataclass(frozen=True, slots=True)
class EReject:
    """Refuse the message, by an SMTP reply if at all possible (RFC 5429 §2.1)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fcc:
    """Where a copy of a generated message goes (RFC 8580)."""

    mailbox: str
    flags: tuple[str, ...] | None = None
    create: bool = False
    special_use: str = ""
    mailbox_id: str = ""


@dataclass(frozen=True, slots=True)
class Vacation:
    """Answer the sender, unless `key` was answered within the last `seconds` (RFC 5230).

    The rules of RFC 3834 have been applied already. `sender` is who is answered, `recipient` the address that the
    message came to, `mime` says that `reason` is a MIME entity. `key` is the same for equal answers to one sender.
    """

    reason: str
    sender: str
    recipient: str
    subject: str
    key: str
    seconds: int
    from_: str = ""
    mime: bool = False
    in_reply_to: str = ""
    references: str = ""
    fcc: Fcc | None = None


@dataclass(frozen=True, slots=True)
class Mailto:
    """A mailto: URI's meaning (RFC 6068): addresses and what it says of the message."""

    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()
    subject: str = ""
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Notify:
    """Send a notification (RFC 5435); `importance` is 1 (high) to 3 (low)."""

    method: str
    mailto: Mailto
    message: str
    from_: str = ""
    importance: int = 2
    options: tuple[str, ...] = ()
    fcc: Fcc | None = None


@dataclass(frozen=True, slots=True)
class TrackDuplicate:
    """Remember an id that the duplicate test asked for (RFC 7352 §3): only for a script that ended well."""

    key: str
    seconds: int


Action: TypeAlias = Keep | FileInto | Redirect | Discard | Reject | EReject | Vacation | Notify | TrackDuplicate


@dataclass(frozen=True, slots=True)
class AddHeader:
    """A field was added at the top, or at the end of the header with `last` (RFC 5293 §4)."""

    name: str
    value: str
    last: bool = False


@dataclass(frozen=True, slots=True)
class DeleteHeader:
    """A field was deleted: its name, and which of that name it was, counted from 1 (RFC 5293 §5)."""

    name: str
    occurrence: int
    value: str


@dataclass(frozen=True, slots=True)
class ReplacePart:
    """A MIME part was replaced (RFC 5703 §6): its IMAP number, "" for the whole message."""

    part: str
    media: str


@dataclass(frozen=True, slots=True)
class Enclose:
    """The message was enclosed in a new one (RFC 5703 §7)."""

    subject: str


Edit: TypeAlias = AddHeader | DeleteHeader | ReplacePart | Enclose
