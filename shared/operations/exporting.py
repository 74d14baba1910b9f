"""Writing an account's mail as Maildir or mbox: with flags, keywords and folders; what is there already stays."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from shared.db import Database
from shared.imap.flags import FlagSet, Keywords
from shared.imap.sequence import Range
from shared.mailbox import maildir, mbox
from shared.mailbox.content import BATCH_BYTES, Content, Failure, Row
from shared.mailbox.loose import encode_name, shortened
from shared.mailbox.mailbox import Mailbox
from shared.mailbox.messages import Messages
from shared.mailbox.rows import SIZE, Want
from shared.operations.importing import Report

WRITERS = 8  # files that are written at a time: each waits for the disk
MBOX_SUFFIX = ".mbox"


class Exporter:
    """Exports mailboxes; `advance` is told of each message that is dealt with."""

    def __init__(
        self, database: Database, content: Content, *, advance: Callable[[int], object] = lambda amount: None
    ) -> None:
        self._messages = Messages(database)
        self._content = content
        self._advance = advance
        self.report = Report()

    async def to_maildir(self, mailbox: Mailbox, root: Path) -> None:
        """Write a mailbox into a folder of a Maildir++, past what an earlier export has written; OSError.

        Flags that have changed since then are told anew.
        """
        folder = maildir.folder_path(root, mailbox.name)
        await asyncio.to_thread(_make_all, root, folder)
        keywords = await self._messages.keywords(mailbox.id)
        letters = await asyncio.to_thread(maildir.learn_letters, folder, keywords.names)
        there = await asyncio.to_thread(_files, folder)
        selected = await self._messages.select(mailbox.id)
        async for rows in self._rows(mailbox.id, selected.uids):
            wanted = []
            for row in rows:
                flags = _flag_set(keywords, row["flags"])
                unique, info = _unique(mailbox, row), maildir.info_of(flags, letters)
                self.report.without_keywords += any(
                    name.lower() not in letters and name.lower() != maildir.PASSED.lower() for name in flags.keywords
                )
                if unique in there:
                    await asyncio.to_thread(_rename, there[unique], unique, info)
                    self._present()
                else:
                    wanted.append((row, unique, info))
            for portion in _portions(wanted):
                await self._write_files(folder, portion)
            await asyncio.to_thread(maildir.sync_folder, folder / "cur")

    async def _write_files(self, folder: Path, portion: Sequence[tuple[Row, str, str]]) -> None:
        slots = asyncio.Semaphore(WRITERS)

        async def write(data: bytes, row: Row, unique: str, info: str) -> None:
            async with slots:
                await asyncio.to_thread(_deliver, folder, unique, data, info, row["internal_date"])
            self._written()

        found = await self._content.read_many([row for row, _, _ in portion])
        await asyncio.gather(
            *(
                write(data, row, unique, info)
                for data, (row, unique, info) in zip(found, portion, strict=True)
                if isinstance(data, bytes)
            )
        )
        for data, (row, _, _) in zip(found, portion, strict=True):
            if not isinstance(data, bytes):
                self._lost(folder, row, data)

    async def to_mbox(self, mailbox: Mailbox, path: Path) -> None:
        """Append to a file the messages that an earlier export hasn't written yet; OSError, FileExistsError.

        FileExistsError for a file that is no export of this mailbox.
        """
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        last = await asyncio.to_thread(_resume, path, mailbox)
        keywords = await self._messages.keywords(mailbox.id)
        selected = await self._messages.select(mailbox.id)
        self._present(sum(max(min(high, last) - low + 1, 0) for low, high in selected.uids))
        with path.open("ab") as file:
            async for rows in self._rows(mailbox.id, selected.uids, last + 1):
                for portion in _portions([(row, "", "") for row in rows]):
                    found = await self._content.read_many([row for row, _, _ in portion])
                    for data, (row, _, _) in zip(found, portion, strict=True):
                        if isinstance(data, bytes):
                            await asyncio.to_thread(file.write, _rendered(mailbox, keywords, row, data))
                            self._written()
                        else:
                            self._lost(path, row, data)
            await asyncio.to_thread(_sync, file, path.parent)

    async def _rows(self, mailbox_id: int, uids: Sequence[Range], first: int = 1) -> AsyncIterator[Sequence[Row]]:
        """Yield rows of what isn't expunged, from a UID on."""
        ranges = [(max(low, first), high) for low, high in uids if high >= first]
        async for rows in self._messages.fetch_rows(mailbox_id, ranges, Want.CONTENT):
            yield rows

    def _written(self) -> None:
        self.report.imported += 1
        self._advance(1)

    def _present(self, count: int = 1) -> None:
        self.report.present += count
        self._advance(count)

    def _lost(self, where: Path, row: Row, failure: Failure) -> None:
        self.report.fail(f"{where} UID {row['uid']}", str(failure))
        self._advance(1)


