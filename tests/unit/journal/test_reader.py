"""The reader: any part of any message, and every failure a temporary one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import TemporaryFailure
from shared.ids import encode, new_id
from shared.journal.descriptors import Descriptors
from shared.journal.reader import Reader, RecordUnavailable, Span
from shared.journal.reference import Reference, large_path, open_path, sealed_path
from shared.journal.segments import unlink
from shared.journal.writer import Writer
from tests.unit.journal.conftest import MakeEnvelope

TRACE = b"Received: from x by y\r\n"


@pytest.fixture
async def large_ref(writer: Writer, envelope: MakeEnvelope) -> tuple[Reference, bytes]:
    upload = writer.large(new_id())
    body = bytes(range(256)) * 2000
    for start in range(0, len(body), 7_001):
        await upload.write(body[start : start + 7_001])
    return await writer.append(envelope(), TRACE, await upload.finish()), TRACE + body


async def test_inline_and_large_are_one_message(
    writer: Writer, tmp_path: Path, large_ref: tuple[Reference, bytes]
) -> None:
    ref, message = large_ref
    reader = Reader(tmp_path)
    assert (ref.inline, ref.size) == (len(TRACE), len(message))
    assert reader.read(ref) == message
    for start, length in [(0, 5), (0, 10**9), (20, 10), (len(TRACE), 1), (300_000, 5), (len(message), 5), (5, 0)]:
        assert reader.pread(ref, start, length) == message[start : start + length], (start, length)


async def test_any_part_of_any_message(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope, large_ref: tuple[Reference, bytes]
) -> None:
    inline = bytes(range(200))
    messages = [large_ref, (await writer.append(envelope(), inline), inline)]
    reader = Reader(tmp_path)

    @settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(st.sampled_from(messages), st.integers(0, 600_000), st.integers(0, 600_000))
    def check(message: tuple[Reference, bytes], start: int, length: int) -> None:
        assert reader.pread(message[0], start, length) == message[1][start : start + length]

    check()


async def test_many_at_once_in_the_order_asked_for(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope, large_ref: tuple[Reference, bytes]
) -> None:
    refs = [await writer.append(envelope(), b"%d" % n * 5_000) for n in range(30)]
    await writer.seal()
    refs += [await writer.append(envelope(), b"%d" % n * 50_000) for n in range(30, 40)]
    refs.insert(7, large_ref[0])
    refs = [*refs[::2], *reversed(refs[1::2]), refs[3]]
    reader = Reader(tmp_path)
    assert reader.read_many(refs) == [reader.read(ref) for ref in refs]
    assert reader.read_many([]) == []
    assert reader.view_many(refs) == reader.read_many(refs)
    assert memoryview in map(type, reader.view_many(refs))


async def test_many_records_with_their_envelopes(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope, large_ref: tuple[Reference, bytes]
) -> None:
    refs = [large_ref[0], *[await writer.append(envelope(f"r{n}@b.test"), b"%d" % n * 500) for n in range(10)]]
    missing = Reference(f"2026-01-01/mta-{encode(3)}-1", 0, 100, 60, 30, 30)
    reader = Reader(tmp_path)
    found = reader.record_many([*refs[::-1], missing])
    assert found[:-1] == [reader.record(ref) for ref in refs[::-1]]
    assert isinstance(found[-1], RecordUnavailable)


async def test_one_bad_record_spoils_no_batch(writer: Writer, tmp_path: Path, envelope: MakeEnvelope) -> None:
    refs = [await writer.append(envelope(), b"%d" % n * 500) for n in range(5)]
    _damage(open_path(tmp_path, refs[2].segment), refs[2].body + 3)
    missing = Reference(f"2026-01-01/mta-{encode(3)}-1", 0, 100, 60, 30, 30)
    reader = Reader(tmp_path)
    for found in (reader.read_many([*refs, missing]), reader.view_many([*refs, missing])):
        assert [isinstance(x, RecordUnavailable) for x in found] == [False, False, True, False, False, True]
        assert found[4] == b"4" * 500


async def test_messages_are_cut_out_of_a_stretch(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope, large_ref: tuple[Reference, bytes]
) -> None:
    refs = [large_ref[0], *[await writer.append(envelope(), b"%d" % n * 500) for n in range(5)]]
    for ref, place in ((refs[2], refs[2].body + 3), (refs[3], refs[3].offset + 30)):
        _damage(open_path(tmp_path, ref.segment), place)
    reader = Reader(tmp_path)
    data = reader.stretch(refs[1].segment, refs[1].offset, refs[-1].offset + refs[-1].length - refs[1].offset)
    found = reader.cut(data, refs[1].offset, refs[1:])
    assert [isinstance(x, RecordUnavailable) for x in found] == [False, True, True, False, False]
    assert (found[0], found[-1]) == (b"0" * 500, b"4" * 500)
    whole = reader.stretch(refs[0].segment, refs[0].offset, refs[0].length)
    assert reader.cut(whole, refs[0].offset, refs[:1]) == [reader.read(refs[0])]


async def test_open_segments_are_not_kept_open(writer: Writer, tmp_path: Path, envelope: MakeEnvelope) -> None:
    descriptors = Descriptors()
    reader = Reader(tmp_path, descriptors=descriptors)
    ref = await writer.append(envelope(), b"x")
    reader.read(ref)
    assert len(descriptors) == 0
    await writer.seal()
    reader.read(ref)
    assert len(descriptors) == 1
    sealed_path(tmp_path, ref.segment).unlink()
    assert reader.read(ref) == b"x"  # a session that reads what compaction has removed goes on
    reader.close()
    with pytest.raises(RecordUnavailable):
        reader.read(ref)


async def test_the_cache_is_bounded_in_number_and_age(writer: Writer, tmp_path: Path, envelope: MakeEnvelope) -> None:
    now = 0.0
    descriptors = Descriptors(limit=2, max_age=100.0, clock=lambda: now)
    reader = Reader(tmp_path, descriptors=descriptors)
    refs = []
    for _ in range(4):
        refs.append(await writer.append(envelope(), b"x"))
        await writer.seal()
    before = open_files(tmp_path)
    for ref in refs * 2:
        reader.read(ref)
    assert len(descriptors) == 2 and open_files(tmp_path) == before + 2
    now = 99.0
    reader.expire()
    assert len(descriptors) == 2
    now = 101.0
    reader.expire()
    assert len(descriptors) == 0 and open_files(tmp_path) == before


def open_files(folder: Path) -> int:
    """How many files of a folder this process has open."""
    links = Path("/proc/self/fd").iterdir()
    return sum(os.path.realpath(link).startswith(str(folder)) for link in links)


async def test_what_goes_wrong_is_temporary(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope, large_ref: tuple[Reference, bytes]
) -> None:
    ref, large = await writer.append(envelope(), b"body" * 100), large_ref[0]
    await writer.seal()
    reader = Reader(tmp_path)
    wrong = [
        Reference(ref.segment, ref.offset + 1, ref.length, ref.body + 1, ref.inline, ref.size),
        Reference(ref.segment, ref.offset, ref.length, ref.body, ref.inline - 1, ref.size),
        Reference(ref.segment, ref.offset, ref.length, ref.body, ref.inline, ref.size + 9, large.large),
        Reference(ref.segment, 10**9, ref.length, 10**9 + 60, ref.inline, ref.size),
        Reference(large.segment, large.offset, large.length, large.body, large.inline, large.size, "another"),
    ]
    for bad in wrong:
        with pytest.raises(TemporaryFailure) as raised:
            reader.record(bad)
        assert (raised.value.code, raised.value.status) == (451, "4.3.0")
        assert "mta-1" not in str(raised.value)  # a reply names no file
    assert reader.envelope(ref).recipients


async def test_a_damaged_body_or_large_file_is_noticed(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope, large_ref: tuple[Reference, bytes]
) -> None:
    ref, large = await writer.append(envelope(), b"body"), large_ref[0]
    _damage(open_path(tmp_path, ref.segment), ref.body)
    _damage(large_path(tmp_path, large.large), 1_000)
    reader = Reader(tmp_path)
    for bad in (ref, large):
        with pytest.raises(RecordUnavailable, match="can't be read"):
            reader.read(bad)
        assert reader.envelope(bad).sender == "alice@a.test"  # the header and the envelope are whole
    os.truncate(large_path(tmp_path, large.large), 100)
    with pytest.raises(RecordUnavailable):
        reader.pread(large, large.inline, 200)
    large_path(tmp_path, large.large).unlink()
    reader.close()
    with pytest.raises(RecordUnavailable):
        reader.pread(large, large.inline, 5)


async def test_a_stale_handle_is_opened_again(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = await writer.append(envelope(), b"x")
    await writer.seal()
    real, failures = os.pread, [116, 116, 116]

    def stale(*args: Any) -> bytes:
        if failures:
            raise OSError(failures.pop(), "Stale file handle")
        return real(*args)

    monkeypatch.setattr(os, "pread", stale)
    reader = Reader(tmp_path)
    with pytest.raises(RecordUnavailable):
        reader.read(ref)
    assert reader.read(ref) == b"x"


async def test_a_removed_segment_is_gone(writer: Writer, tmp_path: Path, envelope: MakeEnvelope) -> None:
    ref = await writer.append(envelope(), b"x")
    await writer.seal()
    unlink(tmp_path, ref.segment)
    unlink(tmp_path, ref.segment)
    with pytest.raises(RecordUnavailable):
        Reader(tmp_path).read(ref)
    with pytest.raises(RecordUnavailable):
        list(Reader(tmp_path).scan(ref.segment))


def _damage(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0xFF]))


async def test_many_spans_are_what_single_ones_are(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope, large_ref: tuple[Reference, bytes]
) -> None:
    refs = [await writer.append(envelope(), b"%04d" % n * 500) for n in range(20)]
    await writer.seal()
    refs += [await writer.append(envelope(), b"%04d" % n * 50_000) for n in range(20, 25)]
    refs = [*refs[::2], large_ref[0], *reversed(refs), refs[3]]
    inline = large_ref[0].inline
    reader = Reader(tmp_path)
    for start, length in (
        (0, 100),
        (0, 0),
        (7, 3_000),
        (1_999, 10),
        (5, 10_000_000),
        (max(inline - 3, 0), 9),
        (0, inline),
    ):
        spans = [Span(ref, start, length) for ref in refs]
        assert reader.pread_many(spans) == [reader.pread(*span) for span in spans]
    mixed = [Span(ref, n % 7, n * 30) for n, ref in enumerate(refs)]
    assert reader.pread_many(mixed) == [reader.pread(*span) for span in mixed]
    missing = Span(Reference(f"2026-01-01/mta-{encode(3)}-1", 0, 100, 60, 30, 30), 0, 10)
    found = reader.pread_many([missing, mixed[0], missing])
    assert [isinstance(x, RecordUnavailable) for x in found] == [True, False, True]
    assert reader.pread_many([]) == []
