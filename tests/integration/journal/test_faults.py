"""The journal against real trouble: killed and stopped writers, small and read-only volumes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.ids import new_id
from shared.journal.errors import JournalFailed, JournalFull
from shared.journal.limits import Limits
from shared.journal.reader import Corruption, Reader, ScannedRecord
from shared.journal.reference import Reference
from shared.journal.segments import FileState, list_segments, take_over
from shared.journal.writer import Writer
from shared.message.envelope import Envelope, Lane, Recipient

REPOSITORY = Path(__file__).parents[3]
NO_RESERVE = Limits(reserve=0)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a volume")

# appends for ever, printing each acknowledged id with its reference
WRITER = """
import asyncio, sys, time
from pathlib import Path
from shared.ids import new_id
from shared.journal.limits import Limits
from shared.journal.writer import Writer
from shared.message.envelope import Envelope, Lane, Recipient

async def client(writer):
    while True:
        entry = Envelope(new_id(), "a@b.test", (Recipient("c@d.test", Lane.DELIVERY),), 0)
        reference = await writer.append(entry, entry.id.encode() * 50)
        sys.stdout.write(f"{entry.id} {reference.encode()}\\n")
        sys.stdout.flush()
        await asyncio.sleep(0.001)

async def main():
    writer = Writer(Path(sys.argv[1]), "mta-1", limits=Limits(reserve=0, segment_size=300_000))
    await writer.open()
    await asyncio.gather(*(client(writer) for _ in range(10)))

