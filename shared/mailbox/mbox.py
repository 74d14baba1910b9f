"""mbox: all messages in one file, each after a line `From …` (RFC 4155; mboxrd quoting).

    with reading(path) as messages:
        for message in messages: ...
    deliver(path, "sender@example.org", data, token="unique")

Flags are in Status, X-Status and X-Keywords, which aren't the message's own fields: they are left out. What
`render` writes begins with X-Packetboat instead, behind which such fields are the message's own.
"""

from __future__ import annotations

import calendar
import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shared.imap.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN, FlagSet
from shared.mailbox.loose import MAX_MESSAGE, Loose, Unusable, keyword, loose, to_unix
from shared.message.date import parse_date
from shared.message.header import find_header_end, parse_headers

MAX_LINE = 1024 * 1024  # octets read at a time; a longer line comes in pieces
LOCK_SECONDS = 30.0  # that a lock of another program is waited for
STALE_LOCK = 300.0  # seconds after which a lock file is of a program that died
LOOK_BACK = 64 * 1024 * 1024  # octets before the end in which an earlier delivery is looked for
MODE = 0o600
OWN_FIELD = b"X-Packetboat"
ENTRY_FIELD = b"X-Packetboat-Delivery"

_FROM = b"From "
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_UNQUOTED = re.compile(rb"^(>*From )", re.MULTILINE)
_EXACT = re.compile(rb"From .*[0-9]{1,2}:[0-9]{2}.* [0-9]{4}")
_DATE = re.compile(
    rb"([A-Z][a-z]{2}) +([0-9]{1,2}) +([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?(?: [A-Za-z0-9+-]{1,5})? ([0-9]{4})"
)
_MONTHS = {name.encode(): number for number, name in enumerate(calendar.month_abbr) if name}
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_METADATA = re.compile(
    rb"^(Status|X-Status|X-Keywords|X-UID|X-IMAP|X-IMAPbase):([^\n]*)\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE
)
_OWN = re.compile(OWN_FIELD + rb": ([0-9]+) ([0-9]+) ([0-9]+) ?([^\r\n]*)\r?\n")
_STATUS = {ord("R"): SEEN, ord("A"): ANSWERED, ord("F"): FLAGGED, ord("D"): DELETED, ord("T"): DRAFT}
_LETTERS = {SEEN: "R", ANSWERED: "A", FLAGGED: "F", DELETED: "D", DRAFT: "T"}


@dataclass(frozen=True, slots=True)
class Mark:
    """What a message was in the mailbox that it was exported from."""

    uidvalidity: int
    uid: int


class Locked(OSError):
    """Another program doesn't give the mailbox up."""


# Reading


def is_mbox(path: Path) -> bool:
    """Say whether a file begins as an mbox does, or is an empty one by its name."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_FROM))
    except OSError:
        return False
    return start == _FROM or (not start and path.suffix == ".mbox")


@contextlib.contextmanager
def reading(path: Path) -> Iterator[Iterator[Loose | Unusable]]:
    """Give the messages of a file, which others can't write to meanwhile (those that use fcntl); OSError."""
    with path.open("rb") as file:
        fcntl.lockf(file, fcntl.LOCK_SH)  # given up when the file is closed
        yield _messages(file, path)


def _messages(file: BinaryIO, path: Path) -> Iterator[Loose | Unusable]:
    modified = int(os.fstat(file.fileno()).st_mtime)
    for number, piece in enumerate(_pieces(file), 1):
        yield _message(piece, f"{path} #{number}", modified)


@dataclass(slots=True)
class _Piece:
    """A separator line and what follows it, as it lies in the file."""

    line: bytes
    octets: int
    text: bytes | None  # None: it is too large


