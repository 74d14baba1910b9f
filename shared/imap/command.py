"""The commands of IMAP4rev1 and its extensions as values (RFC 3501 §6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from shared.imap.fetch import FetchAttribute
from shared.imap.flags import FlagSet
from shared.imap.search import SearchKey
from shared.imap.sequence import Range, SequenceSet


@dataclass(frozen=True, slots=True)
class Capability:
    tag: bytes


@dataclass(frozen=True, slots=True)
class Noop:
    tag: bytes


@dataclass(frozen=True, slots=True)
class Logout:
    tag: bytes


@dataclass(frozen=True, slots=True)
class StartTls:
    tag: bytes


@dataclass(frozen=True, slots=True)
class Authenticate:
    """`mechanism` in upper case; `initial_response` as on the wire: base64, or `=` when empty (RFC 4959)."""

    tag: bytes
    mechanism: bytes
    initial_response: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Login:
    tag: bytes
    user: bytes
    password: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Id:
    """What the client says of itself; None for NIL (RFC 2971)."""

    tag: bytes
    parameters: tuple[tuple[bytes, bytes | None], ...] | None


@dataclass(frozen=True, slots=True)
class Namespace:
    tag: bytes


@dataclass(frozen=True, slots=True)
class Enable:
    """Capability names in upper case (RFC 5161)."""

    tag: bytes
    names: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Resync:
    """What a client still knows of a mailbox: SELECT's QRESYNC parameter (RFC 7162 §3.2.5).

    `uids` is None when the client knows all up to then. Each number of `sequences` had the UID at the same
    place in `sequence_uids`.
    """

    uidvalidity: int
    modseq: int
    uids: SequenceSet | None = None
    sequences: tuple[Range, ...] = ()
    sequence_uids: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class Select:
    """With the parameters of RFC 7162 §3.1.8 and §3.2.5."""

    tag: bytes
    mailbox: str
    condstore: bool = False
    resync: Resync | None = None


@dataclass(frozen=True, slots=True)
class Examine:
    tag: bytes
    mailbox: str
    condstore: bool = False
    resync: Resync | None = None


@dataclass(frozen=True, slots=True)
class Create:
    tag: bytes
    mailbox: str
    parameters: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    tag: bytes
    mailbox: str


@dataclass(frozen=True, slots=True)
class Rename:
    tag: bytes
    mailbox: str
    new_name: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    tag: bytes
    mailbox: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    tag: bytes
    mailbox: str


@dataclass(frozen=True, slots=True)
class List:
    """`extended` when selection options, several patterns or return options were used (RFC 5258)."""

    tag: bytes
    reference: str
    patterns: tuple[str, ...]
    selection: tuple[bytes, ...] = ()
    returns: tuple[bytes, ...] = ()
    extended: bool = False


@dataclass(frozen=True, slots=True)
class Lsub:
    tag: bytes
    reference: str
    pattern: str


class StatusItem(Enum):
    """What STATUS can ask for; the value is its name on the wire."""

    MESSAGES = b"MESSAGES"
    RECENT = b"RECENT"
    UIDNEXT = b"UIDNEXT"
    UIDVALIDITY = b"UIDVALIDITY"
    UNSEEN = b"UNSEEN"
    HIGHESTMODSEQ = b"HIGHESTMODSEQ"


@dataclass(frozen=True, slots=True)
class Status:
    tag: bytes
    mailbox: str
    items: tuple[StatusItem, ...]


@dataclass(frozen=True, slots=True)
class Append:
    """One message; `literal` is None when its octets are streamed after this value was parsed."""

    tag: bytes
    mailbox: str
    flags: FlagSet
    internal_date: datetime | None
    size: int
    binary: bool = False
    literal: bytes | None = None


@dataclass(frozen=True, slots=True)
class Check:
    tag: bytes


@dataclass(frozen=True, slots=True)
class Close:
    tag: bytes


@dataclass(frozen=True, slots=True)
class Unselect:
    tag: bytes


@dataclass(frozen=True, slots=True)
class Expunge:
    tag: bytes


@dataclass(frozen=True, slots=True)
class UidExpunge:
    """EXPUNGE of these UIDs only (RFC 4315 §2.1)."""

    tag: bytes
    uids: SequenceSet


@dataclass(frozen=True, slots=True)
class Search:
    """`uid`: answer with UIDs."""

    tag: bytes
    key: SearchKey
    uid: bool = False
    charset: bytes | None = None


@dataclass(frozen=True, slots=True)
class Fetch:
    """`uid`: the set holds UIDs, and `items` includes UID.

    `changed_since`: only messages with a higher mod-sequence, and `items` includes MODSEQ. `vanished`: tell
    also which are gone since (RFC 7162 §3.1.4.1, §3.2.6).
    """

    tag: bytes
    messages: SequenceSet
    items: tuple[FetchAttribute, ...]
    uid: bool = False
    changed_since: int | None = None
    vanished: bool = False


class StoreAction(Enum):
    """What STORE does with the flags it names."""

    REPLACE = "FLAGS"
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"


@dataclass(frozen=True, slots=True)
class Store:
    """`unchanged_since`: leave alone what has a higher mod-sequence (RFC 7162 §3.1.3)."""

    tag: bytes
    messages: SequenceSet
    action: StoreAction
    flags: FlagSet
    silent: bool = False
    uid: bool = False
    unchanged_since: int | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    tag: bytes
    messages: SequenceSet
    mailbox: str
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """RFC 6851."""

    tag: bytes
    messages: SequenceSet
    mailbox: str
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Idle:
    """The session then takes one line, which must be DONE (RFC 2177)."""

    tag: bytes


Command = (
    Capability
    | Noop
    | Logout
    | StartTls
    | Authenticate
    | Login
    | Id
    | Namespace
    | Enable
    | Select
    | Examine
    | Create
    | Delete
    | Rename
    | Subscribe
    | Unsubscribe
    | List
    | Lsub
    | Status
    | Append
    | Check
    | Close
    | Unselect
    | Expunge
    | UidExpunge
    | Search
    | Fetch
    | Store
    | Copy
    | Move
    | Idle
)
