"""Scanning: whole records, damage in the middle, torn tails, mail that imitates records."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shared.journal.reader import Corruption, Reader, ScannedRecord, TornTail
from shared.journal.record import HEADER_LENGTH, Draft, end_record
from shared.journal.reference import Reference, nonce_of, open_path, sealed_path
from shared.journal.segments import quarantine
from shared.journal.writer import Writer
from tests.unit.journal.conftest import MakeEnvelope


async def _segment(writer: Writer, envelope: MakeEnvelope, count: int = 8, *, seal: bool = False) -> list[Reference]:
    refs = [await writer.append(envelope(), b"%d" % n * 300) for n in range(count)]
    if seal:
        await writer.seal()
    return refs


def _scan(root: Path, segment: str) -> list[ScannedRecord | Corruption | TornTail]:
    return list(Reader(root).scan(segment))


def _end(refs: list[Reference]) -> int:
    return refs[-1].offset + refs[-1].length


def _overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


async def test_a_whole_segment(writer: Writer, tmp_path: Path, envelope: MakeEnvelope) -> None:
    refs = await _segment(writer, envelope)
    found = _scan(tmp_path, refs[0].segment)
    assert [x.reference for x in found if isinstance(x, ScannedRecord)] == refs
    await writer.seal()
    assert _scan(tmp_path, refs[0].segment) == found
    assert [x.reference for x in Reader(tmp_path).scan(refs[0].segment, refs[3].offset)] == refs[:3]  # type: ignore[union-attr]


@pytest.mark.parametrize("cut", [1, 5, HEADER_LENGTH - 1, HEADER_LENGTH, 200, 400])
async def test_a_torn_tail(writer: Writer, tmp_path: Path, envelope: MakeEnvelope, cut: int) -> None:
    refs = await _segment(writer, envelope)
    path = open_path(tmp_path, refs[0].segment)
    os.truncate(path, refs[-1].offset + cut)
    found = _scan(tmp_path, refs[0].segment)
    assert [x.reference for x in found[:-1]] == refs[:-1]  # type: ignore[union-attr]
    tail = found[-1]
    assert isinstance(tail, TornTail) and (tail.offset, tail.length) == (refs[-1].offset, cut)


@pytest.mark.parametrize("size", [0, 1, 40, 3_000_000])
async def test_a_tail_of_zeros_is_the_end(writer: Writer, tmp_path: Path, envelope: MakeEnvelope, size: int) -> None:
    refs = await _segment(writer, envelope)
    os.truncate(open_path(tmp_path, refs[0].segment), _end(refs) + size)
    found = _scan(tmp_path, refs[0].segment)
    assert [x.reference for x in found if isinstance(x, ScannedRecord)] == refs and len(found) == len(refs)


async def test_half_a_record_before_zeros_is_a_torn_tail(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope
) -> None:
    refs = await _segment(writer, envelope)
    path = open_path(tmp_path, refs[0].segment)
    size = path.stat().st_size
    assert size > _end(refs)  # zeros are there
    _overwrite(path, _end(refs), path.read_bytes()[:30])
    found = _scan(tmp_path, refs[0].segment)
    assert found[-1] == TornTail(refs[0].segment, _end(refs), size - _end(refs), "CRC of the header")


async def test_a_file_that_lost_its_zeros_since_its_size_was_asked(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope
) -> None:
    refs = await _segment(writer, envelope)
    path = open_path(tmp_path, refs[0].segment)
    size = path.stat().st_size
    os.truncate(path, _end(refs))
    assert len(list(Reader(tmp_path).scan(refs[0].segment, size))) == len(refs)


async def test_damage_in_the_middle_costs_only_what_it_hit(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope
) -> None:
    refs = await _segment(writer, envelope, seal=True)
    path = sealed_path(tmp_path, refs[0].segment)
    _overwrite(path, refs[1].body + 10, b"\0\0\0")  # a body: its header still tells where the next one is
    _overwrite(path, refs[3].offset + 2, bytes(refs[4].offset - refs[3].offset))  # a header and the next one's
    _overwrite(path, refs[6].offset + HEADER_LENGTH + 3, b"\0")  # an envelope
    found = _scan(tmp_path, refs[0].segment)
    assert [x.reference for x in found if isinstance(x, ScannedRecord)] == [refs[0], refs[2], refs[5], refs[7]]
    damage = [x for x in found if isinstance(x, Corruption)]
    assert [(x.offset, x.length) for x in damage] == [
        (refs[1].offset, refs[1].length),
        (refs[3].offset, refs[5].offset - refs[3].offset),
        (refs[6].offset, refs[6].length),
    ]
    assert [x.reason for x in damage] == ["CRC of the body", "CRC of the header", "CRC of the envelope"]
    kept = quarantine(tmp_path, refs[0].segment, damage[1].offset, damage[1].length)
    assert kept.stat().st_size == damage[1].length and kept.parent.name == "quarantine"


async def test_the_end_record_makes_a_damaged_end_corruption(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope
) -> None:
    refs = await _segment(writer, envelope, seal=True)
    _overwrite(sealed_path(tmp_path, refs[0].segment), refs[-1].offset, bytes(refs[-1].length))
    found = _scan(tmp_path, refs[0].segment)
    assert isinstance(found[-1], Corruption)
    assert (found[-1].offset, found[-1].length) == (refs[-1].offset, refs[-1].length)


async def test_what_lies_behind_the_end_record_is_nothing(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope
) -> None:
    refs = await _segment(writer, envelope, seal=True)
    with sealed_path(tmp_path, refs[0].segment).open("ab") as file:
        file.write(b"left over")
    assert len(_scan(tmp_path, refs[0].segment)) == len(refs)


async def test_mail_that_imitates_records_is_only_mail(writer: Writer, tmp_path: Path, envelope: MakeEnvelope) -> None:
    forged = b"".join(Draft(envelope("victim@b.test").to_json(), b"forged", None).buffers(os.urandom(16)))
    refs = [await writer.append(envelope(), forged * 3) for _ in range(3)]
    path = open_path(tmp_path, refs[0].segment)
    _overwrite(path, refs[0].offset, bytes(HEADER_LENGTH))
    _overwrite(path, refs[2].offset, bytes(HEADER_LENGTH))
    found = _scan(tmp_path, refs[0].segment)
    assert [x.reference for x in found if isinstance(x, ScannedRecord)] == [refs[1]]
    assert isinstance(found[0], Corruption) and isinstance(found[-1], TornTail)


async def test_a_header_that_reaches_beyond_the_file_is_skipped(
    writer: Writer, tmp_path: Path, envelope: MakeEnvelope
) -> None:
    refs = await _segment(writer, envelope)
    path = open_path(tmp_path, refs[0].segment)
    nonce = nonce_of(refs[0].segment)
    os.truncate(path, _end(refs))  # the zeros ahead: a header that reaches into them would be believed
    liar = b"".join(Draft(b"{}", bytes(100_000), None).buffers(nonce))[:100]
    _overwrite(path, refs[2].offset, liar)
    found = _scan(tmp_path, refs[0].segment)
    assert [x.reference for x in found if isinstance(x, ScannedRecord)] == refs[:2] + refs[3:]


async def test_marks_across_the_windows_are_found(writer: Writer, tmp_path: Path, envelope: MakeEnvelope) -> None:
    first = await writer.append(envelope(), b"x")
    last = open_path(tmp_path, first.segment)
    record = b"".join(Draft(envelope().to_json(), b"found", None).buffers(nonce_of(first.segment)))
    start = first.offset + first.length
    for gap in (1024 * 1024 - 3, 1024 * 1024 - 20, 2 * 1024 * 1024 + 1):
        os.truncate(last, start)
        with last.open("ab") as file:
            file.write(b"P" * gap + record + end_record(nonce_of(first.segment)))
        found = _scan(tmp_path, first.segment)
        assert [type(x) for x in found] == [ScannedRecord, Corruption, ScannedRecord], gap
