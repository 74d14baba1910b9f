"""The writer: durable before it returns, groups, sealing, the fence, poison, full volumes."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path

import pytest

from shared.journal import active
from shared.journal.errors import JournalFailed, JournalFull
from shared.journal.limits import Limits
from shared.journal.reader import Reader, ScannedRecord
from shared.journal.segments import FileState, list_segments, take_over
from shared.journal.writer import Writer
from tests.unit.journal.conftest import MakeEnvelope

SMALL = Limits(reserve=0, segment_size=10_000)


class Disk:
    """Wraps the calls that the journal makes, notes their order and fails on demand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fail: dict[str, list[int]] = {}
        self.short = False
        for name in ("pwritev", "fdatasync", "fsync", "open", "rename"):
            self._wrap(monkeypatch, name, getattr(os, name))

    def _wrap(self, monkeypatch: pytest.MonkeyPatch, name: str, real: object) -> None:
        def call(*args: object, **kwargs: object) -> object:
            if name == "fdatasync":
                self.gate.wait(10)
            if name == "open" and not (int(args[1]) & os.O_CREAT):  # type: ignore[call-overload]
                return real(*args, **kwargs)  # type: ignore[operator]
            self.calls.append(name)
            if self.fail.get(name):
                raise OSError(self.fail[name].pop(0), "injected")
            if name == "pwritev" and self.short:
                return real(args[0], [b"".join(args[1])[:-3]], *args[2:])  # type: ignore[operator,arg-type]
            return real(*args, **kwargs)  # type: ignore[operator]

        monkeypatch.setattr(active.os, name, call)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


async def test_what_was_appended_is_read_back(writer: Writer, tmp_path: Path, envelope: MakeEnvelope) -> None:
    made = envelope()
    ref = await writer.append(made, [b"Received: x\r\n", b"Subject: y\r\n\r\nbody\r\n"])
    reader = Reader(tmp_path)
    assert reader.record(ref) == (made, b"Received: x\r\nSubject: y\r\n\r\nbody\r\n")
    assert ref.segment.partition("/")[2].startswith("mta-1-")
    await writer.seal()
    assert reader.record(ref) == (made, b"Received: x\r\nSubject: y\r\n\r\nbody\r\n")


async def test_nothing_returns_before_fdatasync(writer: Writer, disk: Disk, envelope: MakeEnvelope) -> None:
    disk.gate.clear()
    first = asyncio.create_task(writer.append(envelope(), b"one"))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(writer.append(envelope(), b"two"))
    await asyncio.sleep(0.05)
    assert not first.done() and not second.done()
    assert disk.calls[-1:] == ["pwritev"]  # fdatasync has not gone through
    disk.gate.set()
    one, two = await asyncio.gather(first, second)
    assert disk.calls[-4:] == ["pwritev", "fdatasync", "pwritev", "fdatasync"]
    assert two.offset == one.offset + one.length


async def test_what_arrives_together_is_one_group(writer: Writer, disk: Disk, envelope: MakeEnvelope) -> None:
    await writer.append(envelope(), b"first")
    disk.calls.clear()
    refs = await asyncio.gather(*(writer.append(envelope(), b"x" * n) for n in range(50)))
    assert disk.calls == ["pwritev", "fdatasync"]
    assert [ref.inline for ref in refs] == list(range(50))
    assert (writer.stats.groups, writer.stats.records) == (2, 51)
    assert writer.stats.sync_seconds > 0


async def test_a_group_is_written_in_bounded_pieces(tmp_path: Path, disk: Disk, envelope: MakeEnvelope) -> None:
    writer = Writer(tmp_path, "mta-1", limits=Limits(reserve=0, group_bytes=5_000))
    await writer.open()
    bodies = [bytes([n]) * 2_000 for n in range(20)]
    refs = await asyncio.gather(*(writer.append(envelope(), body) for body in bodies))
    assert 10 <= writer.stats.groups <= 20
    many = await asyncio.gather(*(writer.append(envelope(), [b"a", b"b"] * 20) for _ in range(100)))
    reader = Reader(tmp_path)
    assert [reader.read(ref) for ref in refs] == bodies
    assert all(reader.read(ref) == b"ab" * 20 for ref in many)
    await writer.close()


