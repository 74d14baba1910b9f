"""Large bodies: durable before they are named, gone after a failure, bounded in memory."""

from __future__ import annotations

import asyncio
import errno
import os
import zlib
from pathlib import Path

import pytest

from shared.ids import new_id
from shared.journal import large as module
from shared.journal.errors import JournalFailed, JournalFull
from shared.journal.limits import Limits
from shared.journal.reference import large_path
from shared.journal.segments import list_large
from shared.journal.writer import Writer


async def test_the_file_is_what_was_written(writer: Writer, tmp_path: Path) -> None:
    upload = writer.large(new_id())
    data = os.urandom(2_500_000)
    for start in range(0, len(data), 64 * 1024):
        await upload.write(data[start : start + 64 * 1024])
        assert upload._buffered <= Limits().large_chunk
    large = await upload.finish()
    assert large_path(tmp_path, large.name).read_bytes() == data
    assert large.crc == zlib.crc32(data)
    await upload.abort()  # after finish the file belongs to the record
    assert large_path(tmp_path, large.name).exists()


async def test_file_then_folder_are_synced(writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    upload = writer.large(new_id())
    await upload.write(b"x")
    path = large_path(tmp_path, (await upload.finish()).name)
    assert synced == [str(tmp_path / "large"), str(path), str(path.parent)]


async def test_the_same_entry_twice_makes_two_files(writer: Writer) -> None:
    entry = new_id()
    first, second = writer.large(entry), writer.large(entry)
    await first.write(b"1")
    await second.write(b"2")
    assert (await first.finish()).name != (await second.finish()).name


async def test_abort_removes(writer: Writer, tmp_path: Path) -> None:
    upload = writer.large(new_id())
    await upload.write(bytes(2_000_000))
    assert len(list(list_large(tmp_path))) == 1
    await upload.abort()
    await upload.abort()
    assert list(list_large(tmp_path)) == []
    with pytest.raises(JournalFailed):
        await upload.write(b"more")
    with pytest.raises(JournalFailed):
        await upload.finish()


@pytest.mark.parametrize(
    ("call", "number", "failure", "poisoned"),
    [
        ("pwrite", errno.ENOSPC, JournalFull, False),
        ("pwrite", errno.EIO, JournalFailed, True),
        ("pwrite", errno.EROFS, JournalFailed, False),
        ("fsync", errno.EIO, JournalFailed, True),
        ("fsync", errno.ENOSPC, JournalFailed, True),
    ],
)
async def test_failures(
    writer: Writer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    failure: type[Exception],
    poisoned: bool,
) -> None:
    upload = writer.large(new_id())
    await upload.write(bytes(2_000_000))

    def fail(*args: object) -> None:
        raise OSError(number, "injected")

    with monkeypatch.context() as patch:
        patch.setattr(module.os, call, fail)
        await upload.write(b"x")
        with pytest.raises(failure):
            await upload.finish()
    assert writer.is_poisoned is poisoned
    await upload.abort()
    assert list(list_large(tmp_path)) == []


async def test_a_cancelled_write_can_be_aborted(writer: Writer, tmp_path: Path) -> None:
    upload = writer.large(new_id())
    task = asyncio.create_task(upload.write(bytes(5_000_000)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await upload.abort()
    assert list(list_large(tmp_path)) == []
