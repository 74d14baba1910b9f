"""Maildir: a file for each message, flags in its name (Maildir++ folders `.A.B`, or nested ones; dovecot-keywords).

for folder in folders(root):
    for place in places(folder): read(place)
deliver(root, "unique", data)
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.durable import sync_folder as sync_folder
from shared.imap.flags import FlagSet
from shared.imap.mailbox_name import INBOX, MAX_DEPTH, SEPARATOR, canonical
from shared.mailbox.loose import (
    MAX_MESSAGE,
    SYSTEM_LETTERS,
    Loose,
    Unusable,
    decode_level,
    encode_name,
    keyword,
    loose,
    shortened,
)
from shared.mailbox.loose import to_unix as to_unix

SUBFOLDERS = ("tmp", "new", "cur")
KEYWORDS_FILE = "dovecot-keywords"
UIDS_FILE = "dovecot-uidlist"
PASSED = b"$Forwarded"  # what the letter P means
MAX_LETTERS = 26  # keywords that a file's name can tell: a to z
MAX_LIST = 64 * 1024 * 1024  # octets of a dovecot-uidlist or dovecot-keywords that are read
MAX_FOLDERS = 20_000
MODE, FOLDER_MODE = 0o600, 0o700

_INFO = re.compile(r"[:;!]2,([A-Za-z,]*)")  # the colon is another character where a colon can't be
_UID_LINE = re.compile(r"^(\d+) (?:[^:\n]* )?:([^\n]+)$", re.MULTILINE)
_KEYWORD_LINE = re.compile(r"^(\d+) (\S+)$", re.MULTILINE)
_ORDER = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of messages and the mailbox's name that it stands for; `letters` are its keywords."""

    name: str
    path: Path
    letters: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """A message's file."""

    path: Path
    flags: FlagSet


# Reading


def is_maildir(path: Path) -> bool:
    """Say whether a folder holds messages."""
    return (path / "cur").is_dir()


def folders(root: Path) -> list[Folder]:
    """Return the folders below a Maildir, itself first, by their names."""
    found = [_folder(INBOX, root)] if is_maildir(root) else []
    for path in _subfolders(root):
        if path.name.startswith("."):
            if is_maildir(path):
                levels = [decode_level(level) for level in path.name[1:].split(".")]
                found.append(_folder(SEPARATOR.join(levels), path))
        else:
            found += _nested(path, decode_level(path.name), 1)
    return sorted(found, key=lambda folder: (folder.name != INBOX, folder.name))[:MAX_FOLDERS]


def places(folder: Folder) -> list[Place]:
    """Return a folder's messages in the order that they came."""
    uids = _uids(folder.path)
    found: list[tuple[tuple[int, int, str], Place]] = []
    for sub in ("cur", "new"):
        if not (folder.path / sub).is_dir():
            continue
        with os.scandir(folder.path / sub) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_file():
                    flags = _flags(entry.name, folder.letters) if sub == "cur" else FlagSet()
                    found.append((_order(entry.name, uids), Place(Path(entry.path), flags)))
    return [place for _, place in sorted(found, key=lambda pair: pair[0])]


def read(place: Place) -> Loose | Unusable | None:
    """Read a message; None if another program has removed or renamed it meanwhile."""
    try:
        status = place.path.stat()
        if status.st_size > MAX_MESSAGE:
            return Unusable(str(place.path), f"it is larger than {MAX_MESSAGE} octets")
        return loose(place.path.read_bytes(), place.flags, int(status.st_mtime), str(place.path))
    except FileNotFoundError:
        return None
    except OSError as error:
        return Unusable(str(place.path), error.strerror or str(error))


def _nested(path: Path, name: str, depth: int) -> Iterator[Folder]:
    """The folders of Dovecot's layout `fs`: A/B/cur."""
    if depth > MAX_DEPTH:
        return
    if is_maildir(path):
        yield _folder(name, path)
    for below in _subfolders(path):
        if not below.name.startswith("."):
            yield from _nested(below, SEPARATOR.join((name, decode_level(below.name))), depth + 1)


def _subfolders(path: Path) -> list[Path]:
    """Folders other than those of messages; links aren't followed, they may lead round in a circle."""
    with os.scandir(path) as entries:
        return [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False) and e.name not in SUBFOLDERS]


def _folder(name: str, path: Path) -> Folder:
    return Folder(canonical(name), path, _letters(path))


def _letters(path: Path) -> dict[str, bytes]:
    """Return what the letters a to z mean in a folder."""
    letters: dict[str, bytes] = {}
    for number, text in _KEYWORD_LINE.findall(_list(path / KEYWORDS_FILE)):
        name = keyword(text)
        if name is not None and len(number) < 3 and int(number) < MAX_LETTERS:
            letters[chr(ord("a") + int(number))] = name
    return letters