def _pieces(file: BinaryIO) -> Iterator[_Piece]:
    current: _Piece | None = None
    lines: list[bytes] = []
    exact = after_empty = True
    whole = True  # the line before was not cut
    while line := file.readline(MAX_LINE):
        if whole and after_empty and line.startswith(_FROM) and (not exact or current is None or _EXACT.match(line)):
            if current is None:
                exact = _EXACT.match(line) is not None
            else:
                yield _closed(current, lines)
            current, lines = _Piece(line, len(line), b""), []
        elif current is not None:
            current.octets += len(line)
            if current.octets > MAX_MESSAGE + MAX_LINE:
                current.text = None
                lines.clear()
            else:
                lines.append(line)
        whole = line.endswith(b"\n")
        after_empty = line in (b"\n", b"\r\n")
    if current is not None:
        yield _closed(current, lines)


def _closed(piece: _Piece, lines: list[bytes]) -> _Piece:
    if lines and lines[-1] in (b"\n", b"\r\n"):
        lines.pop()  # the empty line before the next `From `
    if piece.text is not None:
        piece.text = b"".join(lines)
    return piece


def _message(piece: _Piece, origin: str, modified: int) -> Loose | Unusable:
    if piece.text is None:
        return Unusable(origin, f"it is larger than {MAX_MESSAGE} octets", piece.octets)
    text = _QUOTED.sub(rb"\1", piece.text)
    own = _OWN.match(text)
    if own is not None:
        found = loose(text[own.end() :], _own_flags(own[4]), 0, origin, piece.octets)
        size = int(own[3][:18])
        if isinstance(found, Loose) and found.size == size + 2 and found.data.endswith(b"\r\n"):
            found = loose(found.data[:-2], found.flags, 0, origin, piece.octets)  # it had no line end of its own
    else:
        end = find_header_end(text)
        fields = [(name.lower(), value.strip()) for name, value in _METADATA.findall(text[:end])]
        found = loose(_METADATA.sub(b"", text[:end]) + text[end:], _flags(fields), 0, origin, piece.octets)
    if isinstance(found, Unusable):
        return found
    date = _date_of_line(piece.line)
    if date is None:
        date = _date_of_field(found.data)
    return Loose(found.data, found.flags, modified if date is None else date, origin, piece.octets)


def _flags(fields: Iterable[tuple[bytes, bytes]]) -> FlagSet:
    system = 0
    keywords: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in (b"status", b"x-status"):
            for letter in value:
                system |= _STATUS.get(letter, 0)
        elif name == b"x-keywords":
            for word in value.replace(b",", b" ").split():
                known = keyword(word.decode("latin-1"))
                if known is not None:
                    keywords.setdefault(known.lower(), known)
    return FlagSet(system, tuple(keywords.values()))


def _own_flags(text: bytes) -> FlagSet:
    letters, _, words = text.partition(b" ")
    return _flags([(b"status", letters), (b"x-keywords", words)])


def _date_of_line(line: bytes) -> int | None:
    """Return the date of a separator, which is in UTC by custom."""
    found = _DATE.search(line)
    month = _MONTHS.get(found[1]) if found else None
    if found is None or month is None:
        return None
    day, hour, minute, second = (int(found[place] or 0) for place in range(2, 6))
    if not 1 <= day <= 31 or hour > 23 or minute > 59 or second > 60:
        return None
    return calendar.timegm((int(found[6]), month, day, hour, minute, second))


def _date_of_field(data: bytes) -> int | None:
    value = parse_headers(data[: find_header_end(data)]).get(b"date")
    date = parse_date(value) if value else None
    return date.moment if date else None


# Writing


def render(data: bytes, sender: str, date: int, own: bytes = b"") -> bytes:
    """Return a message as it lies in a file; `own` is what stands before its header, `date` is Unix seconds."""
    text = _UNQUOTED.sub(rb">\1", own + to_unix(data))
    who = "".join(c for c in sender if c.isascii() and c.isprintable() and c != " ") or "MAILER-DAEMON"
    end = b"\n" if text.endswith(b"\n") else b"\r\n\n" if text.endswith(b"\r") else b"\n\n"
    return f"From {who} {_asctime(date)}\n".encode() + text + end