asyncio.run(main())
"""


class Process:
    """A writer in its own process; what it acknowledged is in a file."""

    def __init__(self, root: Path, log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen([sys.executable, "-c", WRITER, str(root)], stdout=output, cwd=REPOSITORY)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()

    def acknowledged(self) -> dict[str, Reference]:
        whole = self._log.read_text().rpartition("\n")[0]
        return {entry: Reference.decode(ref) for entry, ref in map(str.split, whole.splitlines())}

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 20
        while len(self.acknowledged()) < count:
            assert time.monotonic() < deadline, "the writer acknowledges nothing"
            time.sleep(0.02)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    started = Process(tmp_path / "journal", tmp_path / "log")
    yield started
    started.end()


def _sealed_entries(root: Path) -> list[str]:
    """Take every open segment over, and return the entries that a sweep would find, in order."""
    found = []
    for segment in list_segments(root):
        length = take_over(root, segment.name).size
        for item in Reader(root).scan(segment.name, length):
            assert not isinstance(item, Corruption), item
            if isinstance(item, ScannedRecord):
                found.append(item.envelope.id)
    return found


@pytest.mark.fault
def test_a_killed_writer_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    acknowledged: dict[str, Reference] = {}
    for turn in range(4):
        process = Process(tmp_path / "journal", tmp_path / f"log-{turn}")
        process.wait_for(100 + 150 * turn)
        process.signal(signal.SIGKILL)
        process.end()
        acknowledged |= process.acknowledged()
    found = _sealed_entries(tmp_path / "journal")
    assert set(acknowledged) <= set(found) and len(set(found)) == len(found)
    reader = Reader(tmp_path / "journal")
    assert all(reader.read(ref) == entry.encode() * 50 for entry, ref in acknowledged.items())


@pytest.mark.fault
def test_a_stopped_writer_is_fenced_and_goes_on_elsewhere(tmp_path: Path, process: Process) -> None:
    root = tmp_path / "journal"
    seen: set[str] = set()
    for turn in range(1, 6):
        process.wait_for(len(process.acknowledged()) + 50)
        process.signal(signal.SIGSTOP)
        time.sleep(0.02)
        seen |= set(_sealed_entries(root))
        before = process.acknowledged()
        assert set(before) <= seen, turn  # all that was acknowledged lay below the sealed length
        process.signal(signal.SIGCONT)
    process.wait_for(len(process.acknowledged()) + 50)
    process.end()
    acknowledged = process.acknowledged()
    assert set(acknowledged) <= set(_sealed_entries(root))
    reader = Reader(root)
    assert all(reader.read(ref) == entry.encode() * 50 for entry, ref in acknowledged.items())


@pytest.mark.fault
def test_sealing_under_a_running_writer_again_and_again(tmp_path: Path, process: Process) -> None:
    """Every acknowledged record lies below the length that the sealing worker read."""
    root, reader = tmp_path / "journal", Reader(tmp_path / "journal")
    process.wait_for(10)
    lengths: dict[str, int] = {}
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        for segment in list_segments(root):
            if segment.state is FileState.OPEN:
                lengths[segment.name] = take_over(root, segment.name).size
        time.sleep(0.01)
    process.end()
    acknowledged = process.acknowledged()
    assert len(lengths) > 20 and len(acknowledged) > 100
    for entry, ref in acknowledged.items():
        assert ref.offset + ref.length <= lengths.get(ref.segment, 1 << 40), entry
        assert reader.read(ref) == entry.encode() * 50


@pytest.fixture
def small_volume(tmp_path: Path) -> Iterator[Path]:
    volume = tmp_path / "volume"
    volume.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(volume)], check=False)
    if mounted.returncode:
        pytest.skip("no right to mount a volume")
    yield volume
    subprocess.run(["umount", "-l", str(volume)], check=True)


def _entry() -> Envelope:
    return Envelope(new_id(), "a@b.test", (Recipient("c@d.test", Lane.DELIVERY),), 0)


@needs_root
@pytest.mark.fault
async def test_a_full_volume_keeps_what_it_acknowledged(small_volume: Path) -> None:
    poisoned: list[Exception] = []
    writer = Writer(small_volume, "mta-1", limits=NO_RESERVE, on_poison=poisoned.append)
    await writer.open()
    refs: list[Reference] = []
    with pytest.raises(JournalFailed):
        while True:
            refs.append(await writer.append(_entry(), b"x" * 10_000))
    assert len(refs) > 50 and writer.is_poisoned and len(poisoned) == 1
    reader = Reader(small_volume)
    assert all(reader.read(ref) == b"x" * 10_000 for ref in refs)
    upload = Writer(small_volume, "mta-2", limits=NO_RESERVE).large(new_id())
    await upload.write(bytes(100_000))
    with pytest.raises(JournalFull):
        await upload.finish()
    await upload.abort()
    found = [x for s in list_segments(small_volume) for x in reader.scan(s.name) if isinstance(x, ScannedRecord)]
    assert [x.reference for x in found] == refs


@needs_root
@pytest.mark.fault
async def test_the_reserve_refuses_before_the_volume_is_full(small_volume: Path) -> None:
    limits = Limits(reserve=400_000, space_interval=0.0)
    writer = Writer(small_volume, "mta-1", limits=limits)
    bounces = Writer(small_volume, "mda-1", limits=limits, may_use_reserve=True)
    await writer.open()
    await bounces.open()
    with pytest.raises(JournalFull):
        while True:
            await writer.append(_entry(), b"x" * 10_000)
    assert not writer.is_poisoned
    await bounces.append(_entry(), b"x" * 10_000)
    await bounces.close()
    for path in small_volume.glob("*/mda-1-*"):
        path.unlink()
    await writer.seal()
    for path in small_volume.glob("*/mta-1-*.seg"):
        path.unlink()
    await writer.append(_entry(), b"x" * 10_000)
    await writer.close()


@needs_root
@pytest.mark.fault
async def test_a_volume_that_turns_read_only_and_back(small_volume: Path) -> None:
    writer = Writer(small_volume, "mta-1", limits=NO_RESERVE)
    await writer.open()
    subprocess.run(["mount", "-o", "remount,ro", str(small_volume)], check=True)
    with pytest.raises(JournalFailed) as raised:
        await writer.append(_entry(), b"x")
    assert raised.value.code == 451
    with pytest.raises(JournalFailed):
        await Writer(small_volume, "mta-2", limits=NO_RESERVE).open()
    subprocess.run(["mount", "-o", "remount,rw", str(small_volume)], check=True)
    await asyncio.gather(*(writer.append(_entry(), b"x") for _ in range(10)))
    await writer.close()