async def test_a_full_segment_is_sealed(tmp_path: Path, envelope: MakeEnvelope) -> None:
    writer = Writer(tmp_path, "mta-1", limits=SMALL)
    await writer.open()
    refs = [await writer.append(envelope(), b"x" * 3_000) for _ in range(10)]
    segments = list_segments(tmp_path)
    assert sum(s.state is FileState.OPEN for s in segments) == 1
    sealed = [s for s in segments if s.state is FileState.SEALED]
    assert len(sealed) == 4 and all(s.size <= SMALL.segment_size + 60 for s in sealed)
    reader = Reader(tmp_path)
    assert all(reader.read(ref) == b"x" * 3_000 for ref in refs)
    await writer.close()
    assert {s.state for s in list_segments(tmp_path)} == {FileState.SEALED}


async def test_records_on_both_sides_of_the_zeros_end(writer: Writer, tmp_path: Path, envelope: MakeEnvelope) -> None:
    bodies = [bytes([n]) * size for n, size in enumerate((50_000, 50_000, 300_000, 10, 50_000, 200_000, 60_000))]
    refs = [await writer.append(envelope(), body) for body in bodies]
    reader = Reader(tmp_path)
    assert [reader.read(ref) for ref in refs] == bodies
    scanned = [r.reference for r in reader.scan(refs[0].segment) if isinstance(r, ScannedRecord)]
    assert scanned == refs
    await writer.seal()
    assert [r.reference for r in reader.scan(refs[0].segment) if isinstance(r, ScannedRecord)] == refs
    assert list_segments(tmp_path)[0].size < refs[-1].offset + refs[-1].length + 100


async def test_one_sender_never_waits_and_many_share_groups(writer: Writer, envelope: MakeEnvelope) -> None:
    async def send(count: int) -> None:
        for _ in range(count):
            await writer.append(envelope(), b"x")

    await send(20)
    assert writer.stats.groups == 20 and writer._gathering() == 0.0
    await asyncio.gather(*(send(20) for _ in range(10)))
    assert writer.stats.records == 220 and writer.stats.groups <= 20 + 40


async def test_a_volume_too_full_for_zeros_takes_records(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "injected")

    monkeypatch.setattr(active.os, "pwrite", full)
    assert Reader(tmp_path).read(await writer.append(envelope(), b"fits")) == b"fits"


async def test_an_old_segment_is_sealed_without_another_append(tmp_path: Path, envelope: MakeEnvelope) -> None:
    writer = Writer(tmp_path, "mta-1", limits=Limits(reserve=0, segment_age=0.05))
    await writer.open()
    await writer.append(envelope(), b"x")
    async with asyncio.timeout(5):
        while list_segments(tmp_path)[0].state is not FileState.SEALED:
            await asyncio.sleep(0.01)
    await writer.close()
    assert len(list_segments(tmp_path)) == 1


async def test_an_idle_writer_makes_no_files(writer: Writer, tmp_path: Path) -> None:
    await writer.seal()
    writer.epoch_changed()
    await writer.seal()
    assert list_segments(tmp_path) == []


async def test_a_new_epoch_starts_another_segment(writer: Writer, tmp_path: Path, envelope: MakeEnvelope) -> None:
    before = await writer.append(envelope(), b"before")
    writer.epoch_changed()
    after = await writer.append(envelope(), b"after")
    assert before.segment != after.segment
    states = {s.name: s.state for s in list_segments(tmp_path)}
    assert states == {before.segment: FileState.SEALED, after.segment: FileState.OPEN}


async def test_a_fenced_writer_appends_again_elsewhere(
    writer: Writer, tmp_path: Path, disk: Disk, envelope: MakeEnvelope
) -> None:
    first = await writer.append(envelope(), b"first")
    disk.gate.clear()
    late = envelope()
    task = asyncio.create_task(writer.append(late, b"late"))
    await asyncio.sleep(0.05)
    os.rename(tmp_path / f"{first.segment}.open", tmp_path / f"{first.segment}.seg")
    disk.gate.set()
    second = await task
    assert second.segment != first.segment and writer.stats.fences == 1
    reader = Reader(tmp_path)
    assert reader.record(second) == (late, b"late")
    assert next(r.reference for r in reader.scan(first.segment) if isinstance(r, ScannedRecord)) == first


