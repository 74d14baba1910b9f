"""Messages outside the journal, as Maildir and mbox hold them: what imports read and exports write."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

from shared.errors import PermanentFailure
from shared.imap.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN, BadFlag, FlagSet, parse_flags
from shared.imap.mailbox_name import SEPARATOR, BadMailboxName, decode_utf7, encode
from shared.message.lineends import to_crlf

MAX_MESSAGE = 256 * 1024 * 1024  # octets of a message that is imported: it is read into memory
SYSTEM_LETTERS = {"D": DRAFT, "F": FLAGGED, "R": ANSWERED, "S": SEEN, "T": DELETED}  # of a Maildir's file names

MAX_FILE_NAME = 240  # characters, all ASCII: file systems take 255, and a suffix has to fit
DIGEST = 16  # hexadecimal digits

_DOT = "&AC4-"  # a dot in modified UTF-7, as Courier writes one that is no separator
_CRLF = re.compile(rb"\r\n")


@dataclass(frozen=True, slots=True)
class Loose:
    """A message with CRLF line ends; `internal_date` in Unix seconds, `origin` says where it was found."""

    data: bytes
    flags: FlagSet
    internal_date: int
    origin: str
    advance: int = 1  # what it adds to the progress of its source
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", len(self.data))


@dataclass(frozen=True, slots=True)
class Unusable:
    """A message that can't be imported, and why."""

    origin: str
    reason: str
    advance: int = 1


def loose(data: bytes, flags: FlagSet, internal_date: int, origin: str, advance: int = 1) -> Loose | Unusable:
    """Return a message with the line ends that the journal wants, or why it can't be had."""
    if not data:
        return Unusable(origin, "it is empty", advance)
    if len(data) > MAX_MESSAGE:
        return Unusable(origin, f"it is larger than {MAX_MESSAGE} octets", advance)
    try:
        return Loose(to_crlf(data), flags, internal_date, origin, advance)
    except PermanentFailure as failure:
        return Unusable(origin, failure.text, advance)


def to_unix(data: bytes) -> bytes:
    """Return a message with LF line ends, or as it is if CRLF couldn't be restored from them."""
    shorter = _CRLF.sub(b"\n", data)
    return shorter if to_crlf(shorter) == data else data


def encode_name(name: str) -> list[str]:
    """Return the levels of a mailbox's name as they may be called in a file system: no dots, no slashes."""
    return [encode(part).decode("ascii").replace(".", _DOT) for part in name.split(SEPARATOR)]


def shortened(name: str) -> str:
    """Return a name that a file can have: a longer one loses its end to a digest of the whole."""
    if len(name) <= MAX_FILE_NAME:
        return name
    return f"{name[: MAX_FILE_NAME - DIGEST - 1]}-{hashlib.sha256(name.encode()).hexdigest()[:DIGEST]}"


def decode_level(text: str) -> str:
    """Return what a level of a name is called; text that isn't modified UTF-7 is taken as it is."""
    try:
        return ".".join(decode_utf7(part.encode("ascii")) for part in text.split(_DOT))
    except (BadMailboxName, UnicodeEncodeError):
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def keyword(name: str) -> bytes | None:
    """Return a keyword's name as IMAP has it; None if it can't have it."""
    try:
        found = parse_flags([name.encode("utf-8")]).keywords
    except (BadFlag, UnicodeEncodeError):
        return None
    return found[0] if found else None