def _uids(path: Path) -> dict[str, int]:
    """Return the UIDs that Dovecot gave: they say the order."""
    return {base.partition(":2,")[0]: int(uid[:10]) for uid, base in _UID_LINE.findall(_list(path / UIDS_FILE))}


def _list(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            return file.read(MAX_LIST)
    except OSError:  # there is none, or it isn't for us: it is of use only
        return ""


def _order(name: str, uids: Mapping[str, int]) -> tuple[int, int, str]:
    base = base_name(name)
    started = _ORDER.match(name)
    return uids.get(base, 1 << 32), int(started[0][:18]) if started else 0, name


def _flags(name: str, letters: Mapping[str, bytes]) -> FlagSet:
    info = _INFO.search(name)
    if info is None:
        return FlagSet()
    system = 0
    keywords: list[bytes] = []
    for letter in dict.fromkeys(info[1]):
        system |= SYSTEM_LETTERS.get(letter, 0)
        if letter == "P":
            keywords.append(PASSED)
        elif letter in letters:
            keywords.append(letters[letter])
    return FlagSet(system, tuple(keywords))


# Writing


def folder_path(root: Path, name: str) -> Path:
    """Return where a mailbox lies in Maildir++."""
    return root if name == INBOX else root / shortened("." + ".".join(encode_name(name)))


def make(path: Path) -> None:
    """Make a folder for messages, durably, if there is none."""
    if all((path / sub).is_dir() for sub in SUBFOLDERS):
        return
    fresh = not path.exists()
    for sub in SUBFOLDERS:
        (path / sub).mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    sync_folder(path)
    if fresh:
        sync_folder(path.parent)


def deliver(
    folder: Path,
    unique: str,
    data: bytes,
    *,
    info: str = "",
    date: int | None = None,
    is_new: bool = True,
    before: Path | None = None,
) -> Path:
    """Put a message into a folder that exists, durably: tmp, fsync, rename, fsync of the folder; OSError.

    `info` has the flags' letters of one that `is_new` no more, `date` is its internal date, `before` is the file
    of an earlier delivery of it (see `find`), which it takes the place of.
    """
    temporary = folder / "tmp" / f"{unique}.{secrets.token_hex(4)}"  # two may deliver it at a time
    sub, name = ("new", unique) if is_new else ("cur", f"{unique}:2,{info}")
    target = before or folder / sub / name
    try:
        with open(temporary, "xb", opener=_private) as file:
            file.write(data)
            file.flush()
            if date is not None:
                os.utime(file.fileno(), (date, date))
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
    return target


def find(folder: Path, unique: str) -> Path | None:
    """Return the file of a unique name that a reader has already moved to `cur`."""
    try:
        with os.scandir(folder / "cur") as entries:
            return next(
                (Path(e.path) for e in entries if e.name.startswith(unique) and base_name(e.name) == unique), None
            )
    except FileNotFoundError as error:
        raise OSError(errno.ENOENT, f"{folder} is no Maildir") from error


def info_of(flags: FlagSet, letters: Mapping[bytes, str]) -> str:
    """Return the letters that tell a message's flags, in the order that a Maildir has them."""
    told = [letter for letter, bit in SYSTEM_LETTERS.items() if flags.system & bit]
    told += [
        "P" if name.lower() == PASSED.lower() else letters[name.lower()]
        for name in flags.keywords
        if name.lower() == PASSED.lower() or name.lower() in letters
    ]
    return "".join(sorted(set(told)))


def learn_letters(folder: Path, names: Iterable[bytes]) -> dict[bytes, str]:
    """Write a folder's dovecot-keywords with these keywords added as far as there are letters; return all."""
    written = _letters(folder)
    known = {name.lower(): letter for letter, name in written.items()}
    free = [chr(ord("a") + n) for n in range(MAX_LETTERS) if chr(ord("a") + n) not in written]
    missing = [name for name in names if name.lower() not in known and name.lower() != PASSED.lower()]
    for letter, name in zip(free, missing, strict=False):
        known[name.lower()] = letter
        written[letter] = name
    if missing and free:
        lines = [f"{ord(letter) - ord('a')} {name.decode('ascii')}\n" for letter, name in sorted(written.items())]
        temporary = folder / f"{KEYWORDS_FILE}.new"
        temporary.write_text("".join(lines), encoding="ascii")
        temporary.replace(folder / KEYWORDS_FILE)
    return known


def base_name(name: str) -> str:
    """Return a file's name without its flags."""
    return _INFO.split(name)[0]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, MODE)