@pytest.mark.parametrize("is_on_network", [False, True])
async def test_a_sealed_and_removed_segment_fences_too(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope, monkeypatch: pytest.MonkeyPatch, is_on_network: bool
) -> None:
    monkeypatch.setattr("shared.journal.active.is_on_network", lambda path: is_on_network)
    first = await writer.append(envelope(), b"first")
    sealed = take_over(tmp_path, first.segment)
    assert sealed.state is FileState.SEALED and sealed.size >= first.length
    (tmp_path / f"{first.segment}.seg").unlink()
    second = await writer.append(envelope(), b"second")
    assert second.segment != first.segment


async def test_sealing_what_was_taken_over_is_harmless(writer: Writer, tmp_path: Path, envelope: MakeEnvelope) -> None:
    first = await writer.append(envelope(), b"first")
    size = take_over(tmp_path, first.segment).size
    await writer.seal()
    assert list_segments(tmp_path)[0].size == size  # no end record behind the sealed length


@pytest.mark.parametrize("broken", ["fdatasync", "pwritev", "short"])
async def test_an_error_poisons(tmp_path: Path, disk: Disk, envelope: MakeEnvelope, broken: str) -> None:
    told: list[Exception] = []
    writer = Writer(tmp_path, "mta-1", limits=Limits(reserve=0), on_poison=told.append)
    await writer.open()
    good = await writer.append(envelope(), b"good")
    disk.short = broken == "short"
    disk.fail[broken] = [errno.EIO]
    disk.calls.clear()
    results = await asyncio.gather(*(writer.append(envelope(), b"lost") for _ in range(5)), return_exceptions=True)
    assert [type(r) for r in results] == [JournalFailed] * 5
    assert (results[0].code, results[0].status) == (451, "4.3.0")  # type: ignore[union-attr]
    assert writer.is_poisoned and len(told) == 1
    touched = list(disk.calls)
    with pytest.raises(JournalFailed):
        await writer.append(envelope(), b"never")
    with pytest.raises(JournalFailed):
        await writer.close()
    assert disk.calls == touched  # the segment is never written, synced or renamed again
    assert Reader(tmp_path).read(good) == b"good"


async def test_a_full_disk_while_writing_poisons(
    writer: Writer, disk: Disk, envelope: MakeEnvelope, tmp_path: Path
) -> None:
    own = Writer(tmp_path, "mta-2", limits=Limits(reserve=0))
    await own.open()
    await own.append(envelope(), b"x")
    disk.fail["pwritev"] = [errno.ENOSPC]
    with pytest.raises(JournalFailed):
        await own.append(envelope(), b"y")
    assert own.is_poisoned
    with pytest.raises(JournalFailed):
        await own.close()


async def test_no_room_for_a_segment_is_452_and_passes(writer: Writer, disk: Disk, envelope: MakeEnvelope) -> None:
    disk.fail["open"] = [errno.ENOSPC]
    with pytest.raises(JournalFull) as raised:
        await writer.append(envelope(), b"x")
    assert (raised.value.code, raised.value.status) == (452, "4.3.1")
    assert not writer.is_poisoned
    assert (await writer.append(envelope(), b"x")).offset == 0


async def test_a_read_only_volume_is_451_and_passes(writer: Writer, disk: Disk, envelope: MakeEnvelope) -> None:
    disk.fail["open"] = [errno.EROFS]
    with pytest.raises(JournalFailed):
        await writer.append(envelope(), b"x")
    assert not writer.is_poisoned
    await writer.append(envelope(), b"x")


async def test_a_failed_directory_fsync_poisons(writer: Writer, disk: Disk, envelope: MakeEnvelope) -> None:
    disk.fail["fsync"] = [errno.EIO]
    with pytest.raises(JournalFailed):
        await writer.append(envelope(), b"x")
    assert writer.is_poisoned
    with pytest.raises(JournalFailed):
        await writer.close()
    writer._closing = True  # the fixture's close has nothing left to do


