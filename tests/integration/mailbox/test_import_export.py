"""Imports and exports against real SQL and a real journal: nothing lost, nothing twice."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.imap.flags import DELETED, SEEN, FlagSet
from shared.journal.errors import JournalFailed
from shared.journal.reader import Reader
from shared.journal.record import LARGE_THRESHOLD
from shared.journal.writer import Writer
from shared.mailbox import maildir, mbox
from shared.mailbox.content import Content
from shared.mailbox.loose import Loose, Unusable
from shared.mailbox.messages import StoreMode, Want
from shared.operations import importing
from shared.operations.exporting import Exporter, mbox_path
from shared.operations.importing import Importer
from tests.integration.mailbox.conftest import NO_FLAGS, World, make_world


class Ferry:
    """Imports into and exports from the first account of a world."""

    def __init__(self, world: World, writer: Writer, reader: Reader) -> None:
        self.world, self.writer = world, writer
        self.content = Content(world.database, reader)

    async def bring(self, messages: list[Loose | Unusable], name: str = "INBOX") -> tuple[int, int, int]:
        world = self.world
        importer = Importer(world.database, self.writer, world.account, "u0@a.test", clock=time.time)
        await importer.bring(name, iter(messages))
        await world.check_counts()
        report = importer.report
        return report.imported, report.present, report.failed

    async def export(self, path: Path, kind: str, name: str = "INBOX") -> tuple[int, int, int]:
        exporter = Exporter(self.world.database, self.content)
        box = await self.world.mailboxes.get(self.world.account, name)
        if kind == "maildir":
            await exporter.to_maildir(box, path)
        else:
            await exporter.to_mbox(box, mbox_path(path, name))
        return exporter.report.imported, exporter.report.present, exporter.report.failed

    async def mailbox(self, name: str = "INBOX") -> list[tuple[bytes, list[bytes], int]]:
        """Octets, flags and date of each message."""
        box = await self.world.mailboxes.get(self.world.account, name)
        selected = await self.world.messages.select(box.id)
        rows = self.world.messages.fetch_rows(box.id, selected.uids, Want.CONTENT)
        return [
            (await self.content.read(row), selected.keywords.names_of(row["flags"]), row["internal_date"])
            async for chunk in rows
            for row in chunk
        ]


@pytest.fixture
async def ferry(world: World, tmp_path: Path) -> AsyncIterator[Ferry]:
    writer, reader = Writer(tmp_path / "journal", "import-1"), Reader(tmp_path / "journal")
    await writer.open()
    yield Ferry(world, writer, reader)
    await writer.close()
    reader.close()


def some(count: int, flags: FlagSet = NO_FLAGS, octets: int = 0) -> list[Loose | Unusable]:
    return [
        Loose(b"Subject: %d\r\n\r\n" % number + b"x" * octets + b"\r\n", flags, 1_000_000_000 + number, str(number))
        for number in range(count)
    ]


async def test_importing_twice_makes_no_doubles(ferry):
    batch = [*some(300), *some(2), Unusable("bad", "why")]
    assert await ferry.bring(batch) == (302, 0, 1)
    assert await ferry.bring(batch) == (0, 302, 1)
    assert await ferry.bring(some(5), "Work/Deep") == (5, 0, 0)  # another mailbox is another place
    inbox = await ferry.mailbox()
    assert [data for data, _, _ in inbox] == [one.data for one in batch if isinstance(one, Loose)]
    names = {one.name: one for one in await ferry.world.mailboxes.listing(ferry.world.account)}
    assert names["Work/Deep"].subscribed


async def test_what_its_user_moved_is_known_and_what_they_expunged_comes_back(ferry):
    world = ferry.world
    await ferry.bring(some(4))
    inbox = await world.inbox()
    trash = await world.mailboxes.get(world.account, "Trash")
    await world.messages.move(world.account, inbox.id, [(1, 1)], trash.id)
    await world.messages.remove(world.account, inbox.id, [(2, 2)])
    assert await ferry.bring(some(4)) == (1, 3, 0)
    assert len(await ferry.mailbox()) == 3


async def test_an_import_that_was_killed_goes_on(ferry, monkeypatch):
    calls = 0
    real = importing._store

    async def failing(*arguments):
        nonlocal calls
        calls += 1
        if calls > 200:
            raise JournalFailed("the mail volume failed")
        return await real(*arguments)

    monkeypatch.setattr(importing, "_store", failing)
    with pytest.raises(JournalFailed):
        await ferry.bring(some(400))
    monkeypatch.setattr(importing, "_store", real)
    assert await ferry.bring(some(400)) == (272, 128, 0)
    assert [date - 1_000_000_000 for _, _, date in await ferry.mailbox()] == list(range(400))


async def test_large_ones_flags_and_too_many_keywords(ferry):
    flags = FlagSet(SEEN | DELETED, (b"$Label1", b"Work"))
    assert await ferry.bring(some(2, flags, LARGE_THRESHOLD)) == (2, 0, 0)
    crowd = FlagSet(SEEN, tuple(b"k%d" % number for number in range(60)))
    assert await ferry.bring(some(1, crowd), "Crowded") == (1, 0, 0)
    assert (await ferry.mailbox())[0][1] == [b"\\Deleted", b"\\Seen", b"$Label1", b"Work"]
    assert (await ferry.mailbox("Crowded"))[0][1] == [b"\\Seen"]


async def test_a_quota_is_respected(database, tmp_path):
    writer = Writer(tmp_path / "journal", "import-1")
    await writer.open()
    ferry = Ferry(await make_world(database, quota=2500), writer, Reader(tmp_path / "journal"))
    assert await ferry.bring(some(4, octets=1000)) == (2, 0, 2)
    await writer.close()


async def test_a_name_that_no_mailbox_can_have_ends_only_itself(ferry):
    with pytest.raises(Exception, match="empty") as raised:
        await ferry.bring(some(1), "a//b")
    assert importing.describe(raised.value)


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
async def test_an_export_comes_back_as_it_was(ferry, tmp_path, kind):
    flags = FlagSet(SEEN, (b"$Forwarded", b"Work"))
    odd = [
        Loose(b"Status: RO\r\nSubject: own status\r\n\r\nFrom x\r\n>From y\r\n", flags, 1_000_000_500, "x"),
        Loose(b"Subject: no line end\r\n\r\nend", FlagSet(), 1_000_000_600, "y"),
        Loose(b"Subject: bare\r\n\r\na\rb\r\r\n", FlagSet(DELETED), 1_000_000_700, "z"),
    ]
    name = "Entw\u00fcrfe/.. und so"
    await ferry.bring([*some(30), *odd], name)
    before = await ferry.mailbox(name)
    target = tmp_path / "out"
    assert await ferry.export(target, kind, name) == (33, 0, 0)
    assert await ferry.export(target, kind, name) == ((0, 33, 0) if kind == "maildir" else (1, 32, 0))
    assert await ferry.bring(_read(target, kind, name), name) == (0, 33, 0)
    assert await ferry.bring(_read(target, kind, name), "Back") == (33, 0, 0)
    assert [(d, set(f), at) for d, f, at in await ferry.mailbox("Back")] == [(d, set(f), at) for d, f, at in before]


@pytest.mark.parametrize("kind", ["maildir", "mbox"])
async def test_an_export_goes_on_where_it_was_killed(ferry, tmp_path, kind):
    await ferry.bring(some(10))
    assert await ferry.export(tmp_path / "out", kind) == (10, 0, 0)
    if kind == "maildir":
        next((tmp_path / "out" / "cur").iterdir()).unlink()
    else:
        path = tmp_path / "out" / "INBOX.mbox"
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 7)
    await ferry.world.append(await ferry.world.inbox())  # of which the journal knows nothing
    assert await ferry.export(tmp_path / "out", kind) == (1, 9, 1)
    assert len(_read(tmp_path / "out", kind, "INBOX")) == 10


async def test_flags_are_told_anew_and_strange_files_left_alone(ferry, tmp_path):
    await ferry.bring(some(2))
    await ferry.export(tmp_path / "out", "maildir")
    inbox = await ferry.world.inbox()
    await ferry.world.messages.store_flags(ferry.world.account, inbox.id, [(1, 1)], StoreMode.ADD, FlagSet(SEEN))
    assert await ferry.export(tmp_path / "out", "maildir") == (0, 2, 0)
    flags = [one.flags.system for one in _read(tmp_path / "out", "maildir", "INBOX")]
    assert sorted(flags) == [0, SEEN]
    (tmp_path / "INBOX.mbox").write_bytes(b"From x Sat Jan 1 10:00:00 2022\nSubject: mine\n\n")
    with pytest.raises(FileExistsError, match="no earlier export"):
        await ferry.export(tmp_path, "mbox")


def _read(target: Path, kind: str, name: str) -> list[Loose | Unusable]:
    if kind == "mbox":
        with mbox.reading(mbox_path(target, name)) as found:
            return list(found)
    [folder] = [one for one in maildir.folders(target) if one.name == name]
    return [one for place in maildir.places(folder) if (one := maildir.read(place)) is not None]