def mbox_path(root: Path, name: str) -> Path:
    """Return the file of a mailbox below a folder."""
    *above, last = map(shortened, encode_name(name))
    return root.joinpath(*above, last + MBOX_SUFFIX)


def _unique(mailbox: Mailbox, row: Row) -> str:
    """Return a file's name that tells nobody's secrets and stays the same: date, mailbox, UID."""
    return f"{row['internal_date']}.V{mailbox.uidvalidity}U{row['uid']}.packetboat,W={row[SIZE]}"


def _flag_set(keywords: Keywords, mask: int) -> FlagSet:
    names = [name for name in keywords.names_of(mask) if not name.startswith(b"\\")]
    return FlagSet(mask & 0xFF, tuple(names))


def _portions(rows: Sequence[tuple[Row, str, str]]) -> list[list[tuple[Row, str, str]]]:
    """Cut rows into what is read into memory at a time."""
    portions: list[list[tuple[Row, str, str]]] = []
    octets = BATCH_BYTES
    for row in rows:
        if octets + row[0][SIZE] > BATCH_BYTES:
            portions.append([])
            octets = 0
        portions[-1].append(row)
        octets += row[0][SIZE]
    return portions


def _make_all(root: Path, folder: Path) -> None:
    maildir.make(root)
    maildir.make(folder)
    if folder != root:
        (folder / "maildirfolder").touch()


def _files(folder: Path) -> dict[str, Path]:
    return {maildir.base_name(place.path.name): place.path for place in maildir.places(maildir.Folder("", folder))}


def _rename(path: Path, unique: str, info: str) -> None:
    target = path.parent.parent / "cur" / f"{unique}:2,{info}"
    if path != target:
        with contextlib.suppress(FileNotFoundError):
            path.rename(target)


def _deliver(folder: Path, unique: str, data: bytes, info: str, date: int) -> None:
    maildir.deliver(folder, unique, maildir.to_unix(data), info=info, date=date, is_new=False)


def _rendered(mailbox: Mailbox, keywords: Keywords, row: Row, data: bytes) -> bytes:
    mark = mbox.Mark(mailbox.uidvalidity, row["uid"])
    own = mbox.own_field(mark, _flag_set(keywords, row["flags"]), len(data))
    return mbox.render(data, "", row["internal_date"], own)


def _resume(path: Path, mailbox: Mailbox) -> int:
    """Cut off what may be half a message and return the last UID that is there, 0 for none."""
    try:
        if not path.stat().st_size:
            return 0
    except FileNotFoundError:
        return 0
    start = mbox.first_mark(path)
    if start is None or start.uidvalidity != mailbox.uidvalidity:
        raise FileExistsError(f"{path} is no earlier export of {mailbox.name}: name another path")
    found = mbox.last_mark(path)
    os.truncate(path, found[1] if found else 0)
    return found[0].uid if found else 0


def _sync(file: BinaryIO, folder: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    maildir.sync_folder(folder)
