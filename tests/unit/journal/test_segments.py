"""The journal's files: listing, taking over, removal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.ids import encode, new_id
from shared.journal.active import FILL
from shared.journal.errors import RecordUnavailable
from shared.journal.segments import (
    FileState,
    list_large,
    list_segments,
    remove_empty_days,
    take_over,
    unlink,
    unlink_large,
)
from shared.journal.writer import Writer
from tests.unit.journal.conftest import MakeEnvelope


async def test_listing_sees_segments_and_nothing_else(writer: Writer, tmp_path: Path, envelope: MakeEnvelope) -> None:
    first = await writer.append(envelope(), b"x")
    await writer.seal()
    second = await writer.append(envelope(), b"y")
    day = tmp_path / first.segment.partition("/")[0]
    for stray in ("x.seg", "notes.txt", f"mta-{encode(1)}-1.tmp"):
        (day / stray).write_bytes(b"")
    (tmp_path / "lost+found").mkdir()
    found = {s.name: s for s in list_segments(tmp_path)}
    assert {name: s.state for name, s in found.items()} == {
        first.segment: FileState.SEALED,
        second.segment: FileState.OPEN,
    }
    assert found[first.segment].size < FILL
    assert found[second.segment].size == FILL  # zeros ahead
    assert list_segments(tmp_path / "nowhere") == []


async def test_taking_over_twice_and_taking_over_nothing(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope
) -> None:
    ref = await writer.append(envelope(), b"x")
    assert take_over(tmp_path, ref.segment) == take_over(tmp_path, ref.segment)
    unlink(tmp_path, ref.segment)
    with pytest.raises(RecordUnavailable):
        take_over(tmp_path, ref.segment)
    with pytest.raises(RecordUnavailable):
        take_over(tmp_path, f"1999-01-01/mta-{encode(1)}-1")


async def test_empty_days_go(writer: Writer, tmp_path: Path, envelope: MakeEnvelope) -> None:
    ref = await writer.append(envelope(), b"x")
    (tmp_path / "2020-01-01").mkdir()
    remove_empty_days(tmp_path, "2999-01-01")
    assert [p.name for p in tmp_path.glob("2*")] == [ref.segment.partition("/")[0]]


async def test_large_files_are_listed_and_removed(writer: Writer, tmp_path: Path) -> None:
    names = []
    for size in (0, 1, 3_000_000):
        upload = writer.large(new_id())
        await upload.write(os.urandom(size))
        large = await upload.finish()
        assert large.size == size
        names.append(large.name)
    assert {(x.name, x.size) for x in list_large(tmp_path)} == set(zip(names, (0, 1, 3_000_000), strict=True))
    for name in names:
        unlink_large(tmp_path, name)
        unlink_large(tmp_path, name)
    assert list(list_large(tmp_path)) == []
