"""The commands of IMAP4rev1 and its extensions as values (RFC 3501 §6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from shared.imap.append import Step as AppendStep
from shared.imap.fetch import FetchAttribute
from shared.imap.flags import FlagSet
from shared.imap.listing import Return as ListReturn
from shared.imap.listing import Selection
from shared.imap.mailbox_filter import MailboxFilter
from shared.imap.metadata import Query as MetadataQuery
from shared.imap.notify import EventGroup
from shared.imap.search import SearchKey
from shared.imap.search_return import Partial, Return
from shared.imap.sequence import Range, SequenceSet
from shared.imap.sort import SortCriterion
from shared.imap.thread import ThreadAlgorithm


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
    """`uses` as its client wrote them (RFC 6154 §3)."""

    tag: bytes
    mailbox: str
    uses: tuple[bytes, ...] = ()


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
    selection: frozenset[Selection] = frozenset()
    returns: frozenset[ListReturn] = frozenset()
    status: tuple[StatusItem, ...] = ()
    metadata: tuple[str, ...] = ()
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
    SIZE = b"SIZE"
    DELETED = b"DELETED"
    DELETED_STORAGE = b"DELETED-STORAGE"
    APPENDLIMIT = b"APPENDLIMIT"
    MAILBOXID = b"MAILBOXID"


@dataclass(frozen=True, slots=True)
class Status:
    tag: bytes
    mailbox: str
    items: tuple[StatusItem, ...]


@dataclass(frozen=True, slots=True)
class SetAcl:
    """`sign` is +, - or empty: rights are added, taken away or replaced (RFC 4314 §3.1)."""

    tag: bytes
    mailbox: str
    identifier: str
    sign: str
    rights: str


@dataclass(frozen=True, slots=True)
class DeleteAcl:
    tag: bytes
    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class GetAcl:
    tag: bytes
    mailbox: str


@dataclass(frozen=True, slots=True)
class ListRights:
    tag: bytes
    mailbox: str
    identifier: str


@dataclass(frozen=True, slots=True)
class MyRights:
    tag: bytes
    mailbox: str


@dataclass(frozen=True, slots=True)
class GetQuota:
    tag: bytes
    root: str


@dataclass(frozen=True, slots=True)
class GetQuotaRoot:
    tag: bytes
    mailbox: str


@dataclass(frozen=True, slots=True)
class SetQuota:
    tag: bytes
    root: str


@dataclass(frozen=True, slots=True)
class GetMetadata:
    """The server's annotations for a mailbox of "" (RFC 5464 §4.2)."""

    tag: bytes
    mailbox: str
    query: MetadataQuery


@dataclass(frozen=True, slots=True)
class SetMetadata:
    """Entries with their new values, None to remove them (RFC 5464 §4.3)."""

    tag: bytes
    mailbox: str
    values: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class Append:
    """Messages to be added; `steps` is empty when they were streamed (see shared.imap.append)."""

    tag: bytes
    mailbox: str
    steps: tuple[AppendStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Replace:
    """A message that takes the place of the selected mailbox's `message` (RFC 8508)."""

    tag: bytes
    message: SequenceSet
    mailbox: str
    steps: tuple[AppendStep, ...] = ()
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Compress:
    """The mechanism in upper case (RFC 4978)."""

    tag: bytes
    mechanism: bytes


@dataclass(frozen=True, slots=True)
class Unauthenticate:
    """RFC 8437."""

    tag: bytes


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
    """`uid`: answer with UIDs. `returns` is None without RETURN."""

    tag: bytes
    key: SearchKey
    uid: bool = False
    charset: bytes | None = None
    returns: Return | None = None


@dataclass(frozen=True, slots=True)
class Sort:
    """RFC 5256; `returns` is RFC 5267's."""

    tag: bytes
    criteria: tuple[SortCriterion, ...]
    key: SearchKey
    uid: bool = False
    charset: bytes | None = None
    returns: Return | None = None


@dataclass(frozen=True, slots=True)
class Thread:
    """RFC 5256."""

    tag: bytes
    algorithm: ThreadAlgorithm
    key: SearchKey
    uid: bool = False
    charset: bytes | None = None


@dataclass(frozen=True, slots=True)
class MultiSearch:
    """ESEARCH: a search in several mailboxes, the selected one without `sources` (RFC 7377)."""

    tag: bytes
    key: SearchKey
    returns: Return
    sources: tuple[MailboxFilter, ...] = ()
    charset: bytes | None = None


@dataclass(frozen=True, slots=True)
class CancelUpdate:
    """Don't keep the results of these searches up to date any longer (RFC 5267 §4.3.5)."""

    tag: bytes
    tags: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Fetch:
    """`uid`: the set holds UIDs, and `items` includes UID.

    `changed_since`: only messages with a higher mod-sequence, and `items` includes MODSEQ. `vanished`: tell
    also which are gone since (RFC 7162 §3.1.4.1, §3.2.6). `partial`: only those in a window of
    them (RFC 9394). `adds_uid`: the client didn't ask for UID itself.
    """

    tag: bytes
    messages: SequenceSet
    items: tuple[FetchAttribute, ...]
    uid: bool = False
    changed_since: int | None = None
    vanished: bool = False
    partial: Partial | None = None
    adds_uid: bool = False


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


@dataclass(frozen=True, slots=True)
class Notify:
    """`groups` is empty for NONE; `with_status`: tell first how the mailboxes are (RFC 5465 §3.1)."""

    tag: bytes
    groups: tuple[EventGroup, ...] = ()
    with_status: bool = False


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
    | SetAcl
    | DeleteAcl
    | GetAcl
    | ListRights
    | MyRights
    | GetQuota
    | GetQuotaRoot
    | SetQuota
    | GetMetadata
    | SetMetadata
    | Append
    | Replace
    | Compress
    | Unauthenticate
    | Check
    | Close
    | Unselect
    | Expunge
    | UidExpunge
    | Search
    | Sort
    | Thread
    | MultiSearch
    | CancelUpdate
    | Fetch
    | Store
    | Copy
    | Move
    | Idle
    | Notify
)