async def test_a_full_disk_at_the_end_record_still_seals(
    writer: Writer, tmp_path: Path, disk: Disk, envelope: MakeEnvelope
) -> None:
    ref = await writer.append(envelope(), b"x")
    disk.fail["pwritev"] = [errno.ENOSPC]
    await writer.seal()
    assert list_segments(tmp_path)[0].state is FileState.SEALED
    assert Reader(tmp_path).read(ref) == b"x"


async def test_below_the_reserve_only_the_entitled_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, envelope: MakeEnvelope
) -> None:
    free = 1_000_000
    monkeypatch.setattr("shared.journal.writer.free_bytes", lambda root: free)
    limits = Limits(reserve=2_000_000, space_interval=0.0)
    mta, mda = Writer(tmp_path, "mta-1", limits=limits), Writer(tmp_path, "mda-1", limits=limits, may_use_reserve=True)
    await mta.open()
    await mda.open()
    with pytest.raises(JournalFull):
        await mta.append(envelope(), b"x")
    with pytest.raises(JournalFull):
        await mta.check_space()
    await mda.append(envelope(), b"x")
    free = 3_000_000
    await mta.append(envelope(), b"x")
    await mta.close()
    await mda.close()


async def test_what_is_queued_is_bounded(tmp_path: Path, disk: Disk, envelope: MakeEnvelope) -> None:
    writer = Writer(tmp_path, "mta-1", limits=Limits(reserve=0, queued_bytes=50_000))
    await writer.open()
    disk.gate.clear()
    tasks = [asyncio.create_task(writer.append(envelope(), b"x" * 10_000)) for _ in range(20)]
    await asyncio.sleep(0.1)
    assert writer._queued <= 50_000
    disk.gate.set()
    refs = await asyncio.gather(*tasks)
    assert len({(r.segment, r.offset) for r in refs}) == 20
    assert writer._queued == 0 and not writer._futures
    await writer.close()


async def test_who_waits_for_room_while_the_writer_closes_is_refused(
    tmp_path: Path, disk: Disk, envelope: MakeEnvelope
) -> None:
    writer = Writer(tmp_path, "mta-1", limits=Limits(reserve=0, queued_bytes=15_000))
    await writer.open()
    disk.gate.clear()
    tasks = [asyncio.create_task(writer.append(envelope(), b"x" * 10_000)) for _ in range(3)]
    await asyncio.sleep(0.05)
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0)
    disk.gate.set()
    async with asyncio.timeout(5):
        await closing
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, JournalFailed) for result in results] == [False, True, True]


async def test_a_cancelled_append_leaves_the_others_alone(
    writer: Writer, tmp_path: Path, disk: Disk, envelope: MakeEnvelope
) -> None:
    disk.gate.clear()
    gone = asyncio.create_task(writer.append(envelope(), b"gone"))
    stays = asyncio.create_task(writer.append(envelope(), b"stays"))
    await asyncio.sleep(0.05)
    gone.cancel()
    disk.gate.set()
    assert Reader(tmp_path).read(await stays) == b"stays"
    assert gone.cancelled() and writer._queued == 0


async def test_close_waits_and_then_refuses(tmp_path: Path, envelope: MakeEnvelope) -> None:
    writer = Writer(tmp_path, "mta-1", limits=Limits(reserve=0))
    with pytest.raises(JournalFailed):
        await writer.append(envelope(), b"early")
    await writer.open()
    tasks = [asyncio.create_task(writer.append(envelope(), b"x")) for _ in range(10)]
    await asyncio.sleep(0)
    await writer.close()
    assert len(await asyncio.gather(*tasks)) == 10
    with pytest.raises(JournalFailed):
        await writer.append(envelope(), b"late")
    await writer.close()


async def test_a_volume_that_cannot_be_written_fails_at_open(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalFailed):
        await Writer(tmp_path / "file" / "journal", "mta-1").open()


def test_names_stay_in_the_folder(tmp_path: Path) -> None:
    for name in ("../x", "", "a/b", "-x"):
        with pytest.raises(ValueError, match="name"):
            Writer(tmp_path, name)