def own_field(mark: Mark, flags: FlagSet, size: int) -> bytes:
    """Return the field that tells what an exported message was; `size` is its octets."""
    letters = "".join(letter for bit, letter in _LETTERS.items() if flags.system & bit) or "-"
    words = b"".join(b" " + name for name in flags.keywords)
    return b"%s: %d %d %d %s%s\n" % (OWN_FIELD, mark.uidvalidity, mark.uid, size, letters.encode(), words)


def first_mark(path: Path) -> Mark | None:
    """Return the mark of an export's first message; None if the file is no export."""
    with path.open("rb") as file:
        piece = next(_pieces(file), None)
    own = _OWN.match(piece.text or b"") if piece is not None else None
    return Mark(int(own[1][:18]), int(own[2][:18])) if own else None


def last_mark(path: Path) -> tuple[Mark, int] | None:
    """Return the mark of an export's last message but one, and where that ends; None if there is none.

    The last one may be half a message: the export that wrote it may have been killed.
    """
    marked: list[tuple[Mark, int]] = []
    position = 0
    with path.open("rb") as file:
        for piece in _pieces(file):
            position += piece.octets
            own = _OWN.match(piece.text or b"")
            if own is None:
                break
            marked = [*marked[-1:], (Mark(int(own[1][:18]), int(own[2][:18])), position)]
    return marked[0] if len(marked) == 2 else None


def _asctime(date: int) -> str:
    moment = time.gmtime(max(date, 0))
    day = f"{_WEEKDAYS[moment.tm_wday]} {calendar.month_abbr[moment.tm_mon]} {moment.tm_mday:2d}"
    return f"{day} {moment.tm_hour:02d}:{moment.tm_min:02d}:{moment.tm_sec:02d} {moment.tm_year:04d}"


def deliver(path: Path, sender: str, data: bytes, *, token: str, date: int, repeated: bool = True) -> bool:
    """Append a message durably under both locks; False if it is there already (`token`, where `repeated`).

    A write that fails is taken back. Locked when another program keeps the mailbox; OSError.
    """
    field = b"%s: %s\n" % (ENTRY_FIELD, token.encode())
    with _dot_locked(path), open(path, "r+b", opener=_creating) as file:
        _lock(file, path)
        end = file.seek(0, os.SEEK_END)
        if repeated and _holds(file, end, field):
            return False
        try:
            file.write(_gap(file, end) + render(data, sender, date, field))
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), end)
            raise
    return True


def _gap(file: BinaryIO, end: int) -> bytes:
    """Return what is missing before the next `From `: a program that died may have left half a message."""
    last = os.pread(file.fileno(), 2, max(end - 2, 0))
    if not last or last == b"\n\n":
        return b""
    return b"\n" if last.endswith(b"\n") else b"\n\n"


def _holds(file: BinaryIO, end: int, field: bytes) -> bool:
    """Say whether the file's end has a whole message with this field."""
    start = max(end - LOOK_BACK, 0)
    text = os.pread(file.fileno(), end - start, start)
    place = text.find(b"\n" + field)
    return place >= 0 and text.endswith(b"\n\n")


def _creating(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, MODE)


def _lock(file: BinaryIO, path: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise Locked(f"{path} is locked") from None
        time.sleep(0.05)


@contextlib.contextmanager
def _dot_locked(path: Path) -> Iterator[None]:
    """Hold `path.lock`, which programs agree upon that can't rely on fcntl."""
    lock = path.with_name(path.name + ".lock")
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            os.close(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE))
            break
        except FileExistsError:
            with contextlib.suppress(FileNotFoundError):
                if time.time() - lock.stat().st_mtime > STALE_LOCK:
                    lock.unlink()
                    continue
            if time.monotonic() > deadline:
                raise Locked(f"{path} is locked by {lock}") from None
        time.sleep(0.05)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
